"""iCalendar as RFC 5545 wants it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from vezha.incidents.oncall.calendar import Shift, calendar
from vezha.incidents.oncall.rota import Span

NOW_MS = 1_700_000_000_000


def entries(text: str) -> list[dict[str, str]]:
    """A small reader: unfolds lines, splits events."""
    assert text.endswith("\r\n")
    lines = text.replace("\r\n ", "").split("\r\n")
    out: list[dict[str, str]] = []
    for line in lines:
        if line == "BEGIN:VEVENT":
            out.append({})
        elif out and ":" in line:
            name, _, value = line.partition(":")
            out[-1].setdefault(name, re.sub(r"\\([\\;,])", r"\1", value))
    return out


def test_a_shift_and_a_gap() -> None:
    spans = [
        Span(NOW_MS, NOW_MS + 3_600_000, "Олена; К, \\"),
        Span(NOW_MS + 3_600_000, NOW_MS + 7_200_000, ""),
    ]
    text = calendar("db", [Shift("db", "Бази", s) for s in spans], NOW_MS, "uk")
    first, second = entries(text)
    assert first["SUMMARY"] == "Олена; К, \\ чергує: Бази"
    assert first["DTSTART"] == "20231114T221320Z"
    assert first["DTEND"] == "20231114T231320Z"
    assert second["SUMMARY"] == "Ніхто не чергує: Бази"
    assert first["UID"] != second["UID"]
    again = calendar("db", [Shift("db", "Бази", spans[0])], NOW_MS + 5_000, "uk")
    assert entries(again)[0]["UID"] == first["UID"]


@given(st.text(max_size=200), st.text(max_size=200))
def test_lines_are_folded_at_75_octets_and_within_no_character(person: str, title: str) -> None:
    text = calendar(title, [Shift("s", title, Span(NOW_MS, NOW_MS + 1000, person))], NOW_MS)
    data = text.encode("utf-8", "surrogatepass")
    lines = data.split(b"\r\n")
    assert all(len(line) <= 75 for line in lines)
    for line in lines:
        line.decode("utf-8", "surrogatepass")
    assert data.count(b"BEGIN:VEVENT\r\n") == 1
    assert b"\n" not in data.replace(b"\r\n", b"")
