"""What people do with incidents besides taking and closing them, under `/api/v1/incidents/{id}`.

Put off, merge, split, give to a team, undo a line of the timeline, export the whole story.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Annotated, Any

import msgspec
from sqlalchemy import Connection
from starlette.responses import Response

from vezha.access import Action
from vezha.api.errors import ApiError, ConflictError, InvalidError, NotFoundError
from vezha.api.incident_views import IncidentDetailView, detail_of, sentence
from vezha.api.route import Call, Route, path_id
from vezha.incidents.assign import assign_in
from vezha.incidents.case import Case
from vezha.incidents.errors import NoSuchIncident, OperatorError, WrongState
from vezha.incidents.export import as_markdown
from vezha.incidents.limits import MERGED_MAX, NOTE_CHARS_MAX, SPLIT_ALERTS_MAX
from vezha.incidents.loop import act_in
from vezha.incidents.merge import merge_in, split_in
from vezha.incidents.snooze import snooze_in
from vezha.incidents.state import Act
from vezha.incidents.undo import undo_in
from vezha.incidents.views import get_incident, get_members, get_timeline
from vezha.ledger.limits import NAME_CHARS_MAX

Note = Annotated[str, msgspec.Meta(max_length=NOTE_CHARS_MAX)]


class SnoozeBody(msgspec.Struct, forbid_unknown_fields=True):
    """For how long the incident is put off."""

    minutes: Annotated[float, msgspec.Meta(gt=0)] = 60
    note: Note = ""


class ActNoteBody(msgspec.Struct, forbid_unknown_fields=True):
    """An optional note for the timeline."""

    note: Note = ""


class MergeBody(msgspec.Struct, forbid_unknown_fields=True):
    """Incidents that become part of this one."""

    incidents: Annotated[list[int], msgspec.Meta(min_length=1, max_length=MERGED_MAX)]
    note: Note = ""


class SplitBody(msgspec.Struct, forbid_unknown_fields=True):
    """Alerts that become an incident of their own: by fingerprint, or all of some hosts or names."""

    fingerprints: Annotated[list[str], msgspec.Meta(max_length=SPLIT_ALERTS_MAX)] = []
    hosts: Annotated[list[str], msgspec.Meta(max_length=SPLIT_ALERTS_MAX)] = []
    names: Annotated[list[str], msgspec.Meta(max_length=SPLIT_ALERTS_MAX)] = []
    note: Note = ""


class UndoBody(msgspec.Struct, forbid_unknown_fields=True):
    """The line of the timeline to take back, by its id."""

    line: Annotated[int, msgspec.Meta(ge=1)]


class AssignBody(msgspec.Struct, forbid_unknown_fields=True):
    """The team that the incident belongs to from now on; empty: nobody's."""

    team: Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)]


class ExportQuery(msgspec.Struct):
    """`json` or `markdown`; times of the latter in UTC."""

    format: str = "json"


def _do(call: Call, change: Callable[[Connection, int], int], detail: dict[str, Any]) -> Any:
    """Change within one transaction with its audit row; the incident to show afterwards."""
    id_ = path_id(call)
    try:
        with call.services.ledger.begin() as connection:
            shown = change(connection, id_)
            call.audit(connection, target=str(id_), detail=detail)
    except OperatorError as fault:
        raise refusal(fault) from None
    call.services.nudge("incidents")
    return detail_of(call.services.ledger, shown)


def refusal(fault: OperatorError) -> ApiError:
    """What the API answers to a person who asked for what cannot be done."""
    if isinstance(fault, NoSuchIncident):
        return NotFoundError(sentence(fault))
    if isinstance(fault, WrongState):
        return ConflictError(sentence(fault))
    return InvalidError(sentence(fault), fault.field or None)


def _by(call: Call, act: Act) -> Any:
    note: str = "" if call.body is None else call.body.note

    def change(connection: Connection, id_: int) -> int:
        return act_in(connection, id_, act, call.subject.name, note, call.services.now_ms()).id

    return _do(call, change, {"act": act.value, "note": note})


def snooze(call: Call) -> Any:
    """Put an incident off."""
    body: SnoozeBody = call.body

    def change(connection: Connection, id_: int) -> int:
        for_ms = int(min(body.minutes, 1e7) * 60_000)
        now_ms = call.services.now_ms()
        return snooze_in(connection, id_, for_ms, call.subject.name, body.note, now_ms).id

    return _do(call, change, {"minutes": body.minutes, "note": body.note})


