"""Shifts as iCalendar (RFC 5545), which calendar programs subscribe to. Pure.

Times are in UTC, so that no program needs to know our zones; lines are folded at 75 octets, never
within a character; an event's UID stays the same while its shift does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone

from vezha.incidents.oncall.rota import Span

_LINE_OCTETS = 75
_WORDS = {
    "en": ("{person} on call: {schedule}", "Nobody on call: {schedule}", "On call"),
    "uk": ("{person} чергує: {schedule}", "Ніхто не чергує: {schedule}", "Чергування"),
}


@dataclass(frozen=True, slots=True)
class Shift:
    """One entry of a calendar."""

    schedule: str
    title: str
    span: Span


def calendar(name: str, shifts: Iterable[Shift], now_ms: int, language: str = "en") -> str:
    """The calendar's text."""
    taken, gap, about = _WORDS.get(language, _WORDS["en"])
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Vezha//On call//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        f"X-WR-CALNAME:{_escaped(f'{about}: {name}')}",
        "REFRESH-INTERVAL;VALUE=DURATION:PT1H",
        "X-PUBLISHED-TTL:PT1H",
    ]
    for shift in shifts:
        span = shift.span
        words = taken if span.person else gap
        text = words.format(person=span.person, schedule=shift.title or shift.schedule)
        key = f"{shift.schedule}\n{span.starts_ms}\n{span.person}"
        uid = hashlib.sha256(key.encode()).hexdigest()[:32]
        lines += [
            "BEGIN:VEVENT",
            f"UID:{uid}@vezha",
            f"DTSTAMP:{_utc(now_ms)}",
            f"DTSTART:{_utc(span.starts_ms)}",
            f"DTEND:{_utc(span.ends_ms)}",
            f"SUMMARY:{_escaped(text)}",
            f"DESCRIPTION:{_escaped(span.source)}",
            "TRANSP:TRANSPARENT" if not span.person else "TRANSP:OPAQUE",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(f"{folded}\r\n" for line in lines for folded in _folded(line))


def _utc(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1000, timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def _escaped(text: str) -> str:
    for sign in ("\\", ";", ","):
        text = text.replace(sign, "\\" + sign)
    kept = "".join(c for c in text if c >= " " or c == "\n")
    return kept.replace("\n", "\\n")


def _folded(line: str) -> list[str]:
    out, current, size = [], "", 0
    for sign in line:
        octets = len(sign.encode())
        if size + octets > _LINE_OCTETS:
            out.append(current)
            current, size = " ", 1
        current += sign
        size += octets
    return [*out, current]
