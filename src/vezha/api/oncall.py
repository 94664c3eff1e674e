"""`/api/v1/oncall` and `/api/v1/teams`: schedules, who is on call, policies, hand-overs, calendars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from sqlalchemy import Connection, select
from starlette.responses import Response

from vezha.access import Action, Role
from vezha.access.subject import SubjectKind
from vezha.api.errors import ApiError, InvalidError, NotFoundError
from vezha.api.incident_acts import refusal
from vezha.api.incident_views import sentence
from vezha.api.route import Call, Route, path_id, seconds
from vezha.incidents.errors import OperatorError
from vezha.incidents.limits import NOTE_CHARS_MAX
from vezha.incidents.oncall import feed, rows
from vezha.incidents.oncall.document import (
    read_policy,
    read_schedule,
    read_team,
    show_policy,
    show_schedule,
    show_team,
)
from vezha.incidents.oncall.errors import NothingThere
from vezha.incidents.oncall.handover import Item, Page, current_page, list_handovers
from vezha.incidents.oncall.limits import GAPS_AHEAD_MS, HANDOVERS_LISTED_MAX, NEXT_AHEAD_MS
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
from vezha.ledger.tables import escalation

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


class StepBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to wake (person:, schedule:, team:, receiver:NAME), and how long to wait then."""

    targets: list[str]
    wait_s: int = 300


class PolicyBody(msgspec.Struct, forbid_unknown_fields=True):
    """An escalation policy. `ack_timeout_s` 0: an acknowledgement holds for ever."""

    steps: list[StepBody]
    repeat: int = 0
    ack_timeout_s: int = 0
    severity: str = "warning"
    name: str = ""


class PoliciesView(msgspec.Struct):
    """All policies, by name."""

    policies: list[PolicyBody]


class TeamBody(msgspec.Struct, forbid_unknown_fields=True):
    """A team: whose alerts (`match`), by which policy, who is in it; the first by position counts."""

    match: list[str] = []
    policy: str = ""
    members: list[str] = []
    title: str = ""
    position: int = 100
    name: str = ""


class TeamsView(msgspec.Struct):
    """All teams, in the order in which they are asked."""

    teams: list[TeamBody]


class EscalationView(msgspec.Struct):
    """How far an incident's escalation is. `phase`: paging, held, asleep, quiet, exhausted, ended."""

    policy: str
    phase: str
    step: int
    round: int
    due_at: float | None
    asked_at: float | None


class HandoverQuery(msgspec.Struct):
    """Which hand-overs."""

    schedule: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=HANDOVERS_LISTED_MAX)] = 20
    language: Literal["en", "uk"] = "en"


class HandoverPageQuery(msgspec.Struct):
    """In which language titles and next steps are."""

    language: Literal["en", "uk"] = "en"


class HandoverItemView(msgspec.Struct):
    """One line of a hand-over page; `id` is the incident's, or the silence's, or 0."""

    kind: str
    id: int
    title: str
    severity: str
    state: str
    by: str
    since_at: float | None
    until_at: float | None
    next: str


class HandoverView(msgspec.Struct):
    """A hand-over page: what is open, silenced, changed, fragile, and what to look at first."""

    schedule: str
    from_person: str
    to_person: str
    at: float | None
    since_at: float | None
    resolved_count: int
    look_at: list[HandoverItemView]
    open: list[HandoverItemView]
    silenced: list[HandoverItemView]
    changed: list[HandoverItemView]
    fragile: list[HandoverItemView]


class HandoversView(msgspec.Struct):
    """Past hand-overs, the newest first."""

    handovers: list[HandoverView]


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


def item_view(item: Item, language: str) -> HandoverItemView:
    """A line of a hand-over page as the API shows it."""
    return HandoverItemView(
        item.kind, item.id, item.titled(language), item.severity, item.state,
        item.because(language),
        seconds(item.since_ms) if item.since_ms else None, seconds(item.until_ms),
        item.advised(language),
    )  # fmt: skip


def page_view(page: Page, language: str = "en") -> HandoverView:
    """A hand-over page as the API shows it."""
    lists = {
        name: [item_view(item, language) for item in getattr(page, name)]
        for name in ("look_at", "open", "silenced", "changed", "fragile")
    }
    return HandoverView(
        page.schedule, page.from_person, page.to_person, seconds(page.at_ms),
        seconds(page.since_ms), page.resolved_count, **lists,
    )  # fmt: skip


def _read(call: Call, look: Callable[[Connection], Any]) -> Any:
    try:
        with call.services.ledger.read() as connection:
            return look(connection)
    except NothingThere as fault:
        raise NotFoundError(sentence(fault)) from None
    except OperatorError as fault:
        raise InvalidError(sentence(fault)) from None


