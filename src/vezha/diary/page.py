"""Pages as rows: the newest facts of each week, and which weeks there are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from vezha.diary.errors import OperatorError
from vezha.diary.facts import WeekFacts, from_json, to_json
from vezha.diary.limits import PAGES_KEPT
from vezha.ledger.tables import diary_page


@dataclass(frozen=True, slots=True)
class PageRow:
    """A page that is there. `is_over`: its week had ended when it was made."""

    week: str
    made_ms: int
    is_over: bool


def list_pages(connection: Connection, limit: int = 60) -> list[PageRow]:
    """Weeks that have a page, the newest first."""
    rows = connection.execute(
        select(diary_page).order_by(diary_page.c.week.desc()).limit(max(1, limit))
    )
    return [
        PageRow(row.week, row.made_ms, row.made_ms >= row.facts.get("end_ms", 0)) for row in rows
    ]


def read_page(connection: Connection, week: str) -> WeekFacts | None:
    """The facts that are kept of a week, or None."""
    found = connection.execute(
        select(diary_page.c.facts).where(diary_page.c.week == week)
    ).scalar_one_or_none()
    return None if found is None else from_json(found)


def must_read_page(connection: Connection, week: str) -> WeekFacts:
    """The same. Raises OperatorError where there is none."""
    facts = read_page(connection, week)
    if facts is None:
        raise OperatorError(f"there is no page of week {week}")
    return facts


def write_page(connection: Connection, facts: WeekFacts) -> None:
    """Keep the facts of a week in place of older ones; the oldest weeks beyond a limit go."""
    values = {"facts": to_json(facts), "made_ms": facts.made_ms}
    done = connection.execute(
        update(diary_page).where(diary_page.c.week == facts.week).values(**values)
    )
    if done.rowcount:
        return
    connection.execute(insert(diary_page).values(week=facts.week, told=False, **values))
    old = connection.execute(
        select(diary_page.c.week).order_by(diary_page.c.week.desc()).offset(PAGES_KEPT)
    ).scalars()
    for week in list(old):
        connection.execute(delete(diary_page).where(diary_page.c.week == week))


def claim_telling(connection: Connection, week: str) -> bool:
    """Whether the caller is the one who hands the page to people: true once for each week."""
    done = connection.execute(
        update(diary_page)
        .where(diary_page.c.week == week, diary_page.c.told.is_(False))
        .values(told=True)
    )
    return done.rowcount == 1
