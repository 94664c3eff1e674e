"""What agents said of tripwires: which crossings count, and for how long.

A crossing that counts makes its rule's result true for the alert that it names, for HOLD_MS: by
then the ordinary samples have come and say whether it is so. Nothing else of the rule's life is
different. A crossing never counts twice, never when it is late, and never while the server
settles. `take` is called by the thread that receives, the rest by the rules' thread.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from vezha.alerting.limits import (
    CROSSING_AHEAD_MS,
    CROSSING_HOLD_MS,
    CROSSING_LATE_MS,
    CROSSINGS_REMEMBERED_MAX,
    CROSSINGS_WAITING_MAX,
)
from vezha.alerting.tripwire import RuleTripwire
from vezha.model.labels import Labels


@dataclass(frozen=True, slots=True)
class Claim:
    """What an agent claims: that the rule gives *value* for *labels* since *at_ms*."""

    labels: Labels
    value: float
    at_ms: int


OUTCOMES = {
    "taken": "crossings_taken_total",
    "late": "crossings_late_total",
    "repeated": "crossings_repeated_total",
    "unknown": "crossings_unknown_total",
    "settling": "crossings_settling_total",
    "too_many": "crossings_too_many_total",
}
"""What may become of a crossing, and the figure that counts it."""
NO_CLAIMS: Mapping[Labels, Claim] = MappingProxyType({})


class Crossings:
    """Crossings of all rules. `outcomes` counts what became of them."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.delay_ms_total = 0
        """Between a crossing's stamp and its arrival, summed over those that were taken."""
        self._waiting: deque[tuple[str, Claim, bool]] = deque()
        self._lock = threading.Lock()
        self._newest: OrderedDict[tuple[str, Labels], int] = OrderedDict()
        self._claims: dict[str, dict[Labels, Claim]] = {}

    def take(
        self,
        wires: Mapping[str, RuleTripwire],
        host: str,
        told: tuple[str, bool, int, float],
        labels: Mapping[str, object],
        now_ms: int,
        settling: bool,
    ) -> bool:
        """Judge a crossing that has just arrived; whether there is something to evaluate. *told*
        is the rule's key, whether it is across, the stamp by our clock (ms), and the value."""
        key, active, at_ms, value = told
        outcome = self._judge(wires, host, key, at_ms, now_ms, settling)
        if outcome == "taken":
            result = wires[key].result_labels(host, labels)
            outcome = self._keep(key, Claim(result, value, at_ms), active)
        self.outcomes[outcome] += 1
        if outcome == "taken":
            self.delay_ms_total += max(0, now_ms - at_ms)
        return outcome == "taken"

    @staticmethod
    def _judge(
        wires: Mapping[str, RuleTripwire],
        host: str,
        key: str,
        at_ms: int,
        now_ms: int,
        settling: bool,
    ) -> str:
        wire = wires.get(key)
        if wire is None or not wire.fits(host):
            return "unknown"  # a rule that has just changed, or an agent that makes things up
        if not -CROSSING_AHEAD_MS <= now_ms - at_ms <= CROSSING_LATE_MS:
            return "late"
        return "settling" if settling else "taken"

    def _keep(self, key: str, claim: Claim, active: bool) -> str:
        with self._lock:
            if len(self._waiting) >= CROSSINGS_WAITING_MAX:
                return "too_many"
            newest = self._newest.pop((key, claim.labels), None)
            self._newest[key, claim.labels] = max(claim.at_ms, newest or claim.at_ms)
            while len(self._newest) > CROSSINGS_REMEMBERED_MAX:
                self._newest.popitem(last=False)
            if newest is not None and claim.at_ms <= newest:
                return "repeated"
            self._waiting.append((key, claim, active))
        return "taken"

    @property
    def waits(self) -> bool:
        """Whether a crossing waits for its rule to be evaluated."""
        return bool(self._waiting)

    def rules_due(self) -> set[str]:
        """Take in what waits; keys of the rules to evaluate now."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for key, claim, active in waiting:
            claims = self._claims.setdefault(key, {})
            if active:
                claims[claim.labels] = claim
            else:
                claims.pop(claim.labels, None)
        return {key for key, _, _ in waiting}

    def claims(self, key: str, now_ms: int) -> dict[Labels, Claim]:
        """What still counts for the rule *key* at *now_ms*, by the labels of its result."""
        claims = self._claims.get(key)
        if not claims:
            return {}
        for labels in [one for one, c in claims.items() if now_ms - c.at_ms > CROSSING_HOLD_MS]:
            del claims[labels]
        if not claims:
            del self._claims[key]
        return dict(claims)