def change(call: Call, do: Callable[[Connection], Any], target: str, detail: dict[str, Any]) -> Any:
    """Change something within one transaction with its audit row; what *do* gives."""
    try:
        with call.services.ledger.begin() as connection:
            done = do(connection)
            call.audit(connection, target=target, detail=detail)
    except NothingThere as fault:
        raise NotFoundError(sentence(fault)) from None
    except OperatorError as fault:
        raise refusal(fault) from None
    call.services.nudge("incidents")
    return done


def now(call: Call) -> OnCallView:
    """Who is on call."""
    return OnCallView(_read(call, lambda c: everyone_now(c, call.services.now_ms())))


def schedules(call: Call) -> dict[str, Any]:
    """All schedules."""

    def look(connection: Connection) -> list[dict[str, Any]]:
        overrides = rows.read_overrides(connection, call.services.now_ms())
        return [_schedule(s, overrides) for s in rows.read_schedules(connection)]

    return {"schedules": _read(call, look)}


def _schedule(schedule: Schedule, overrides: dict[str, list[Override]]) -> dict[str, Any]:
    own = overrides.get(schedule.name, [])
    return {**show_schedule(schedule), "overrides": [override_view(o) for o in own]}


def schedule(call: Call) -> dict[str, Any]:
    """One schedule."""
    name = call.path["name"]

    def look(connection: Connection) -> dict[str, Any]:
        overrides = rows.read_overrides(connection, call.services.now_ms(), name)
        return _schedule(rows.get_schedule(connection, name), overrides)

    result: dict[str, Any] = _read(call, look)
    return result


def put_schedule(call: Call) -> dict[str, Any]:
    """Make or change a schedule."""
    name = call.path["name"]

    def do(connection: Connection) -> None:
        wanted = read_schedule(_given(call, name), name)
        rows.put_schedule(connection, wanted, call.subject.name, call.services.now_ms())

    change(call, do, name, {"layers": len(call.body.layers)})
    return schedule(call)


def remove_schedule(call: Call) -> None:
    """Forget a schedule."""
    name = call.path["name"]
    change(call, lambda c: rows.remove_schedule(c, name), name, {"removed": True})


def _given(call: Call, name: str) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(call.body)
    if document.get("name") not in (None, "", name):
        # who may change one name must not reach another by it
        raise InvalidError(f"The name in the body is not {name}, which the path says.", "name")
    document["name"] = name
    return document


def shifts_of(call: Call) -> ShiftsView:
    """Who is on call when."""
    query: ShiftsQuery = call.query
    now_ms = call.services.now_ms()
    from_ms = now_ms if query.start is None else _ms(query.start, "start")
    to_ms = from_ms + 28 * _DAY_MS if query.end is None else _ms(query.end, "end")

    def look(connection: Connection) -> ShiftsView:
        one = rows.get_schedule(connection, call.path["name"])
        overrides = rows.read_overrides(connection, from_ms, one.name).get(one.name, [])
        return ShiftsView([span_view(s) for s in shifts(one, overrides, from_ms, to_ms)])

    result: ShiftsView = _read(call, look)
    return result


def _ms(value: float, field: str) -> int:
    if not 0 <= value < 7e9:
        raise InvalidError(f"{field} is a time in seconds since 1970.", field)
    return int(value * 1000)


def add_override(call: Call) -> OverrideView:
    """Somebody stands in."""
    body: OverrideBody = call.body
    name = call.path["name"]
    now_ms = call.services.now_ms()
    starts_ms = now_ms if body.starts_at is None else _ms(body.starts_at, "starts_at")
    if (body.ends_at is None) == (body.minutes is None):
        raise InvalidError("Give either ends_at or minutes.", "ends_at")
    if body.ends_at is not None:
        ends_ms = _ms(body.ends_at, "ends_at")
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


def policies(call: Call) -> dict[str, Any]:
    """All escalation policies."""
    return {"policies": _read(call, lambda c: [show_policy(p) for p in rows.read_policies(c)])}


def policy(call: Call) -> dict[str, Any]:
    """One policy."""
    result: dict[str, Any] = _read(
        call, lambda c: show_policy(rows.get_policy(c, call.path["name"]))
    )
    return result


def put_policy(call: Call) -> dict[str, Any]:
    """Make or change a policy."""
    name = call.path["name"]

    def do(connection: Connection) -> None:
        wanted = read_policy(_given(call, name), name)
        rows.put_policy(connection, wanted, call.subject.name, call.services.now_ms())

    change(call, do, name, {"steps": len(call.body.steps)})
    return policy(call)