def wake(call: Call) -> Any:
    """End a snooze now."""
    return _by(call, Act.WAKE)


def unacknowledge(call: Call) -> Any:
    """Give an incident that was taken back to those on call."""
    return _by(call, Act.UNACKNOWLEDGE)


def mitigate(call: Call) -> Any:
    """Say that the harm is over, if not its cause."""
    return _by(call, Act.MITIGATE)


def merge(call: Call) -> Any:
    """Make other incidents part of this one."""
    body: MergeBody = call.body

    def change(connection: Connection, id_: int) -> int:
        now_ms = call.services.now_ms()
        return merge_in(connection, id_, body.incidents, call.subject.name, body.note, now_ms).id

    return _do(call, change, {"incidents": body.incidents, "note": body.note})


def split(call: Call) -> Any:
    """Make a new incident of some of the alerts; it is answered."""
    body: SplitBody = call.body

    def change(connection: Connection, id_: int) -> int:
        wanted = [
            m.fingerprint
            for m in get_members(connection, id_)
            if m.fingerprint in body.fingerprints
            or m.host in body.hosts
            or m.alert_name in body.names
        ]
        now_ms = call.services.now_ms()
        return split_in(connection, id_, wanted, call.subject.name, body.note, now_ms)[1].id

    asked = {"fingerprints": len(body.fingerprints), "hosts": body.hosts, "names": body.names}
    return _do(call, change, {**asked, "note": body.note})


def undo(call: Call) -> Any:
    """Take back a line of the timeline."""
    body: UndoBody = call.body

    def change(connection: Connection, id_: int) -> int:
        undo_in(connection, id_, body.line, call.subject.name, call.services.now_ms())
        return id_

    return _do(call, change, {"line": body.line})


def assign(call: Call) -> Any:
    """Give an incident to a team."""
    body: AssignBody = call.body

    def change(connection: Connection, id_: int) -> int:
        now_ms = call.services.now_ms()
        case: Case = assign_in(connection, id_, body.team, call.subject.name, now_ms)
        return case.id

    return _do(call, change, {"team": body.team})


def export(call: Call) -> Any:
    """The whole story of an incident as one document."""
    query: ExportQuery = call.query
    id_ = path_id(call)
    if query.format == "json":
        return detail_of(call.services.ledger, id_)
    if query.format != "markdown":
        raise InvalidError("format is json or markdown.", "format")
    with call.services.ledger.read() as connection:
        try:
            view = get_incident(connection, id_)
        except NoSuchIncident as fault:
            raise NotFoundError(sentence(fault)) from None
        timeline = get_timeline(connection, id_)
        members = get_members(connection, id_)
    text = as_markdown(view, timeline, members, _utc)
    return Response(text, media_type="text/markdown; charset=utf-8")


def _utc(ms: int | None) -> str:
    if ms is None:
        return "–"
    return datetime.fromtimestamp(ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


_INCIDENT = "/api/v1/incidents/{id}"
ROUTES = (
    Route("POST", f"{_INCIDENT}/snooze", Action.INCIDENT_SNOOZE, snooze,
          "Put an incident off; it asks again later.", body=SnoozeBody, result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/wake", Action.INCIDENT_SNOOZE, wake,
          "End a snooze now.", body=ActNoteBody, result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/unacknowledge", Action.INCIDENT_ACKNOWLEDGE, unacknowledge,
          "Give an incident back to those on call.", body=ActNoteBody, result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/mitigate", Action.INCIDENT_MITIGATE, mitigate,
          "Say that the harm is over, if not its cause.", body=ActNoteBody,
          result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/merge", Action.INCIDENT_MERGE, merge,
          "Make other incidents part of this one.", body=MergeBody, result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/split", Action.INCIDENT_SPLIT, split,
          "Make a new incident of some alerts; the new one is answered.", body=SplitBody,
          result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/undo", Action.INCIDENT_UNDO, undo,
          "Take back a line of the timeline.", body=UndoBody, result=IncidentDetailView),
    Route("POST", f"{_INCIDENT}/team", Action.INCIDENT_ASSIGN, assign,
          "Give an incident to a team.", body=AssignBody, result=IncidentDetailView),
    Route("GET", f"{_INCIDENT}/export", Action.INCIDENT_READ, export,
          "The whole story as JSON or Markdown.", query=ExportQuery, result=IncidentDetailView),
)  # fmt: skip
