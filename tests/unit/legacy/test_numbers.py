"""Numbers by hash equal a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vezha.legacy import numbers as module
from vezha.legacy.numbers import NumbersByHash

keys = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-3, 3)


@given(st.lists(st.tuples(keys, st.integers(0, (1 << 32) - 1)), max_size=60), st.lists(keys))
def test_equal_to_a_dictionary(puts: list[tuple[int, int]], asked: list[int]) -> None:
    before, module._NEWEST_MIN = module._NEWEST_MIN, 5
    try:
        plain: dict[int, int] = {}
        packed = NumbersByHash()
        for key, number in puts:
            plain[key] = number
            packed.put(key, number)
            assert packed.get(key) == number
        every = [*plain, *asked]
        expected = [plain.get(key, -1) for key in every]
        assert [packed.get(key) for key in every] == expected
        assert packed.find(np.array(every, np.int64)).tolist() == expected
    finally:
        module._NEWEST_MIN = before
