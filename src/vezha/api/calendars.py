"""`/api/v1/oncall/calendars`: calendars to subscribe to, each at an address with a secret."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection
from starlette.responses import Response

from vezha.access import Action, Role
from vezha.access.subject import SubjectKind
from vezha.api.duty_rows import change, read
from vezha.api.errors import ApiError, NotFoundError
from vezha.api.route import Call, Route, path_id, seconds
from vezha.incidents.oncall import feed
from vezha.incidents.oncall.errors import NothingThere


class CalendarBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whose calendar: a schedule's, or a person's (operators: only their own)."""

    schedule: str = ""
    person: str = ""


class CalendarView(msgspec.Struct):
    """A calendar to subscribe to. `path` (with its secret) is only shown when it is made."""

    id: int
    schedule: str
    person: str
    created_by: str
    created_at: float | None
    used_at: float | None
    path: str = ""


class CalendarsView(msgspec.Struct):
    """All calendars, without their secrets."""

    calendars: list[CalendarView]


def calendars(call: Call) -> CalendarsView:
    """All calendars."""
    return CalendarsView([_calendar(row) for row in read(call, feed.list_feeds)])


def _calendar(row: Any, path: str = "") -> CalendarView:
    return CalendarView(
        row.id, row.schedule, row.person, row.created_by, seconds(row.created_ms),
        seconds(row.used_ms), path,
    )  # fmt: skip


def make_calendar(call: Call) -> CalendarView:
    """Make a calendar's address."""
    body: CalendarBody = call.body
    subject = call.subject
    if body.person and body.person != subject.name and subject.role is not Role.ADMIN:
        raise ApiError(403, "not_yours", "Only an admin makes another person's calendar.")
    if subject.kind is SubjectKind.TOKEN and subject.role is not Role.ADMIN and body.person:
        raise ApiError(403, "not_yours", "A token makes a person's calendar only as an admin.")

    def do(connection: Connection) -> CalendarView:
        id_, secret = feed.make_feed(
            connection, body.schedule, body.person, subject.name, call.services.now_ms(),
            call.services.world.chance,
        )  # fmt: skip
        row = next(r for r in feed.list_feeds(connection) if r.id == id_)
        return _calendar(row, f"/api/v1/oncall/calendar/{secret}.ics")

    made: CalendarView = change(call, do, body.schedule or body.person, {})
    return made


def end_calendar(call: Call) -> None:
    """Make a calendar's address worthless."""
    id_ = path_id(call)
    change(call, lambda c: feed.end_feed(c, id_), str(id_), {})


def read_calendar(call: Call) -> Response:
    """The calendar itself, by its secret."""
    secret = call.path["secret"].removesuffix(".ics")
    services = call.services
    with services.ledger.read() as connection:
        row = feed.find_feed(connection, secret)
        if row is None:
            raise NotFoundError("There is no calendar at this address.")
        try:
            text = feed.feed_text(connection, row, services.now_ms())
        except NothingThere:
            raise NotFoundError("There is no calendar at this address any more.") from None
    with services.ledger.begin() as connection:
        feed.touch_feed(connection, row, services.now_ms())
    return Response(text, media_type="text/calendar; charset=utf-8")


ROUTES = (
    Route("GET", "/api/v1/oncall/calendars", Action.ONCALL_READ, calendars,
          "Calendars to subscribe to, without their secrets.", result=CalendarsView),
    Route("POST", "/api/v1/oncall/calendars", Action.CALENDAR_CHANGE, make_calendar,
          "Make a calendar's address (shown once).", body=CalendarBody, result=CalendarView,
          status=201),
    Route("DELETE", "/api/v1/oncall/calendars/{id}", Action.CALENDAR_CHANGE, end_calendar,
          "Make a calendar's address worthless.", status=204),
    Route("GET", "/api/v1/oncall/calendar/{secret}", Action.CALENDAR_FETCH, read_calendar,
          "A calendar (iCalendar), by the secret in its address."),
)  # fmt: skip
