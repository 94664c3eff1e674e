"""`/api/v1/alarm-rates` and `/api/v1/signals`: how many alarms people get, and which are of use."""

from __future__ import annotations

from typing import Annotated

import msgspec

from vezha.access import Action
from vezha.api.route import Call, Route
from vezha.api.services import Services
from vezha.incidents.limits import TIMES_DAYS_MAX, USAGE_FRESH_MS
from vezha.incidents.usage import Usage, read_usage, unused
from vezha.ledger import Ledger
from vezha.notify.alarm_rate import AlarmRates, read_rates
from vezha.notify.limits import ALARM_HOURS_MAX
from vezha.world import World

SCORES = "signal_scores"
"""Under this name `Services.extra` keeps the `Scores`."""
DAY_MS = 86_400_000


class Scores:
    """The scores of signals, made again now and then. Safe for threads: replaced as a whole."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        self._ledger = ledger
        self._world = world
        self._known: dict[str, float] = {}
        self._at_ms = 0

    def now(self) -> dict[str, float]:
        """By the alert's name."""
        now_ms = int(self._world.clock.now() * 1000)
        if abs(now_ms - self._at_ms) > USAGE_FRESH_MS:
            self._at_ms = now_ms
            with self._ledger.read() as connection:
                self._known = {u.alert: u.score for u in read_usage(connection, now_ms)}
        return self._known


def scores_of(services: Services) -> dict[str, float]:
    """The scores by which incidents are ordered."""
    scores = services.extra.setdefault(SCORES, Scores(services.ledger, services.world))
    assert isinstance(scores, Scores)
    return scores.now()


class RatesQuery(msgspec.Struct):
    """Over how many hours."""

    hours: Annotated[float, msgspec.Meta(gt=0, le=ALARM_HOURS_MAX)] = 24.0


class SignalsQuery(msgspec.Struct):
    """Over how many days."""

    days: Annotated[int, msgspec.Meta(ge=1, le=TIMES_DAYS_MAX)] = 28


class SignalView(msgspec.Struct):
    """A signal: how often it was told and acted on, its score (0 to 1), the evidence in words."""

    alert: str
    told: int
    acted: int
    ended_alone: int
    median_acted_s: float | None
    median_lasted_s: float | None
    score: float
    evidence: str


class SignalsView(msgspec.Struct):
    """Signals, the most useful first; `unused` are candidates for removal."""

    signals: list[SignalView]
    unused: list[SignalView]


def signal_view(one: Usage) -> SignalView:
    """A signal as the API shows it."""
    return SignalView(
        one.alert, one.told, one.acted, one.ended_alone, one.median_acted_s, one.median_lasted_s,
        one.score, one.evidence,
    )  # fmt: skip


def rates(call: Call) -> AlarmRates:
    """How many alarms people get."""
    query: RatesQuery = call.query
    with call.services.ledger.read() as connection:
        return read_rates(connection, call.services.now_ms(), query.hours)


def signals(call: Call) -> SignalsView:
    """What people make of signals."""
    query: SignalsQuery = call.query
    with call.services.ledger.read() as connection:
        found = read_usage(connection, call.services.now_ms(), query.days * DAY_MS)
    return SignalsView([signal_view(u) for u in found], [signal_view(u) for u in unused(found)])


ROUTES = (
    Route("GET", "/api/v1/alarm-rates", Action.INCIDENT_READ, rates,
          "How many alarms people get, as EEMUA 191 and ISA-18.2 count them.", query=RatesQuery,
          result=AlarmRates),
    Route("GET", "/api/v1/signals", Action.INCIDENT_READ, signals,
          "Which signals are acted on, how fast, and which never.", query=SignalsQuery,
          result=SignalsView),
)  # fmt: skip
