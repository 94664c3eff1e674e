"""Retention policies: series that are kept longer or shorter than all others.

Of the policies, in the operator's order, the first whose matchers a series fits is its own; a
series that fits none falls under the general one, number 0. Labels never change, so neither does
the policy of a series, as long as the operator leaves the matchers alone.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Matcher, Refs
from vezha.store.index import SeriesIndex
from vezha.store.limits import POLICIES_MAX

Numbers = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Policy:
    """How long the samples and the roll-ups of some series are kept, in seconds; of the general
    policy, the name is empty."""

    name: str
    matchers: tuple[Matcher, ...]
    samples_s: float
    ten_seconds_s: float
    minutes_s: float
    hours_s: float

    def tiers_ms(self, age_s: float) -> tuple[int, ...]:
        """Roll-ups that are kept of what is so old (negative: of what is to come); the longest first."""
        kept = {3_600_000: self.hours_s, 60_000: self.minutes_s, 10_000: self.ten_seconds_s}
        return tuple(tier for tier, keep_s in kept.items() if keep_s > max(age_s, 0.0))

    @property
    def longest_s(self) -> float:
        """How long anything is kept."""
        return max(self.samples_s, self.ten_seconds_s, self.minutes_s, self.hours_s)


def digest(policies: Sequence[Policy]) -> int:
    """Changes when other series fall under the policies: their names and matchers, in order."""
    text = "\n".join(f"{p.name} {[(m.name, m.op.value, m.value) for m in p.matchers]}"
                     for p in policies)  # fmt: skip
    return zlib.crc32(text.encode()) if policies else 0


class Assignment:
    """Which policy each series of an index falls under. Thread-safe."""

    def __init__(self, index: SeriesIndex, policies: Sequence[Policy]) -> None:
        assert len(policies) <= POLICIES_MAX
        self._index = index
        self._policies = list(policies)
        self._numbers: Numbers = np.zeros(0, np.int8)
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._policies)

    def all(self) -> Numbers:
        """The policy of every series, int8[series]: 0 the general one, 1 the first."""
        with self._lock:
            seen, count = len(self._numbers), self._index.count
            if count > seen:
                grown = np.zeros(count, np.int8)
                for number in range(len(self._policies), 0, -1):
                    fitting = self._index.match(self._policies[number - 1].matchers).refs
                    grown[fitting[(fitting >= seen) & (fitting < count)]] = number
                grown[:seen] = self._numbers
                self._numbers = grown
            return self._numbers

    def of(self, refs: Refs) -> Numbers:
        """The policy of each of *refs*, int8[n]."""
        return self.all()[refs]
