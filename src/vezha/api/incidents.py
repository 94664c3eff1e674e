"""`/api/v1/incidents` and `/api/v1/silences`: the incident desk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from vezha.access import Action, SubjectKind
from vezha.api import incident_acts, incident_times
from vezha.api.errors import ConflictError, InvalidError, NotFoundError
from vezha.api.incident_views import (
    IncidentDetailView,
    IncidentView,
    detail_of,
    incident_view,
    sentence,
)
from vezha.api.own_team import check_own_team
from vezha.api.route import Call, Route, path_id, seconds
from vezha.api.signals import scores_of
from vezha.incidents.cause import Cause, likely_causes
from vezha.incidents.errors import NoSuchIncident, OperatorError, SilenceError, WrongState
from vezha.incidents.limits import CLOSED_SILENCES_KEPT_MS, INCIDENTS_LISTED_MAX, NOTE_CHARS_MAX
from vezha.incidents.loop import act_in
from vezha.incidents.seen import is_unseen, see_in
from vezha.incidents.silence import (
    Silence,
    add_silence,
    checked_matchers,
    end_silence,
    make_matcher,
    make_recurrence,
    parse_matchers,
    read_silences,
    team_of_silence,
)
from vezha.incidents.state import OVER, Act
from vezha.incidents.usage import score_of
from vezha.incidents.views import View, list_incidents
from vezha.ledger import Ledger
from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.model.recurrence import DAYS
from vezha.model.severity import Severity


class IncidentsView(msgspec.Struct):
    """Incidents: open ones first, then the newest first."""

    incidents: list[IncidentView]


class IncidentsQuery(msgspec.Struct):
    """Which incidents."""

    state: str = "open"
    limit: Annotated[int, msgspec.Meta(ge=1, le=INCIDENTS_LISTED_MAX)] = 100


class ActBody(msgspec.Struct, forbid_unknown_fields=True):
    """An optional note that goes into the timeline."""

    note: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""


class NoteBody(msgspec.Struct, forbid_unknown_fields=True):
    """A note for the timeline."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=NOTE_CHARS_MAX)]


class MatcherBody(msgspec.Struct, forbid_unknown_fields=True):
    """One condition on an alert's labels: =, !=, =~ or !~."""

    name: str
    value: str
    op: str = "="


class RecursBody(msgspec.Struct, forbid_unknown_fields=True):
    """A weekly window: days (mon … sun), `start` as HH:MM in `time_zone`, its length."""

    days: list[str]
    start: str
    minutes: int
    time_zone: str = "UTC"


class SilenceBody(msgspec.Struct, forbid_unknown_fields=True):
    """A silence: `matchers` as a list or as text, from (default now) to, or for `minutes`."""

    matchers: list[MatcherBody] | str
    comment: Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)] = ""
    starts_at: float | None = None
    ends_at: float | None = None
    minutes: float | None = None
    recurs: RecursBody | None = None
    team: Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)] = ""
    """Whose it is: it silences that team's incidents alone, and only its members and admins end it."""


class SilenceView(msgspec.Struct):
    """A silence. `state`: active, pending or expired."""

    id: int
    state: str
    matchers: list[MatcherBody]
    starts_at: float | None
    ends_at: float | None
    author: str
    comment: str
    created_at: float | None
    ended_by: str | None
    recurs: RecursBody | None
    team: str


class SilencesView(msgspec.Struct):
    """Silences, the newest first."""

    silences: list[SilenceView]


def open_incidents(
    ledger: Ledger, scores: Mapping[str, float] | None = None
) -> list[dict[str, Any]]:
    """Open incidents for the live stream, by *scores* of their signals."""
    with ledger.read() as connection:
        found = list_incidents(connection, True, INCIDENTS_LISTED_MAX)
        causes = likely_causes(connection, [view.id for view in found])
    return by_use(found, scores or {}, causes)


def by_use(
    views: Sequence[View], scores: Mapping[str, float], causes: Mapping[int, Cause]
) -> list[dict[str, Any]]:
    """Open ones first, of those the worst, of those what people act on, then as they are."""
    rated = [(view, score_of(view.alert_names, scores)) for view in views]
    rated.sort(
        key=lambda r: (
            (0, Severity(r[0].severity).rank, -r[1]) if r[0].state not in OVER else (1, 0, 0.0)
        )
    )
    return [incident_view(view, score, causes.get(view.id)) for view, score in rated]


def list_all(call: Call) -> dict[str, Any]:
    """Incidents."""
    query: IncidentsQuery = call.query
    if query.state not in ("open", "all"):
        raise InvalidError("state is open or all.", "state")
    with call.services.ledger.read() as connection:
        found = list_incidents(connection, query.state == "open", query.limit)
        causes = likely_causes(connection, [view.id for view in found])
    return {"incidents": by_use(found, scores_of(call.services), causes)}


def read(call: Call) -> dict[str, Any]:
    """One incident. The first person who looks has seen it; programs do not count."""
    if call.subject.kind is SubjectKind.USER:
        services = call.services
        with services.ledger.read() as connection:
            unseen = is_unseen(connection, path_id(call))
        if unseen:
            with services.ledger.begin() as connection:
                see_in(connection, path_id(call), call.subject.name, services.now_ms())
            services.nudge("incidents")
    return detail_of(call.services.ledger, path_id(call))


def _act(call: Call, act: Act, text: str) -> dict[str, Any]:
    id_ = path_id(call)
    services = call.services
    try:
        with services.ledger.begin() as connection:
            act_in(connection, id_, act, call.subject.name, text, services.now_ms())
            call.audit(connection, target=str(id_), detail={"note": text} if text else {})
    except NoSuchIncident as fault:
        raise NotFoundError(sentence(fault)) from None
    except WrongState as fault:
        raise ConflictError(sentence(fault)) from None
    except OperatorError as fault:
        raise InvalidError(sentence(fault)) from None
    services.nudge("incidents")
    return detail_of(call.services.ledger, id_)


