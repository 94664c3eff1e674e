"""Windows: freezes, in which nothing changes, and maintenance, in which alone something does.

Pure, but for the functions at the end that read and write rows. A window has a selector: a
freeze keeps its hosts from being offered anything while it holds; a host that some maintenance
window covers is only offered anything while one of those holds. Going back is always allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection, insert, select, update

from vezha.delivery.errors import SpecError, about
from vezha.delivery.limits import SENTENCE_CHARS_MAX, WINDOW_MS_MAX
from vezha.delivery.selector import Selector, parse_selector
from vezha.ledger.tables import freeze as freeze_table
from vezha.model.recurrence import Recurrence, kept_recurrence

KINDS = ("freeze", "maintenance")
OVERRUNS = ("finish", "hold")
"""What becomes of a wave that has begun: it is finished, or nobody more is offered it."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window as kept. Times in ms."""

    id: int
    kind: str
    name: str
    selector: Selector
    starts_ms: int
    ends_ms: int
    recurs: Recurrence | None
    time_zone: str
    overrun: str
    comment: str
    author: str
    created_ms: int
    ended_by: str | None = None

    def holds(self, at_ms: int) -> bool:
        """Whether it is open at that instant."""
        if not self.starts_ms <= at_ms < self.ends_ms:
            return False
        return self.recurs is None or self.recurs.holds(at_ms)

    def state(self, at_ms: int) -> str:
        """`active`, `pending` or `expired`."""
        if at_ms >= self.ends_ms:
            return "expired"
        return "active" if self.holds(at_ms) else "pending"

    def next_ms(self, at_ms: int) -> int | None:
        """When it opens next, where it does."""
        if at_ms >= self.ends_ms:
            return None
        if self.recurs is None:
            return self.starts_ms if at_ms < self.starts_ms else None
        found = self.recurs.next_open_ms(max(at_ms, self.starts_ms))
        return found if found < self.ends_ms else None

    @property
    def title(self) -> str:
        """How sentences call it."""
        return f"{self.kind} {self.id}" + (f" ({self.name})" if self.name else "")

    def show(self, at_ms: int) -> str:
        """An instant in the window's own zone."""
        at = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(self.time_zone))
        return at.strftime("%Y-%m-%d %H:%M ") + self.time_zone


@dataclass(frozen=True, slots=True)
class Kept:
    """What keeps a host from being changed: the window, in a sentence, and its overrun rule."""

    sentence: str
    overrun: str


def keeps(
    windows: Sequence[Window], name: str, labels: Mapping[str, str], at_ms: int
) -> Kept | None:
    """What keeps the host from changes at that instant; None where nothing does."""
    inside, outside = False, None
    for window in windows:
        if at_ms >= window.ends_ms or not window.selector.covers(name, labels):
            continue
        holds = window.holds(at_ms)
        if window.kind == "freeze" and holds:
            until = "" if window.recurs else f" until {window.show(window.ends_ms)}"
            return Kept(f"{window.title} keeps changes out{until}", window.overrun)
        if window.kind == "maintenance":
            inside = inside or holds
            outside = outside or window
    if outside is None or inside:
        return None
    opens = outside.next_ms(at_ms)
    when = "" if opens is None else f", which opens {outside.show(opens)}"
    return Kept(f"it changes only in {outside.title}{when}", outside.overrun)


def check_window(
    kind: str, selector: str, starts_ms: int, ends_ms: int, time_zone: str, overrun: str,
    comment: str, now_ms: int,
) -> Selector:  # fmt: skip
    """The window's selector. Raises SpecError for what cannot be kept as asked."""
    if kind not in KINDS:
        raise SpecError(f'"{kind}" is not a kind of window; use {" or ".join(KINDS)}', "kind")
    if overrun not in OVERRUNS:
        raise SpecError(
            f'"{overrun}" is not an overrun rule; use {" or ".join(OVERRUNS)}', "overrun"
        )
    if ends_ms <= starts_ms or ends_ms <= now_ms:
        raise SpecError("a window must end after it starts, and in the future", "ends_at")
    if ends_ms - starts_ms > WINDOW_MS_MAX:
        raise SpecError("a window lasts a year at most; make another one next year", "ends_at")
    if len(comment) > SENTENCE_CHARS_MAX:
        raise SpecError(f"the comment is longer than {SENTENCE_CHARS_MAX} characters", "comment")
    try:
        ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise SpecError(
            f'there is no time zone "{time_zone}"; try Europe/Kyiv', "time_zone"
        ) from None
    with about("selector"):
        return parse_selector(selector)


def add_window(
    connection: Connection,
    *,
    kind: str,
    name: str,
    selector: str,
    starts_ms: int,
    ends_ms: int,
    recurs: Recurrence | None,
    time_zone: str,
    overrun: str,
    comment: str,
    author: str,
    now_ms: int,
) -> int:
    """Keep a window; its number. Raises SpecError."""
    parsed = check_window(kind, selector, starts_ms, ends_ms, time_zone, overrun, comment, now_ms)
    made = connection.execute(
        insert(freeze_table).values(
            kind=kind, name=name, selector=parsed.text, starts_ms=starts_ms, ends_ms=ends_ms,
            recurs=None if recurs is None else recurs.as_row(), time_zone=time_zone, overrun=overrun, comment=comment,
            author=author, created_ms=now_ms,
        )
    ).inserted_primary_key  # fmt: skip
    assert made is not None
    return int(made[0])


def edit_window(
    connection: Connection,
    id_: int,
    *,
    kind: str,
    name: str,
    selector: str,
    starts_ms: int,
    ends_ms: int,
    recurs: Recurrence | None,
    time_zone: str,
    overrun: str,
    comment: str,
    now_ms: int,
) -> bool:
    """Write a window anew that runs or is to come; False where there is none.

    Who made it and when stay; the audit tells who wrote it anew. Raises SpecError.
    """
    parsed = check_window(kind, selector, starts_ms, ends_ms, time_zone, overrun, comment, now_ms)
    done = connection.execute(
        update(freeze_table)
        .where(freeze_table.c.id == id_, freeze_table.c.ends_ms > now_ms)
        .values(
            kind=kind, name=name, selector=parsed.text, starts_ms=starts_ms, ends_ms=ends_ms,
            recurs=None if recurs is None else recurs.as_row(), time_zone=time_zone, overrun=overrun, comment=comment,
        )
    )  # fmt: skip
    return bool(done.rowcount)


def end_window(connection: Connection, id_: int, actor: str, now_ms: int) -> bool:
    """End a window now; False where there is none that still runs or is to come."""
    done = connection.execute(
        update(freeze_table)
        .where(freeze_table.c.id == id_, freeze_table.c.ends_ms > now_ms)
        .values(ends_ms=now_ms, ended_by=actor)
    )
    return bool(done.rowcount)


def read_windows(connection: Connection, ends_after_ms: int) -> list[Window]:
    """Windows that end after that instant, oldest first."""
    rows = connection.execute(
        select(freeze_table)
        .where(freeze_table.c.ends_ms > ends_after_ms)
        .order_by(freeze_table.c.id)
    )
    return list(_of(rows))


def _of(rows: Iterable[Any]) -> Iterable[Window]:
    for row in rows:
        yield Window(
            row.id, row.kind, row.name, parse_selector(row.selector), row.starts_ms, row.ends_ms,
            kept_recurrence(row.recurs), row.time_zone, row.overrun, row.comment, row.author,
            row.created_ms, row.ended_by,
        )  # fmt: skip
