"""Ranges against a plain set."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vezha.wire.ranges import Ranges

numbers = st.lists(st.integers(0, 40), max_size=60)


@given(numbers)
def test_adding_is_a_set(values: list[int]) -> None:
    ranges, model = Ranges(), set()
    for v in values:
        assert ranges.add(v) == (v not in model)
        model.add(v)
    assert ranges.count() == len(model)
    assert {n for lo, hi in ranges for n in range(lo, hi + 1)} == model
    pairs = list(ranges)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(pairs))
    assert ranges.highest == max(model, default=-1)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=20), st.integers(0, 50))
def test_ranges_cut_and_asked(pairs: list[tuple[int, int]], at: int) -> None:
    ranges, model = Ranges(), set()
    for low, size in pairs:
        ranges.add_range(low, low + size)
        model |= set(range(low, low + size + 1))
    assert (at in ranges) == (at in model)
    assert ranges.next_missing(at) == next(n for n in range(at, 200) if n not in model)
    assert ranges.count_from(at) == len([n for n in model if n >= at])
    touched = {n for lo, hi in ranges.touched_since(at, 100) for n in range(lo, hi + 1)}
    assert {n for n in model if n >= at} <= touched <= model
    ranges.remove_below(at)
    assert {n for lo, hi in ranges for n in range(lo, hi + 1)} == {n for n in model if n >= at}
