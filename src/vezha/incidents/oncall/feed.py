"""Calendars that programs subscribe to: one of a schedule or of a person, by a secret address."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from vezha.access.secret import SECRET_CHARS, hash_secret, make_secret
from vezha.incidents.oncall.calendar import Shift, calendar
from vezha.incidents.oncall.errors import NothingThere, OnCallError
from vezha.incidents.oncall.limits import CALENDAR_AHEAD_MS, CALENDAR_BACK_MS, CALENDARS_MAX
from vezha.incidents.oncall.person import check_person, get_preference
from vezha.incidents.oncall.rota import shifts
from vezha.incidents.oncall.rows import get_schedule, read_overrides, read_schedules
from vezha.ledger.tables import calendar_feed
from vezha.world import Chance

PREFIX = "vzc_"
_TOUCH_MS = 3_600_000
_DAY_MS = 86_400_000


def make_feed(
    connection: Connection, schedule: str, person: str, actor: str, now_ms: int, chance: Chance
) -> tuple[int, str]:
    """A calendar's number and its secret, which is shown this once. Raises OnCallError."""
    if bool(schedule) == bool(person):
        raise OnCallError("a calendar is either a schedule's or a person's")
    if schedule:
        get_schedule(connection, schedule)
    else:
        check_person(connection, person)
    if (
        connection.execute(select(func.count()).select_from(calendar_feed)).scalar() or 0
    ) >= CALENDARS_MAX:
        raise OnCallError(f"there are {CALENDARS_MAX} calendars already; end some first")
    secret = make_secret(PREFIX, chance)
    made = connection.execute(
        insert(calendar_feed).values(
            token_hash=hash_secret(secret), schedule=schedule, person=person, created_by=actor,
            created_ms=now_ms,
        )
    ).inserted_primary_key  # fmt: skip
    assert made is not None
    return int(made[0]), secret


def end_feed(connection: Connection, id_: int) -> None:
    """Make a calendar's address worthless. Raises NothingThere."""
    if not connection.execute(delete(calendar_feed).where(calendar_feed.c.id == id_)).rowcount:
        raise NothingThere(f"there is no calendar {id_}")


def list_feeds(connection: Connection) -> list[Any]:
    """All calendars, without their secrets."""
    columns = [c for c in calendar_feed.c if c.name != "token_hash"]
    return list(connection.execute(select(*columns).order_by(calendar_feed.c.id)))


def find_feed(connection: Connection, secret: str) -> Any | None:
    """The calendar with that secret, or None."""
    if not secret.startswith(PREFIX) or len(secret) != SECRET_CHARS:
        return None
    wanted = select(calendar_feed).where(calendar_feed.c.token_hash == hash_secret(secret))
    return connection.execute(wanted).one_or_none()


def touch_feed(connection: Connection, row: Any, now_ms: int) -> None:
    """Note that it was fetched, at most once an hour."""
    if row.used_ms is None or now_ms - row.used_ms >= _TOUCH_MS:
        connection.execute(
            update(calendar_feed).where(calendar_feed.c.id == row.id).values(used_ms=now_ms)
        )


def schedule_calendar(connection: Connection, name: str, now_ms: int, language: str = "en") -> str:
    """The calendar of a schedule, gaps included. Raises NothingThere."""
    one = get_schedule(connection, name)
    since_ms, until_ms = _span(now_ms)
    overrides = read_overrides(connection, since_ms, name).get(name, [])
    spans = shifts(one, overrides, since_ms, until_ms)
    entries = [Shift(one.name, one.title, s) for s in spans if s.person or one.layers]
    return calendar(one.title or one.name, entries, now_ms, language)


def person_calendar(connection: Connection, person: str, now_ms: int) -> str:
    """The shifts of one person in all schedules."""
    since_ms, until_ms = _span(now_ms)
    overrides = read_overrides(connection, since_ms)
    entries = [
        Shift(one.name, one.title, span)
        for one in read_schedules(connection)
        for span in shifts(one, overrides.get(one.name, []), since_ms, until_ms)
        if span.person == person
    ]
    language = get_preference(connection, person).language or "en"
    return calendar(person, entries, now_ms, language)


def feed_text(connection: Connection, row: Any, now_ms: int) -> str:
    """What a calendar says now. Raises NothingThere."""
    if row.schedule:
        return schedule_calendar(connection, row.schedule, now_ms)
    return person_calendar(connection, row.person, now_ms)


def _span(now_ms: int) -> tuple[int, int]:
    """What a calendar shows: whole days, so that shifts cut at its ends keep their UID for a day."""
    today_ms = now_ms - now_ms % _DAY_MS
    return today_ms - CALENDAR_BACK_MS, today_ms + CALENDAR_AHEAD_MS
