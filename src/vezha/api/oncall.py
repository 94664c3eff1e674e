"""`/api/v1/oncall`: schedules, who is on call, shifts, who stands in."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy import Connection

from vezha.access import Action
from vezha.api.duty_rows import change, given, read, time_ms
from vezha.api.errors import InvalidError
from vezha.api.route import Call, Route, path_id
from vezha.incidents.limits import NOTE_CHARS_MAX
from vezha.incidents.oncall import rows
from vezha.incidents.oncall.document import (
    read_schedule,
    show_schedule,
)
from vezha.incidents.oncall.limits import GAPS_AHEAD_MS, NEXT_AHEAD_MS
from vezha.incidents.oncall.person import read_contacts
from vezha.incidents.oncall.rota import (
    Override,
    Schedule,
    Span,
    gaps,
    next_on_call,
    on_call,
    shifts,
)

_DAY_MS = 86_400_000


class ShiftView(msgspec.Struct):
    """From `starts_at` to `ends_at` it is `person` (empty: nobody), by a layer or an override."""

    starts_at: float
    ends_at: float
    person: str
    source: str


class OverrideView(msgspec.Struct):
    """Somebody who stands in."""

    id: int
    person: str
    starts_at: float
    ends_at: float
    author: str
    comment: str


class NowView(msgspec.Struct):
    """Who is on call in a schedule: the shift that runs, the next person's, gaps of four weeks.

    `reachable` says whether the person on call has a contact.
    """

    schedule: str
    title: str
    time_zone: str
    now: ShiftView
    next: ShiftView | None
    reachable: bool
    gaps: list[ShiftView]


class OnCallView(msgspec.Struct):
    """All schedules as they are now."""

    schedules: list[NowView]


class DutyWindowBody(msgspec.Struct, forbid_unknown_fields=True):
    """A weekly window: days (mon … sun), `start` as HH:MM, its length."""

    days: list[str]
    start: str
    minutes: int


class LayerBody(msgspec.Struct, forbid_unknown_fields=True):
    """People who take turns: `rotation` is daily, weekly, 12h, 3d …; `start` the first hand-over."""

    name: str
    people: list[str]
    start: str
    rotation: str = "weekly"
    windows: list[DutyWindowBody] = []


class ScheduleBody(msgspec.Struct, forbid_unknown_fields=True):
    """A schedule; later layers stand over earlier ones."""

    layers: list[LayerBody]
    time_zone: str = "UTC"
    title: str = ""
    name: str = ""


class ScheduleView(msgspec.Struct):
    """A schedule with its overrides that run or are to come."""

    name: str
    title: str
    time_zone: str
    layers: list[LayerBody]
    overrides: list[OverrideView]


class SchedulesView(msgspec.Struct):
    """All schedules, by name."""

    schedules: list[ScheduleView]


class ShiftsQuery(msgspec.Struct):
    """From when to when, in seconds since the epoch; by default four weeks from now."""

    start: float | None = None
    end: float | None = None


class ShiftsView(msgspec.Struct):
    """Shifts without overlap that cover all of the time asked for; nobody's are gaps."""

    shifts: list[ShiftView]


class OverrideBody(msgspec.Struct, forbid_unknown_fields=True):
    """*person* stands in from (default now) to, or for `minutes`."""

    person: str
    starts_at: float | None = None
    ends_at: float | None = None
    minutes: float | None = None
    comment: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""


def span_view(span: Span) -> ShiftView:
    """A shift as the API shows it."""
    return ShiftView(span.starts_ms / 1000, span.ends_ms / 1000, span.person, span.source)


def override_view(one: Override) -> OverrideView:
    """An override as the API shows it."""
    return OverrideView(
        one.id, one.person, one.starts_ms / 1000, one.ends_ms / 1000, one.author, one.comment
    )


def now_view(
    schedule: Schedule, overrides: list[Override], reachable: set[str], now_ms: int
) -> NowView:
    """Who is on call, who comes next, what is not covered."""
    now = on_call(schedule, overrides, now_ms)
    after = next_on_call(schedule, overrides, now_ms, NEXT_AHEAD_MS)
    open_ = gaps(schedule, overrides, now_ms, now_ms + GAPS_AHEAD_MS)
    return NowView(
        schedule.name, schedule.title, schedule.time_zone, span_view(now),
        None if after is None else span_view(after), now.person in reachable,
        [span_view(s) for s in open_[:100]],
    )  # fmt: skip


def everyone_now(connection: Connection, now_ms: int) -> list[NowView]:
    """All schedules as they are now."""
    overrides = rows.read_overrides(connection, now_ms - NEXT_AHEAD_MS)
    reachable = {c.person for c in read_contacts(connection)}
    return [
        now_view(s, overrides.get(s.name, []), reachable, now_ms)
        for s in rows.read_schedules(connection)
    ]


def now(call: Call) -> OnCallView:
    """Who is on call."""
    return OnCallView(read(call, lambda c: everyone_now(c, call.services.now_ms())))


