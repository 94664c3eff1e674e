"""From hashes to numbers in 12 bytes each: sorted arrays, and a small dictionary of the newest.

A dictionary from a series' labels to its number costs 100 bytes and more for each series besides
the labels. Here only the hash stands, so who asks must compare what the number stands for.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
_NEWEST_MIN, _NEWEST_SHARE = 2_048, 8
"""The newest are sorted in once they are so many, or one of so many."""


class NumbersByHash:
    """One number for each 64-bit hash; of a number put again the last one stands."""

    def __init__(self) -> None:
        self._hashes: I64 = np.empty(0, np.int64)
        self._numbers: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        self._newest: dict[int, int] = {}

    def __len__(self) -> int:
        """How many there are; one that was put again may count twice."""
        return len(self._hashes) + len(self._newest)

    def get(self, key: int) -> int:
        """The number of a hash, or -1."""
        found = self._newest.get(key)
        if found is not None:
            return found
        # a plain integer would make a copy of the array, of a type that has both
        at = int(self._hashes.searchsorted(np.int64(key)))
        if at < len(self._hashes) and self._hashes[at] == key:
            return int(self._numbers[at])
        return -1

    def find(self, keys: I64) -> I64:
        """Numbers of hashes, int64, -1 where there is none."""
        numbers = np.full(len(keys), -1, np.int64)
        if len(self._hashes):
            at = np.minimum(np.searchsorted(self._hashes, keys), len(self._hashes) - 1)
            there = self._hashes[at] == keys
            numbers[there] = self._numbers[at[there]]
        if self._newest:
            for i, key in enumerate(keys.tolist()):
                number = self._newest.get(key)
                if number is not None:
                    numbers[i] = number
        return numbers

    def put(self, key: int, number: int) -> None:
        """Remember the number of a hash."""
        self._newest[key] = number
        if len(self._newest) >= max(_NEWEST_MIN, len(self._hashes) // _NEWEST_SHARE):
            self._settle()

    def _settle(self) -> None:
        count = len(self._newest)
        keys = np.fromiter(self._newest, np.int64, count)
        numbers = np.fromiter(self._newest.values(), np.uint32, count)
        # the newest first, so that of equal hashes its number is the one that is found
        keys, numbers = np.append(keys, self._hashes), np.append(numbers, self._numbers)
        order = np.argsort(keys, kind="stable")
        self._hashes, self._numbers = keys[order], numbers[order]
        self._newest = {}
