"""Which change could explain an incident, and what people judged of it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from vezha.access import Action
from vezha.api.errors import InvalidError, NotFoundError
from vezha.api.route import Call, Route, path_id, seconds
from vezha.incidents.cause import Cause, blamed_for, causes_of, judge, record_of
from vezha.incidents.errors import NoSuchIncident, OperatorError


class ReasonView(msgspec.Struct):
    """One ground of a score: a code with its parameters, for pages that have their own words."""

    code: str
    values: dict[str, Any]


class CauseView(msgspec.Struct):
    """A change beside an incident. `score` is its share of the whole; `why` a sentence."""

    incident: int
    incident_title: str
    change: int
    change_title: str
    kind: str
    score: float
    why: str
    reasons: list[ReasonView]
    judged: str
    judged_by: str
    judged_at: float | None
    began_at: float | None


class CausesView(msgspec.Struct):
    """What a person called the cause comes first, then by score."""

    causes: list[CauseView]


class RecordView(msgspec.Struct):
    """How well the scores did, by what people judged: of all, and of the first-ranked."""

    judged: int
    caused: int
    first_judged: int
    first_caused: int


class CausesQuery(msgspec.Struct):
    """In which language `why` is: en or uk."""

    language: Literal["en", "uk"] = "en"


class CauseJudgeBody(msgspec.Struct, forbid_unknown_fields=True):
    """`caused`, `not`, or empty to take a judgement back."""

    judged: Literal["caused", "not", ""]


def cause_view(cause: Cause, language: str) -> dict[str, Any]:
    """A cause as the API shows it."""
    return {
        "incident": cause.incident,
        "incident_title": cause.incident_title,
        "change": cause.change,
        "change_title": cause.change_title,
        "kind": cause.kind,
        "score": cause.score,
        "why": cause.why(language),
        "reasons": [{"code": r.code, "values": dict(r.values)} for r in cause.reasons],
        "judged": cause.judged,
        "judged_by": cause.judged_by,
        "judged_at": seconds(cause.judged_ms),
        "began_at": seconds(cause.began_ms),
    }


def list_causes(call: Call) -> dict[str, Any]:
    """Changes that could explain an incident."""
    language = call.query.language
    try:
        with call.services.ledger.read() as connection:
            found = causes_of(connection, path_id(call))
    except NoSuchIncident as fault:
        raise NotFoundError(f"{str(fault).capitalize()}.") from None
    return {"causes": [cause_view(one, language) for one in found]}


def judge_cause(call: Call) -> dict[str, Any]:
    """A person says whether it was the cause."""
    incident, change = path_id(call), path_id(call, "change")
    body: CauseJudgeBody = call.body
    services = call.services
    try:
        with services.ledger.begin() as connection:
            judge(connection, incident, change, body.judged, call.subject.name, services.now_ms())
            call.audit(
                connection, target=str(incident), detail={"change": change, "judged": body.judged}
            )
    except NoSuchIncident as fault:
        raise NotFoundError(f"{str(fault).capitalize()}.") from None
    except OperatorError as fault:
        raise InvalidError(f"{str(fault).capitalize()}.", "change") from None
    services.nudge("incidents")
    return list_causes(call)


def list_blamed(call: Call) -> dict[str, Any]:
    """Incidents that a change could explain."""
    with call.services.ledger.read() as connection:
        found = blamed_for(connection, path_id(call))
    return {"causes": [cause_view(one, call.query.language) for one in found]}


def read_record(call: Call) -> RecordView:
    """How well the scores did."""
    with call.services.ledger.read() as connection:
        record = record_of(connection)
    return RecordView(record.judged, record.caused, record.first_judged, record.first_caused)


_CAUSES = "/api/v1/incidents/{id}/causes"
ROUTES: tuple[Route, ...] = (
    Route("GET", _CAUSES, Action.INCIDENT_READ, list_causes,
          "Changes that could explain an incident, with reasons.", query=CausesQuery,
          result=CausesView),
    Route("PUT", f"{_CAUSES}/{{change}}", Action.INCIDENT_JUDGE, judge_cause,
          "Say whether a change caused an incident.", body=CauseJudgeBody, query=CausesQuery,
          result=CausesView),
    Route("GET", "/api/v1/changes/{id}/incidents", Action.INCIDENT_READ, list_blamed,
          "Incidents that a change could explain.", query=CausesQuery, result=CausesView),
    Route("GET", "/api/v1/delivery/blame-record", Action.INCIDENT_READ, read_record,
          "How often the likeliest change was the cause, by what people judged.",
          result=RecordView),
)  # fmt: skip
