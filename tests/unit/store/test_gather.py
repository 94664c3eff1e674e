"""Pieces of series that lie between one another come out in the order of time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vezha.store.gather import Gathering

_PIECES = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.integers(0, 40), min_size=1, max_size=8, unique=True)),
    min_size=1,
    max_size=10,
)


@given(_PIECES)
def test_the_first_of_equal_times_stays(pieces: list[tuple[int, list[int]]]) -> None:
    gathering = Gathering(10**6)
    wanted: dict[int, dict[int, float]] = {}
    for number, (position, ts) in enumerate(pieces):
        stamps = np.array(sorted(ts), np.int64)
        values = (stamps + number / 100).astype(np.float64)
        gathering.add(position, stamps, values)
        for t, value in zip(stamps.tolist(), values.tolist(), strict=True):
            wanted.setdefault(position, {}).setdefault(t, value)
    present = gathering.present()
    data = gathering.result(present, [()] * len(present))
    assert present == sorted(wanted)
    for row, position in enumerate(present):
        part = slice(int(data.offsets[row]), int(data.offsets[row + 1]))
        found = list(zip(data.ts[part].tolist(), data.values[part].tolist(), strict=True))
        assert found == sorted(wanted[position].items())
