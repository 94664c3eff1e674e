"""`/api/v1/incidents/times`: how long detection, response and recovery take."""

from __future__ import annotations

from typing import Annotated

import msgspec

from vezha.access import Action
from vezha.api.errors import InvalidError
from vezha.api.route import Call, Route
from vezha.incidents.errors import OperatorError
from vezha.incidents.limits import TIMES_DAYS_MAX
from vezha.incidents.times import BY_DEFAULT, Times, read_incidents, summarise

DAY_MS = 86_400_000


class TimesQuery(msgspec.Struct):
    """How many days back, and by what: some of week, team, service, severity, with commas."""

    days: Annotated[int, msgspec.Meta(ge=1, le=TIMES_DAYS_MAX)] = 84
    by: str = ",".join(BY_DEFAULT)


class TimesView(msgspec.Struct):
    """A row for each combination; durations in seconds, null where there are none."""

    times: list[Times]


def times(call: Call) -> TimesView:
    """Median and 95th percentile of each time."""
    query: TimesQuery = call.query
    since_ms = call.services.now_ms() - query.days * DAY_MS
    with call.services.ledger.read() as connection:
        found = read_incidents(connection, since_ms)
    try:
        return TimesView(summarise(found, [name for name in query.by.split(",") if name]))
    except OperatorError as fault:
        raise InvalidError(f"{fault}.", "by") from None


ROUTES = (
    Route("GET", "/api/v1/incidents/times", Action.INCIDENT_READ, times,
          "How long detection, response and recovery take.", query=TimesQuery, result=TimesView),
)  # fmt: skip
