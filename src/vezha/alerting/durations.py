"""Durations as Prometheus writes them: `90s`, `1h30m`, `1d`, `250ms`, `0`."""

from __future__ import annotations

import re

_UNITS_MS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?"
)


def parse_duration(text: str) -> int:
    """Milliseconds of *text*; units may follow one another from the largest to the smallest.

    Raises ValueError with a sentence.
    """
    text = text.strip()
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if match is None or text == "":
        raise ValueError(f'"{text}" is not a duration; write for example 30s, 5m, 1h30m or 1d')
    total = 0
    for amount, unit_ms in zip(match.groups(), _UNITS_MS.values(), strict=True):
        if amount is not None:
            total += int(amount) * unit_ms
    return total


def format_duration(ms: int) -> str:
    """The shortest text for *ms* that `parse_duration` reads back."""
    if ms == 0:
        return "0s"
    out = []
    rest = ms
    for unit, unit_ms in _UNITS_MS.items():
        if unit == "w" and rest % unit_ms:
            # weeks read well only when they come out even, as in Prometheus
            continue
        if unit == "y" and rest % unit_ms:
            continue
        count, rest = divmod(rest, unit_ms)
        if count:
            out.append(f"{count}{unit}")
    return "".join(out)


def spoken_duration(seconds: float) -> str:
    """How a person would say it: `12 s`, `3 min`, `2 h 5 min`, `4 days`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        hours, minutes = whole // 3600, whole % 3600 // 60
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days = whole // 86_400
    return f"{days} days" if days != 1 else "1 day"
