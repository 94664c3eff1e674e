"""What is unusual now, and what was while an incident lasted: ranked, explained, paging nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from vezha.access import Action
from vezha.api.charts import wait_gone
from vezha.api.dispatch import run_in_thread
from vezha.api.errors import NotFoundError, UnavailableError
from vezha.api.route import Call, Route, path_id
from vezha.forecast.limits import UNUSUAL_BEFORE_S, UNUSUAL_HOSTS_MAX, UNUSUAL_SPAN_S
from vezha.forecast.unusual import Unusual, unusual
from vezha.incidents.errors import NoSuchIncident
from vezha.incidents.views import get_incident
from vezha.ledger import Ledger

NOW_SPAN_S = 600.0


class UnusualView(msgspec.Struct):
    """A load that was off what is usual. `score`: the farthest, in half-widths of the usual range,
    negative below it; `now`, `low`, `high` at that time; `basis`: forecast, week or day."""

    host: str
    resource: str
    unit: str
    score: float
    since: float
    peak: float
    is_over: bool
    now: float | None
    low: float | None
    high: float | None
    basis: str
    why: str


class UnusualsView(msgspec.Struct):
    """The farthest off first, from `start` to `end`."""

    unusual: list[UnusualView]
    start: float
    end: float


class UnusualQuery(msgspec.Struct):
    """Of one host, or all; within the last `span_s` seconds; `why` in en or uk."""

    host: str = ""
    span_s: Annotated[float, msgspec.Meta(ge=60, le=UNUSUAL_SPAN_S)] = NOW_SPAN_S
    language: Literal["en", "uk"] = "en"


class OfIncidentQuery(msgspec.Struct):
    """In which language `why` is."""

    language: Literal["en", "uk"] = "en"


async def now(call: Call) -> dict[str, Any]:
    """`GET /api/v1/load/unusual`."""
    query: UnusualQuery = call.query
    end_ms = call.services.now_ms()
    hosts = [query.host] if query.host else []
    start_ms = end_ms - int(query.span_s * 1000)
    return await _answer(call, hosts, start_ms, end_ms, query.language)


async def of_incident(call: Call) -> dict[str, Any]:
    """`GET /api/v1/incidents/{id}/unusual`: on its hosts, from half an hour before it began on."""
    query: OfIncidentQuery = call.query
    services = call.services
    span = await run_in_thread(services, span_of, services.ledger, path_id(call), services.now_ms())
    if span is None:
        raise NotFoundError(f"There is no incident {path_id(call)}.")
    hosts, start_ms, end_ms = span
    if not hosts:
        return {"unusual": [], "start": start_ms / 1000, "end": end_ms / 1000}
    return await _answer(call, hosts, start_ms, end_ms, query.language)


def span_of(ledger: Ledger, id_: int, now_ms: int) -> tuple[list[str], int, int] | None:
    """An incident's hosts, and from when to when is looked at, in ms; None: there is none."""
    with ledger.read() as connection:
        try:
            found = get_incident(connection, id_)
        except NoSuchIncident:
            return None
    began_ms = found.began_ms or found.detected_ms or now_ms
    start_ms = began_ms - int(UNUSUAL_BEFORE_S * 1000)
    end_ms = min(found.resolved_ms or now_ms, start_ms + int(UNUSUAL_SPAN_S * 1000), now_ms)
    return list(found.hosts)[:UNUSUAL_HOSTS_MAX], start_ms, max(end_ms, start_ms)


async def _answer(
    call: Call, hosts: list[str], start_ms: int, end_ms: int, language: str
) -> dict[str, Any]:
    querying = call.services.querying
    if querying is None:
        raise UnavailableError("The store is not open.")

    def work(cancelled: Callable[[], bool]) -> list[Unusual]:
        return unusual(querying.engine, hosts, start_ms, end_ms, cancelled)

    rows = await querying.run(work, "what is unusual", gone=lambda: wait_gone(call))
    return {
        "unusual": [view_of(one, language) for one in rows],
        "start": start_ms / 1000,
        "end": end_ms / 1000,
    }


def view_of(one: Unusual, language: str) -> dict[str, Any]:
    """As the API shows it."""
    fields = {name: getattr(one, name) for name in Unusual.__slots__}
    return {**fields, "score": round(one.score, 2), "why": one.why(language)}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/v1/load/unusual", Action.HOST_READ, now,
          "What is unusual now, the farthest off first. It pages nobody.",
          query=UnusualQuery, result=UnusualsView),
    Route("GET", "/api/v1/incidents/{id}/unusual", Action.INCIDENT_READ, of_incident,
          "What was unusual on an incident's hosts while it lasted, the farthest off first.",
          query=OfIncidentQuery, result=UnusualsView),
)  # fmt: skip
