"""A set of sequence numbers, kept as closed ranges: what was received, what is acknowledged.

Almost every number extends the last range or, while a backlog drains, the one before it, so the
set stays a handful of ranges however many numbers it holds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator


class Ranges:
    """Disjoint closed ranges, ascending, never touching each other."""

    __slots__ = ("_highs", "_lows")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._lows: list[int] = []
        self._highs: list[int] = []
        for low, high in ranges:
            self.add_range(low, high)

    def add(self, number: int) -> bool:
        """Put *number* in; False if it was in already."""
        highs = self._highs
        if highs and number == highs[-1] + 1:
            highs[-1] = number
            return True
        if not highs or number > highs[-1]:
            self._lows.append(number)
            highs.append(number)
            return True
        at = bisect_right(self._lows, number) - 1
        if at >= 0 and number <= highs[at]:
            return False
        joins_left = at >= 0 and highs[at] + 1 == number
        joins_right = self._lows[at + 1] == number + 1
        if joins_left and joins_right:
            highs[at] = highs.pop(at + 1)
            self._lows.pop(at + 1)
        elif joins_left:
            highs[at] = number
        elif joins_right:
            self._lows[at + 1] = number
        else:
            self._lows.insert(at + 1, number)
            highs.insert(at + 1, number)
        return True

    def add_range(self, low: int, high: int) -> None:
        """Put every number of the closed range in. Raises ValueError if it is upside down."""
        if low > high:
            raise ValueError(f"range {low}..{high} is upside down")
        lows, highs = self._lows, self._highs
        first = bisect_right(highs, low - 2)  # the first range that touches or follows low
        last = bisect_right(lows, high + 1)  # one past the last range that touches high
        if first < last:
            low = min(low, lows[first])
            high = max(high, highs[last - 1])
        lows[first:last] = [low]
        highs[first:last] = [high]

    def remove_below(self, number: int) -> None:
        """Forget every number under *number*."""
        at = bisect_right(self._highs, number - 1)
        del self._lows[:at], self._highs[:at]
        if self._lows and self._lows[0] < number:
            self._lows[0] = number

    def range_of(self, number: int) -> tuple[int, int] | None:
        """The range that holds *number*."""
        at = bisect_right(self._lows, number) - 1
        if at >= 0 and number <= self._highs[at]:
            return self._lows[at], self._highs[at]
        return None

    def covers(self, low: int, high: int) -> bool:
        """Whether every number of the closed range is in."""
        found = self.range_of(low)
        return found is not None and high <= found[1]

    def next_missing(self, number: int) -> int:
        """The smallest number >= *number* that is not in."""
        found = self.range_of(number)
        return number if found is None else found[1] + 1

    def touched_since(self, low: int, most: int) -> list[tuple[int, int]]:
        """The newest *most* ranges that reach *low* or beyond, ascending."""
        at = max(bisect_right(self._highs, low - 1), len(self._highs) - most)
        return list(zip(self._lows[at:], self._highs[at:], strict=True))

    def count(self) -> int:
        """How many numbers are in."""
        return sum(self._highs) - sum(self._lows) + len(self._lows)

    def count_from(self, number: int) -> int:
        """How many numbers >= *number* are in."""
        total = 0
        for low, high in zip(reversed(self._lows), reversed(self._highs), strict=True):
            if high < number:
                break
            total += high - max(low, number) + 1
        return total

    @property
    def highest(self) -> int:
        """The largest number, or -1."""
        return self._highs[-1] if self._highs else -1

    def __contains__(self, number: int) -> bool:
        return self.range_of(number) is not None

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._lows, self._highs, strict=True))

    def __len__(self) -> int:
        return len(self._lows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"Ranges({list(self)!r})"
