"""The index finds what matches, also while series come, and dead series cost little."""

from __future__ import annotations

import sys
import threading

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vezha.model.columns import Matcher, MatchOp
from vezha.model.labels import Labels, get_label, labels_of
from vezha.store.index import WIDE, SeriesIndex, split_labels
from vezha.store.matching import value_test

_values = st.sampled_from(["", "a", "b", "ab", "a.b", "c"])
_series = st.builds(
    lambda name, mode, instance, job: labels_of(
        {"__name__": name, "mode": mode, "instance": instance, "job": job}
    ),
    st.sampled_from(["x", "y"]), _values, _values, st.sampled_from(["", "node"]),
)  # fmt: skip
_matcher = st.builds(
    Matcher,
    st.sampled_from(["__name__", "mode", "instance", "job", "none"]),
    st.sampled_from(list(MatchOp)),
    st.sampled_from(
        [
            "",
            "a",
            "a|b",
            "(?:a|b)",
            "a.*",
            "a.+",
            ".*",
            ".+",
            "a.b",
            "a\\.b",
            "[ab]+|c",
            "x",
            "node|",
        ]
    ),
)


def _add(index: SeriesIndex, series: list[Labels]) -> None:
    for labels in series:
        column, host = split_labels(labels)
        pair = (np.array([index.columns.add(column)]), np.array([index.hosts.add(host)]))
        if index.find(*pair)[0] < 0:
            index.append(pair[0].astype(np.int32), pair[1].astype(np.int32))


@settings(deadline=None)
@given(
    batches=st.lists(st.lists(_series, max_size=8), min_size=1, max_size=4),
    matchers=st.lists(_matcher, max_size=3),
)
def test_it_finds_what_every_matcher_accepts(
    batches: list[list[Labels]], matchers: list[Matcher]
) -> None:
    index = SeriesIndex()
    known: set[Labels] = set()
    for batch in batches:
        _add(index, batch)
        known.update(batch)
        match = index.match(tuple(matchers))
        found = [match.labels(i) for i in match.sorted(list(range(len(match.refs))))]
        tests = [(m.name, value_test(m)) for m in matchers]
        expected = sorted(
            labels
            for labels in known
            if all(test.accepts(get_label(labels, name)) for name, test in tests)
        )
        assert found == expected


def test_many_series_are_found_by_host_and_by_column() -> None:
    index = SeriesIndex()
    columns = [index.columns.add(labels_of({"__name__": f"m{i}"})) for i in range(50)]
    for h in range(400):
        host = index.hosts.add(labels_of({"instance": f"h{h}"}))
        index.append(np.array(columns, np.int32), np.full(50, host, np.int32))
    assert index.count == 20_000
    by_host = index.match((Matcher("instance", MatchOp.EQ, "h7"),))
    assert by_host.refs.tolist() == list(range(350, 400))
    by_column = index.match((Matcher("__name__", MatchOp.EQ, "m3"),))
    assert by_column.refs.tolist() == list(range(3, 20_000, 50))
    both = (Matcher("__name__", MatchOp.RE, "m3|m4"), Matcher("instance", MatchOp.RE, "h1.*"))
    assert len(index.match(both).refs) == 2 * 111
    found = index.find(np.array([3, 4, 99]), np.array([7, 399, 7]))
    assert found.tolist() == [353, 19_954, -1]


def test_matches_grow_while_another_thread_adds() -> None:
    index = SeriesIndex()
    done = threading.Event()
    keys = [(f"m{i}", f"v{i % 7}", f"r{i // 200 % 3}", f"h{i // 3}") for i in range(20_000)]

    def add() -> None:
        for name, value, rack, host in keys:
            labels = index.columns.add((("__name__", name), ("a", value), ("b", value)))
            place = index.hosts.add((("instance", host), ("job", "j"), ("rack", rack)))
            index.append(np.array([labels], np.int32), np.array([place], np.int32))
        done.set()

    matchers = tuple(
        Matcher(name, MatchOp.RE, value)
        for name, value in (("a", "v[1-4]"), ("b", "v[2-6]"), ("rack", "r[01]"), ("job", "j"))
    )
    thread = threading.Thread(target=add)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        match = index.match(matchers)
        while not done.is_set():
            assert index.match(matchers) is match
    finally:
        thread.join()
        sys.setswitchinterval(before)
    match.grow()
    wanted = [
        i for i, (_, v, r, _) in enumerate(keys) if v in ("v2", "v3", "v4") and r in ("r0", "r1")
    ]
    assert match.refs.tolist() == wanted


def test_series_that_bring_their_column_lie_together_and_others_by_their_hosts() -> None:
    index = SeriesIndex()
    columns = [index.columns.add((("pod", f"p{i}"),)) for i in range(300)]
    hosts = [index.hosts.add((("instance", f"h{i}"),)) for i in range(40)]
    pairs = [(column, hosts[column % 3]) for column in columns] + [(7, h) for h in hosts[3:]]
    for part in (pairs[:100], pairs[100:]):
        index.append(*(np.array([p[i] for p in part], np.int32) for i in (0, 1)))
    brought, others = index.cell_of[:300], index.cell_of[300:]
    assert [len(set(brought[i : i + 128].tolist())) for i in (0, 128, 256)] == [1, 1, 1]
    assert len(set(brought.tolist())) == 3
    assert (brought >> 32 >= WIDE).all()
    assert others.tolist() == [1 << 32 | h // 32 for h in hosts[3:]]
    again = SeriesIndex()
    again.append(*(np.array([p[i] for p in pairs], np.int32) for i in (0, 1)))
    assert (again.cell_of == index.cell_of).all()
