"""Durations of a script, and its start timestamps: `series@st _ -30s -1m-1mx3`.

A line of start timestamps says of each sample of the series with the same name how long before
(or, without a minus, behind) its own time its counter began: `_` is not known, `-30s` is 30 s
before, `-1m-1mx3` is 1, 2, 3 and 4 minutes before (one start of four samples a minute apart),
`-1mx3` is a minute before, four times.
"""

from __future__ import annotations

import re

from vezha.model.labels import Labels
from vezha.query.errors import ParseError
from vezha.query.lexer import Kind, tokenize
from vezha.query.script.series_text import POINTS_MAX, ScriptError, split_metric

Starts = list[int | None]
"""Of each sample, ms from its own time to its start; None where that is not known."""

_LINE = re.compile(r"(?P<metric>[^{\s]+|[^{]*\{.*\})@st(?P<rest>\s.*)?\Z")
_ITEM = re.compile(r"(?P<first>[-+]?[0-9a-z.]+?)(?P<step>[-+][0-9a-z.]+?)?(?:x(?P<times>\d+))?\Z")
_GAP = re.compile(r"_(?:x(\d+))?\Z")


def is_starts(line: str) -> bool:
    """Whether a line of a `load` has start timestamps."""
    return _LINE.match(line) is not None


def parse_starts(line: str) -> tuple[Labels, Starts]:
    """The series of a line of start timestamps, and them. Raises ScriptError."""
    found = _LINE.match(line)
    assert found is not None, "asked by is_starts before"
    labels, rest = split_metric(found["metric"])
    if rest:
        raise ScriptError(f"bad series {found['metric']!r}")
    starts: Starts = []
    for item in (found["rest"] or "").split():
        starts += _expand(item)
        if len(starts) > POINTS_MAX:
            raise ScriptError(f"more than {POINTS_MAX} start timestamps")
    return labels, starts


def _expand(item: str) -> Starts:
    gap = _GAP.match(item)
    if gap:
        return [None] * min(int(gap[1] or 1), POINTS_MAX + 1)
    found = _ITEM.match(item)
    if not found or (found["step"] and not found["times"]):
        raise ScriptError(f"bad start timestamp {item!r}")
    first = duration_ms(found["first"])
    step = duration_ms(found["step"]) if found["step"] else 0
    times = min(int(found["times"] or 0), POINTS_MAX)
    return [first + step * nth for nth in range(times + 1)]


def duration_ms(text: str) -> int:
    """`5m`, `1h30m`, `10`, `-5m` in milliseconds. Raises ScriptError."""
    sign = 1
    if text[:1] in "+-" and text:
        sign = -1 if text[0] == "-" else 1
        text = text[1:]
    try:
        tokens = tokenize(text)
    except ParseError:
        raise ScriptError(f"bad duration {text!r}") from None
    if len(tokens) != 2 or tokens[0].kind not in (Kind.NUMBER, Kind.DURATION):
        raise ScriptError(f"bad duration {text!r}")
    return sign * round(tokens[0].number * 1000)
