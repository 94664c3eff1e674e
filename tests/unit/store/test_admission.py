"""Which of new series are made: in their order, as far as there is room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vezha.store.admission import admission

pairs = st.lists(
    st.tuples(
        st.integers(0, 9).map(lambda n: (("n", str(n)),)),
        st.integers(0, 4).map(lambda n: (("instance", str(n)),)),
    ),
    max_size=40,
)


@given(pairs, st.integers(-1, 5), st.integers(-1, 20))
def test_limits_hold_and_nobody_is_refused_for_nothing(
    given_: list[tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]],
    room: int,
    room_in_all: int,
) -> None:
    asked: list[int] = []

    def source_of(host: tuple[tuple[str, str], ...]) -> int:
        asked.append(1)
        return int(host[0][1]) // 2  # two hosts' label sets are one source

    found = admission(given_, source_of, lambda _: room, room_in_all)
    made = {given_[i] for i in found.made}
    assert found.made == [i for i, pair in enumerate(given_) if pair in made]
    by_source = [sum(int(host[0][1]) // 2 == s for _, host in made) for s in range(3)]
    assert len(made) <= max(room_in_all, 0)
    assert max(by_source) <= max(room, 0)
    left_out = set(given_) - made
    assert found.refused == len(left_out)
    for _, host in left_out:
        assert len(made) >= room_in_all or by_source[int(host[0][1]) // 2] >= room
    assert bool(found.limit) == bool(left_out)
    if room_in_all <= 0:
        assert not asked  # no host is made for what has no room
