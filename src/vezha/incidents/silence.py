"""Silences and recurring maintenance windows: which alerts are told to nobody now, and why.

A silence has matchers (all must fit an alert's labels), a span and an author. A recurring one is
a maintenance window: within its span it holds on the given days from a time of day for so many
minutes, in its time zone. Pure, but for the two functions that read and write rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from vezha.incidents.errors import SilenceError
from vezha.incidents.limits import MATCHERS_MAX, NOTE_CHARS_MAX, SILENCE_MS_MAX
from vezha.incidents.words import Said
from vezha.ledger.tables import silence as silence_table
from vezha.model import recurrence
from vezha.model.recurrence import Recurrence, kept_recurrence

_OPS = ("=", "!=", "=~", "!~")
_MATCHER = re.compile(
    r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|([^",]*?))\s*(?:,|$)'
)
_PATTERN_CHARS_MAX = 500


@dataclass(frozen=True, slots=True)
class LabelMatcher:
    """One condition on a label; an absent label has the empty value."""

    name: str
    op: str
    value: str

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether *labels* fulfil it; regular expressions are anchored."""
        value = labels.get(self.name, "")
        if self.op in ("=", "!="):
            return (value == self.value) == (self.op == "=")
        return bool(re.fullmatch(self.value, value)) == (self.op == "=~")

    def __str__(self) -> str:
        return f'{self.name}{self.op}"{self.value}"'


@dataclass(frozen=True, slots=True)
class Silence:
    """A silence as kept. Times in ms."""

    id: int
    matchers: tuple[LabelMatcher, ...]
    starts_ms: int
    ends_ms: int
    author: str
    comment: str
    created_ms: int
    ended_by: str | None = None
    recurs: Recurrence | None = None
    team: str = ""
    """Whose it is: it silences that team's incidents alone. Empty: nobody's, and all."""

    def is_for(self, team: str) -> bool:
        """Whether it counts for incidents of *team*."""
        return self.team in ("", team)

    def holds(self, at_ms: int) -> bool:
        """Whether it silences at that instant."""
        if not self.starts_ms <= at_ms < self.ends_ms:
            return False
        return self.recurs is None or self.recurs.holds(at_ms)

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether every matcher does."""
        return all(m.fits(labels) for m in self.matchers)

    def state(self, at_ms: int) -> str:
        """`active`, `pending` (not yet, or between two windows) or `expired`."""
        if at_ms >= self.ends_ms:
            return "expired"
        return "active" if self.holds(at_ms) else "pending"

    @property
    def reason(self) -> Said:
        """Why an alert is silent, as a person reads it."""
        what = ("maintenance", "обслуговування") if self.recurs else ("silence", "тиша")
        said = f": {self.comment}" if self.comment else ""
        return Said(
            f"{what[0]} {self.id} by {self.author}{said}",
            f"{what[1]} {self.id}, {self.author}{said}",
        )


def parse_matchers(text: str) -> tuple[LabelMatcher, ...]:
    """Matchers of a silence: `instance="db-1", severity=~"warning|info"`. Raises SilenceError."""
    return checked_matchers(read_matchers(text))


def read_matchers(text: str) -> list[LabelMatcher]:
    """Matchers as written, of which none need ask for anything. Raises SilenceError."""
    text = text.strip().removeprefix("{").removesuffix("}")
    matchers = []
    at = 0
    while at < len(text):
        match = _MATCHER.match(text, at)
        if match is None:
            raise SilenceError(f'"{text[at:]}" is not a matcher; write for example instance="db-1"')
        quoted = match[3]
        value = match[4] if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted)
        matchers.append(make_matcher(match[1], match[2], value))
        at = match.end()
    return matchers


def make_matcher(name: str, op: str, value: str) -> LabelMatcher:
    """A matcher whose parts are checked. Raises SilenceError."""
    if op not in _OPS:
        raise SilenceError(f'"{op}" does not compare; use one of {" ".join(_OPS)}')
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name):
        raise SilenceError(f'"{name}" is not the name of a label')
    if len(value) > _PATTERN_CHARS_MAX:
        raise SilenceError(f"a value is longer than {_PATTERN_CHARS_MAX} characters")
    if op in ("=~", "!~"):
        try:
            re.compile(value)
        except re.error as fault:
            raise SilenceError(f'"{value}" is not a regular expression: {fault}') from None
        if re.search(r"[+*}]\)?[+*{]|\(\?[P=!<]|\\\d", value):
            raise SilenceError(f'"{value}" could take forever to compare; write it simpler')
    return LabelMatcher(name, op, value)


def checked_matchers(matchers: Sequence[LabelMatcher]) -> tuple[LabelMatcher, ...]:
    """*matchers*, of which at least one must ask for something. Raises SilenceError."""
    if not matchers:
        raise SilenceError("a silence needs at least one matcher")
    if len(matchers) > MATCHERS_MAX:
        raise SilenceError(f"a silence takes at most {MATCHERS_MAX} matchers")
    if all(m.fits({}) for m in matchers):
        raise SilenceError("the matchers fit every alert; name at least one label's value")
    return tuple(matchers)


def make_recurrence(days: Sequence[str], start: str, minutes: int, time_zone: str) -> Recurrence:
    """A weekly window: `mon … sun`, `HH:MM`, length, zone's name. Raises SilenceError."""
    try:
        return recurrence.make_recurrence(days, start, minutes, time_zone)
    except ValueError as fault:
        raise SilenceError(str(fault)) from None


