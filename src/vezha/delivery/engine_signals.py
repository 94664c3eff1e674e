"""Signals out of the store, by PromQL: apart, so that only who asks loads the query engine."""

from __future__ import annotations

from collections.abc import Mapping

from vezha.delivery.errors import NoSignals
from vezha.delivery.limits import STALE_S
from vezha.gateway.strain import REASONS
from vezha.model.columns import TooManySamples, Values
from vezha.model.labels import INSTANCE, Labels, get_label
from vezha.query import Engine, QueryError, ResultKind

_UP = 'max by (instance) (up{job="node"})'
_OWN_AGE = "time() - max(timestamp(vezha_gateway_connected_agents))"
_SLOWED = "max by (reason) (vezha_gateway_slowed) > 0"


class EngineSignals:
    """Signals out of the store, by PromQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def vector(self, expr: str, at_ms: int) -> list[tuple[Labels, float]]:
        try:
            result = self._engine.instant(expr, at_ms)
        except (QueryError, TooManySamples, OSError) as fault:
            raise NoSignals(str(fault)) from fault
        if result.kind is ResultKind.SCALAR:
            return [((), result.scalar)]
        return list(result.items())

    def matrix(
        self, expr: str, start_ms: int, end_ms: int, step_ms: int
    ) -> tuple[list[Labels], Values]:
        try:
            result = self._engine.range(expr, start_ms, end_ms, step_ms)
        except (QueryError, TooManySamples, OSError) as fault:
            raise NoSignals(str(fault)) from fault
        return result.labels, result.filled()

    def up(self, at_ms: int) -> Mapping[str, bool] | None:
        try:
            found = self.vector(_UP, at_ms)
        except NoSignals:
            return None
        return {get_label(labels, INSTANCE): value > 0 for labels, value in found} or None

    def strain(self, at_ms: int) -> str:
        try:
            ages = [value for _, value in self.vector(_OWN_AGE, at_ms)]
            slowed = [get_label(labels, "reason") for labels, _ in self.vector(_SLOWED, at_ms)]
        except NoSignals as fault:
            return f"the store cannot be asked: {fault}"
        if not ages:
            return "the server tells nothing of itself"
        if ages[0] > STALE_S:
            return f"the server has stored nothing of its own for {ages[0]:.0f} s"
        return "; ".join(REASONS.get(reason, reason) for reason in sorted(slowed))