def remove_policy(call: Call) -> None:
    """Forget a policy."""
    name = call.path["name"]
    change(call, lambda c: rows.remove_policy(c, name), name, {"removed": True})


def teams(call: Call) -> dict[str, Any]:
    """All teams."""
    return {"teams": _read(call, lambda c: [show_team(t) for t in rows.read_teams(c)])}


def put_team(call: Call) -> dict[str, Any]:
    """Make or change a team."""
    name = call.path["name"]

    def do(connection: Connection) -> dict[str, Any]:
        wanted = read_team(_given(call, name), name)
        rows.put_team(connection, wanted, call.subject.name, call.services.now_ms())
        return show_team(wanted)

    result: dict[str, Any] = change(call, do, name, {"policy": call.body.policy})
    return result


def remove_team(call: Call) -> None:
    """Forget a team."""
    name = call.path["name"]
    change(call, lambda c: rows.remove_team(c, name), name, {"removed": True})


def escalation_of(call: Call) -> EscalationView:
    """How far an incident's escalation is."""
    id_ = path_id(call)

    def look(connection: Connection) -> EscalationView:
        row = connection.execute(
            select(escalation).where(escalation.c.incident_id == id_)
        ).one_or_none()
        if row is None:
            raise NothingThere(f"incident {id_} is not escalated")
        return EscalationView(
            row.policy, row.phase, row.step + 1, row.round + 1, seconds(row.due_ms),
            seconds(row.asked_ms),
        )  # fmt: skip

    result: EscalationView = _read(call, look)
    return result


def handover(call: Call) -> HandoverView:
    """The page of the shift that runs."""
    name = call.path["name"]
    page = _read(call, lambda c: current_page(c, name, call.services.now_ms()))
    return page_view(page, call.query.language)


def handovers(call: Call) -> HandoversView:
    """Past hand-overs."""
    query: HandoverQuery = call.query
    found = _read(call, lambda c: list_handovers(c, query.schedule, query.limit))
    pages = [page_view(Page.from_json(row.page), query.language) for row in found]
    return HandoversView(pages)


def calendars(call: Call) -> CalendarsView:
    """All calendars."""
    return CalendarsView([_calendar(row) for row in _read(call, feed.list_feeds)])


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


_SCHEDULE = "/api/v1/oncall/schedules/{name}"
_POLICY = "/api/v1/oncall/policies/{name}"
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
    Route("GET", f"{_SCHEDULE}/handover", Action.ONCALL_READ, handover,
          "What would be handed over now.", query=HandoverPageQuery, result=HandoverView),
    Route("GET", "/api/v1/oncall/handovers", Action.ONCALL_READ, handovers,
          "Past hand-overs.", query=HandoverQuery, result=HandoversView),
    Route("GET", "/api/v1/oncall/policies", Action.ONCALL_READ, policies,
          "All escalation policies.", result=PoliciesView),
    Route("GET", _POLICY, Action.ONCALL_READ, policy,
          "One escalation policy.", result=PolicyBody),
    Route("PUT", _POLICY, Action.ONCALL_CHANGE, put_policy,
          "Make or change an escalation policy.", body=PolicyBody, result=PolicyBody),
    Route("DELETE", _POLICY, Action.ONCALL_CHANGE, remove_policy,
          "Forget an escalation policy.", status=204),
    Route("GET", "/api/v1/incidents/{id}/escalation", Action.INCIDENT_READ, escalation_of,
          "How far an incident's escalation is.", result=EscalationView),
    Route("GET", "/api/v1/oncall/calendars", Action.ONCALL_READ, calendars,
          "Calendars to subscribe to, without their secrets.", result=CalendarsView),
    Route("POST", "/api/v1/oncall/calendars", Action.CALENDAR_CHANGE, make_calendar,
          "Make a calendar's address (shown once).", body=CalendarBody, result=CalendarView,
          status=201),
    Route("DELETE", "/api/v1/oncall/calendars/{id}", Action.CALENDAR_CHANGE, end_calendar,
          "Make a calendar's address worthless.", status=204),
    Route("GET", "/api/v1/oncall/calendar/{secret}", Action.CALENDAR_FETCH, read_calendar,
          "A calendar (iCalendar), by the secret in its address."),
    Route("GET", "/api/v1/teams", Action.ONCALL_READ, teams, "All teams.", result=TeamsView),
    Route("PUT", "/api/v1/teams/{name}", Action.TEAM_CHANGE, put_team,
          "Make or change a team.", body=TeamBody, result=TeamBody),
    Route("DELETE", "/api/v1/teams/{name}", Action.TEAM_CHANGE, remove_team,
          "Forget a team.", status=204),
)  # fmt: skip
