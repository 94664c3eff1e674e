"""ISO weeks in a time zone. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from vezha.diary.errors import OperatorError

_NAME = re.compile(r"(\d{4})-?[Ww](\d{1,2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Week:
    """A week from Monday to Monday. `begin_ms` belongs to it, `end_ms` to the next one."""

    name: str
    begin_ms: int
    end_ms: int
    monday: date

    def holds(self, at_ms: int | None) -> bool:
        """Whether that instant lies in the week."""
        return at_ms is not None and self.begin_ms <= at_ms < self.end_ms


def week_named(text: str, time_zone: str = "UTC") -> Week:
    """The week of `2026-W47` (or `2026-w47`). Raises OperatorError."""
    match = _NAME.fullmatch(text.strip())
    if match is None:
        raise OperatorError(f"{text!r} is not a week: write it as 2026-W47")
    year, number = int(match[1]), int(match[2])
    try:
        monday = date.fromisocalendar(year, number, 1)
    except ValueError:
        raise OperatorError(f"the year {year} has no week {number}") from None
    return _week_of(monday, time_zone)


def week_at(at_ms: int, time_zone: str = "UTC") -> Week:
    """The week that an instant lies in."""
    day = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(time_zone)).date()
    return _week_of(day - timedelta(days=day.weekday()), time_zone)


def week_before(week: Week, time_zone: str = "UTC") -> Week:
    """The week that ended when *week* began."""
    return _week_of(week.monday - timedelta(days=7), time_zone)


def _week_of(monday: date, time_zone: str) -> Week:
    year, number, _ = monday.isocalendar()
    return Week(
        f"{year}-W{number:02d}",
        _midnight_ms(monday, time_zone),
        _midnight_ms(monday + timedelta(days=7), time_zone),
        monday,
    )


def _midnight_ms(day: date, time_zone: str) -> int:
    moment = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone))
    return int(moment.timestamp() * 1000)