def add_silence(
    connection: Connection,
    matchers: Sequence[LabelMatcher],
    starts_ms: int,
    ends_ms: int,
    author: str,
    comment: str,
    now_ms: int,
    recurs: Recurrence | None = None,
    team: str = "",
) -> Silence:
    """Keep a silence. Raises SilenceError."""
    if ends_ms <= starts_ms or ends_ms <= now_ms:
        raise SilenceError("a silence must end after it starts, and in the future")
    if ends_ms - starts_ms > SILENCE_MS_MAX:
        raise SilenceError("a silence lasts a year at most")
    if len(comment) > NOTE_CHARS_MAX:
        raise SilenceError(f"the comment is longer than {NOTE_CHARS_MAX} characters")
    matchers = checked_matchers(matchers)
    row: dict[str, Any] = {
        "matchers": [{"name": m.name, "op": m.op, "value": m.value} for m in matchers],
        "starts_ms": starts_ms,
        "ends_ms": ends_ms,
        "author": author,
        "comment": comment,
        "created_ms": now_ms,
        "recurs": None if recurs is None else recurs.as_row(),
        "team": team,
    }
    made = connection.execute(insert(silence_table).values(row)).inserted_primary_key
    assert made is not None
    id_ = int(made[0])
    return Silence(id_, matchers, starts_ms, ends_ms, author, comment, now_ms, None, recurs, team)


def team_of_silence(connection: Connection, id_: int) -> str:
    """Whose a silence is; empty: nobody's, or there is none."""
    found = connection.execute(
        select(silence_table.c.team).where(silence_table.c.id == id_)
    ).scalar_one_or_none()
    return found or ""


def end_silence(connection: Connection, id_: int, actor: str, now_ms: int) -> bool:
    """End a silence now; False where there is none that still runs or is to come."""
    done = connection.execute(
        update(silence_table)
        .where(silence_table.c.id == id_, silence_table.c.ends_ms > now_ms)
        .values(ends_ms=now_ms, ended_by=actor)
    )
    return bool(done.rowcount)


def read_silences(connection: Connection, ends_after_ms: int) -> list[Silence]:
    """Silences that end after that instant, newest first."""
    rows = connection.execute(
        select(silence_table)
        .where(silence_table.c.ends_ms > ends_after_ms)
        .order_by(silence_table.c.id.desc())
    )
    return [_of(row) for row in rows]


def _of(row: Any) -> Silence:
    matchers = tuple(LabelMatcher(m["name"], m["op"], m["value"]) for m in row.matchers)
    return Silence(
        row.id,
        matchers,
        row.starts_ms,
        row.ends_ms,
        row.author,
        row.comment,
        row.created_ms,
        row.ended_by,
        kept_recurrence(row.recurs),
        row.team,
    )