def acknowledge(call: Call) -> dict[str, Any]:
    """Take an incident in hand."""
    return _act(call, Act.ACKNOWLEDGE, _note(call))


def resolve(call: Call) -> dict[str, Any]:
    """Say that an incident is over."""
    return _act(call, Act.RESOLVE, _note(call))


def reopen(call: Call) -> dict[str, Any]:
    """Say that an incident is not over."""
    return _act(call, Act.REOPEN, _note(call))


def note(call: Call) -> dict[str, Any]:
    """Write into an incident's timeline."""
    return _act(call, Act.NOTE, call.body.text)


def _note(call: Call) -> str:
    return "" if call.body is None else str(call.body.note)


def silence_view(silence: Silence, now_ms: int) -> dict[str, Any]:
    """A silence as the API shows it."""
    recurs = None
    if silence.recurs is not None:
        hours, minutes = divmod(silence.recurs.start_minute, 60)
        recurs = {
            "days": [DAYS[d] for d in silence.recurs.days],
            "start": f"{hours:02d}:{minutes:02d}",
            "minutes": silence.recurs.minutes,
            "time_zone": silence.recurs.time_zone,
        }
    return {
        "id": silence.id,
        "state": silence.state(now_ms),
        "matchers": [{"name": m.name, "op": m.op, "value": m.value} for m in silence.matchers],
        "starts_at": seconds(silence.starts_ms),
        "ends_at": seconds(silence.ends_ms),
        "author": silence.author,
        "comment": silence.comment,
        "created_at": seconds(silence.created_ms),
        "ended_by": silence.ended_by,
        "recurs": recurs,
        "team": silence.team,
    }


def list_silences(call: Call) -> dict[str, Any]:
    """Silences of now and of late."""
    now_ms = call.services.now_ms()
    with call.services.ledger.read() as connection:
        found = read_silences(connection, now_ms - CLOSED_SILENCES_KEPT_MS)
    return {"silences": [silence_view(s, now_ms) for s in found]}


def create_silence(call: Call) -> dict[str, Any]:
    """Begin a silence or a maintenance window."""
    body: SilenceBody = call.body
    now_ms = call.services.now_ms()
    starts_ms = now_ms if body.starts_at is None else int(body.starts_at * 1000)
    if (body.ends_at is None) == (body.minutes is None):
        raise InvalidError("Give either ends_at or minutes.", "ends_at")
    if body.ends_at is not None:
        ends_ms = int(body.ends_at * 1000)
    else:
        assert body.minutes is not None
        ends_ms = starts_ms + int(body.minutes * 60_000)
    place = "matchers"
    try:
        if isinstance(body.matchers, str):
            matchers = parse_matchers(body.matchers)
        else:
            matchers = checked_matchers(
                [make_matcher(m.name, m.op, m.value) for m in body.matchers]
            )
        recurs, place = None, "recurs"
        if body.recurs is not None:
            given = body.recurs
            recurs = make_recurrence(given.days, given.start, given.minutes, given.time_zone)
        place = "ends_at"
        with call.services.ledger.begin() as connection:
            check_own_team(call, connection, body.team, must_exist=True)
            made = add_silence(
                connection, matchers, starts_ms, ends_ms, call.subject.name, body.comment, now_ms,
                recurs, body.team,
            )  # fmt: skip
            shown = ", ".join(str(m) for m in matchers)
            whose = {"team": body.team} if body.team else {}
            call.audit(connection, target=str(made.id), detail={"matchers": shown, **whose})
    except SilenceError as fault:
        raise InvalidError(sentence(fault), place) from None
    call.services.nudge("incidents")
    return silence_view(made, now_ms)


def remove_silence(call: Call) -> None:
    """End a silence now."""
    id_ = path_id(call)
    with call.services.ledger.begin() as connection:
        check_own_team(call, connection, team_of_silence(connection, id_), must_exist=False)
        if not end_silence(connection, id_, call.subject.name, call.services.now_ms()):
            raise NotFoundError(f"There is no silence {id_} that still runs.")
        call.audit(connection, target=str(id_))
    call.services.nudge("incidents")


_INCIDENT = "/api/v1/incidents/{id}"
ROUTES = (
    Route("GET", "/api/v1/incidents", Action.INCIDENT_READ, list_all,
          "Incidents: open ones, or all.", query=IncidentsQuery, result=IncidentsView),
    *incident_times.ROUTES,
    Route("GET", _INCIDENT, Action.INCIDENT_READ, read,
          "One incident with its timeline and alerts.", result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/acknowledge", Action.INCIDENT_ACKNOWLEDGE, acknowledge,
          "Take an incident in hand.", body=ActBody, result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/resolve", Action.INCIDENT_RESOLVE, resolve,
          "Say that an incident is over.", body=ActBody, result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/reopen", Action.INCIDENT_RESOLVE, reopen,
          "Say that an incident is not over.", body=ActBody, result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/note", Action.INCIDENT_NOTE, note,
          "Write a note into an incident's timeline.", body=NoteBody, result=IncidentDetailView),
    *incident_acts.ROUTES,
    Route("GET", "/api/v1/silences", Action.SILENCE_READ, list_silences,
          "Silences and maintenance windows.", result=SilencesView),
    Route("POST", "/api/v1/silences", Action.SILENCE_CHANGE, create_silence,
          "Begin a silence or a maintenance window.", body=SilenceBody, result=SilenceView),
    Route("DELETE", "/api/v1/silences/{id}", Action.SILENCE_CHANGE, remove_silence,
          "End a silence now.", status=204),
)  # fmt: skip
