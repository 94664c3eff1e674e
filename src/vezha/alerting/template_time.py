"""Times and durations in templates: what `toTime` and `toDuration` give, as Go prints and formats them. Pure.

A template may print them, or call a method: `{{ ($value | toTime).Format "2006-01-02" }}`.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

from vezha.alerting.errors import TemplateError

_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_LAYOUT = re.compile(
    r"January|Jan|Monday|Mon|MST|2006|Z07:00|Z0700|-07:00|-0700|-07|\.0+|\.9+|002|01|02|03|04|05|06|15"
    r"|PM|pm|_2|1|2|3|4|5"
)


class GoTime:
    """An instant in UTC; *seconds* since the epoch. Raises TemplateError beyond what can be shown."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        try:
            self._moment = datetime.fromtimestamp(seconds, timezone.utc)
        except (ValueError, OverflowError, OSError):
            raise TemplateError(f"{seconds!r} is not a time that can be shown") from None

    def __str__(self) -> str:
        fraction = (
            f".{self._moment.microsecond:06d}".rstrip("0") if self._moment.microsecond else ""
        )
        return self._moment.strftime("%Y-%m-%d %H:%M:%S") + fraction + " +0000 UTC"

    def call(self, name: str, args: list[object]) -> object:
        """A method by its name in Go. Raises TemplateError."""
        moment = self._moment
        plain: dict[str, object] = {
            "Unix": int(self.seconds // 1),
            "UnixMilli": int(self.seconds * 1000 // 1),
            "Year": moment.year,
            "Day": moment.day,
            "Hour": moment.hour,
            "Minute": moment.minute,
            "Second": moment.second,
            "YearDay": moment.timetuple().tm_yday,
            "Month": _MONTHS[moment.month - 1],
            "Weekday": _DAYS[moment.weekday()],
            "String": str(self),
        }
        if name in ("UTC", "Local") and not args:
            return self
        if name in plain and not args:
            return plain[name]
        if name == "Format" and len(args) == 1 and isinstance(args[0], str):
            return _LAYOUT.sub(lambda m: self._part(m.group()), args[0])
        raise TemplateError(f"a time has no method {name} with {len(args)} arguments")

    def _part(self, word: str) -> str:
        moment = self._moment
        hour12 = moment.hour % 12 or 12
        if word[0] == ".":
            digits = f"{moment.microsecond:06d}000"[: len(word) - 1]
            kept = digits.rstrip("0") if word[1] == "9" else digits
            return f".{kept}" if kept else ""
        parts = {
            "2006": f"{moment.year:04d}", "06": f"{moment.year % 100:02d}",
            "January": _MONTHS[moment.month - 1], "Jan": _MONTHS[moment.month - 1][:3],
            "01": f"{moment.month:02d}", "1": f"{moment.month}",
            "Monday": _DAYS[moment.weekday()], "Mon": _DAYS[moment.weekday()][:3],
            "02": f"{moment.day:02d}", "_2": f"{moment.day:2d}", "2": f"{moment.day}",
            "002": f"{moment.timetuple().tm_yday:03d}",
            "15": f"{moment.hour:02d}", "03": f"{hour12:02d}", "3": f"{hour12}",
            "04": f"{moment.minute:02d}", "4": f"{moment.minute}",
            "05": f"{moment.second:02d}", "5": f"{moment.second}",
            "PM": "PM" if moment.hour >= 12 else "AM", "pm": "pm" if moment.hour >= 12 else "am",
            "MST": "UTC", "Z07:00": "Z", "Z0700": "Z", "-07:00": "+00:00", "-0700": "+0000",
            "-07": "+00",
        }  # fmt: skip
        return parts[word]


class GoDuration:
    """A length of time in *seconds*, kept to the nanosecond."""

    def __init__(self, seconds: float) -> None:
        self.ns = round(seconds * 1e9)

    def __str__(self) -> str:
        """As Go writes it: 1h2m3.5s, 1.5ms, 0s."""
        ns = abs(self.ns)
        sign = "-" if self.ns < 0 else ""
        if ns == 0:
            return "0s"
        for size, unit in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms")):
            if ns < 1_000 * size:
                return f"{sign}{_decimal(ns, size)}{unit}"
        seconds, rest = divmod(ns, 1_000_000_000)
        hours, minutes = seconds // 3600, seconds // 60 % 60
        text = _decimal(seconds % 60 * 1_000_000_000 + rest, 1_000_000_000) + "s"
        if hours:
            return f"{sign}{hours}h{minutes}m{text}"
        return f"{sign}{minutes}m{text}" if minutes else sign + text

    def call(self, name: str, args: list[object]) -> object:
        """A method by its name in Go. Raises TemplateError."""
        plain: dict[str, object] = {
            "Hours": self.ns / 3.6e12,
            "Minutes": self.ns / 6e10,
            "Seconds": self.ns / 1e9,
            "Milliseconds": int(self.ns / 1e6),
            "String": str(self),
        }
        if name in plain and not args:
            return plain[name]
        raise TemplateError(f"a duration has no method {name} with {len(args)} arguments")


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