def schedules(call: Call) -> dict[str, Any]:
    """All schedules."""

    def look(connection: Connection) -> list[dict[str, Any]]:
        overrides = rows.read_overrides(connection, call.services.now_ms())
        return [_schedule(s, overrides) for s in rows.read_schedules(connection)]

    return {"schedules": read(call, look)}


def _schedule(schedule: Schedule, overrides: dict[str, list[Override]]) -> dict[str, Any]:
    own = overrides.get(schedule.name, [])
    return {**show_schedule(schedule), "overrides": [override_view(o) for o in own]}


def schedule(call: Call) -> dict[str, Any]:
    """One schedule."""
    name = call.path["name"]

    def look(connection: Connection) -> dict[str, Any]:
        overrides = rows.read_overrides(connection, call.services.now_ms(), name)
        return _schedule(rows.get_schedule(connection, name), overrides)

    result: dict[str, Any] = read(call, look)
    return result


def put_schedule(call: Call) -> dict[str, Any]:
    """Make or change a schedule."""
    name = call.path["name"]

    def do(connection: Connection) -> None:
        wanted = read_schedule(given(call, name), name)
        rows.put_schedule(connection, wanted, call.subject.name, call.services.now_ms())

    change(call, do, name, {"layers": len(call.body.layers)})
    return schedule(call)


def remove_schedule(call: Call) -> None:
    """Forget a schedule."""
    name = call.path["name"]
    change(call, lambda c: rows.remove_schedule(c, name), name, {"removed": True})


def shifts_of(call: Call) -> ShiftsView:
    """Who is on call when."""
    query: ShiftsQuery = call.query
    now_ms = call.services.now_ms()
    from_ms = now_ms if query.start is None else time_ms(query.start, "start")
    to_ms = from_ms + 28 * _DAY_MS if query.end is None else time_ms(query.end, "end")

    def look(connection: Connection) -> ShiftsView:
        one = rows.get_schedule(connection, call.path["name"])
        overrides = rows.read_overrides(connection, from_ms, one.name).get(one.name, [])
        return ShiftsView([span_view(s) for s in shifts(one, overrides, from_ms, to_ms)])

    result: ShiftsView = read(call, look)
    return result


def add_override(call: Call) -> OverrideView:
    """Somebody stands in."""
    body: OverrideBody = call.body
    name = call.path["name"]
    now_ms = call.services.now_ms()
    starts_ms = now_ms if body.starts_at is None else time_ms(body.starts_at, "starts_at")
    if (body.ends_at is None) == (body.minutes is None):
        raise InvalidError("Give either ends_at or minutes.", "ends_at")
    if body.ends_at is not None:
        ends_ms = time_ms(body.ends_at, "ends_at")
    else:
        assert body.minutes is not None
        ends_ms = starts_ms + int(min(max(body.minutes, -1), 1e7) * 60_000)

    def do(connection: Connection) -> Override:
        return rows.add_override(
            connection, name, body.person, starts_ms, ends_ms, call.subject.name, body.comment,
            now_ms,
        )  # fmt: skip

    detail = {"person": body.person, "starts_ms": starts_ms, "ends_ms": ends_ms}
    return override_view(change(call, do, name, detail))


def end_override(call: Call) -> None:
    """End an override now."""
    id_ = path_id(call)
    now_ms = call.services.now_ms()
    change(
        call,
        lambda c: rows.end_override(c, id_, call.subject.name, now_ms),
        str(id_),
        {"override": id_},
    )


_SCHEDULE = "/api/v1/oncall/schedules/{name}"
ROUTES = (
    Route("GET", "/api/v1/oncall", Action.ONCALL_READ, now,
          "Who is on call in each schedule, who is next, and gaps.", result=OnCallView),
    Route("GET", "/api/v1/oncall/schedules", Action.ONCALL_READ, schedules,
          "All on-call schedules.", result=SchedulesView),
    Route("GET", _SCHEDULE, Action.ONCALL_READ, schedule,
          "One schedule with its overrides.", result=ScheduleView),
    Route("PUT", _SCHEDULE, Action.ONCALL_CHANGE, put_schedule,
          "Make or change a schedule.", body=ScheduleBody, result=ScheduleView),
    Route("DELETE", _SCHEDULE, Action.ONCALL_CHANGE, remove_schedule,
          "Forget a schedule.", status=204),
    Route("GET", f"{_SCHEDULE}/shifts", Action.ONCALL_READ, shifts_of,
          "Who is on call when, gaps included.", query=ShiftsQuery, result=ShiftsView),
    Route("POST", f"{_SCHEDULE}/overrides", Action.ONCALL_OVERRIDE, add_override,
          "Somebody stands in.", body=OverrideBody, result=OverrideView, status=201),
    Route("DELETE", "/api/v1/oncall/overrides/{id}", Action.ONCALL_OVERRIDE, end_override,
          "End an override now.", status=204),
)  # fmt: skip
