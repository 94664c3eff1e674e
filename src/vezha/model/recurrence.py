"""Windows that come back each week: days, a time of day, a length, in a time zone. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LOOK_AHEAD_DAYS = 8


@dataclass(frozen=True, slots=True)
class Recurrence:
    """On *days* (0 = Monday) from *start_minute* of the day for *minutes*, in *time_zone*."""

    days: tuple[int, ...]
    start_minute: int
    minutes: int
    time_zone: str

    def holds(self, at_ms: int) -> bool:
        """Whether the window is open; one that crosses midnight belongs to the day it began."""
        now = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(self.time_zone))
        for back in range(self.minutes // 1440 + 2):
            begin = self._begin((now - timedelta(days=back)).date())
            if begin is not None and begin <= now < begin + timedelta(minutes=self.minutes):
                return True
        return False

    def next_open_ms(self, at_ms: int) -> int:
        """When the window opens next after *at_ms*."""
        now = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(self.time_zone))
        for ahead in range(_LOOK_AHEAD_DAYS):
            begin = self._begin((now + timedelta(days=ahead)).date())
            if begin is not None and begin > now:
                return int(begin.timestamp() * 1000)
        raise AssertionError("a week without one of its days")

    def as_row(self) -> dict[str, Any]:
        """As a ledger keeps it."""
        return {
            "days": list(self.days),
            "start_minute": self.start_minute,
            "minutes": self.minutes,
            "time_zone": self.time_zone,
        }

    def _begin(self, day: date) -> datetime | None:
        if day.weekday() not in self.days:
            return None
        begin = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(self.time_zone))
        return begin + timedelta(minutes=self.start_minute)


def kept_recurrence(row: Mapping[str, Any] | None) -> Recurrence | None:
    """What `as_row` made; None where there is none."""
    if not row:
        return None
    return Recurrence(tuple(row["days"]), row["start_minute"], row["minutes"], row["time_zone"])


def make_recurrence(days: Sequence[str], start: str, minutes: int, time_zone: str) -> Recurrence:
    """A weekly window: `mon … sun`, `HH:MM`, length, zone's name. Raises ValueError."""
    numbers = []
    for day in days:
        if day.lower()[:3] not in DAYS:
            raise ValueError(f'"{day}" is not a day; use {", ".join(DAYS)}')
        numbers.append(DAYS.index(day.lower()[:3]))
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", start)
    if match is None:
        raise ValueError(f'"{start}" is not a time of day; write HH:MM')
    if not 1 <= minutes <= 7 * 1440:
        raise ValueError("a window lasts from 1 minute to 7 days")
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'there is no time zone "{time_zone}"; try Europe/Kyiv') from None
    if not numbers:
        raise ValueError("a window needs at least one day")
    return Recurrence(
        tuple(sorted(set(numbers))), int(match[1]) * 60 + int(match[2]), minutes, time_zone
    )
