"""What delivery reads of the hosts' signals, and the two ways to get it: the store, or a twin's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from vezha.delivery.errors import NoSignals
from vezha.delivery.limits import STALE_S
from vezha.gateway.strain import REASONS
from vezha.model.columns import TooManySamples, Values
from vezha.model.labels import INSTANCE, Labels, get_label
from vezha.query import Engine, QueryError, ResultKind

_UP = 'max by (instance) (up{job="node"})'
_OWN_AGE = "time() - max(timestamp(vezha_gateway_connected_agents))"
_SLOWED = "max by (reason) (vezha_gateway_slowed) > 0"


class Signals(Protocol):
    """Asks for series. Methods block and raise NoSignals where nothing can be asked."""

    def vector(self, expr: str, at_ms: int) -> list[tuple[Labels, float]]:
        """The instant vector of *expr*; a scalar is one sample without labels."""
        ...

    def matrix(
        self, expr: str, start_ms: int, end_ms: int, step_ms: int
    ) -> tuple[list[Labels], Values]:
        """Labels and values, float64 [series, steps], NaN where there is no sample."""
        ...

    def up(self, at_ms: int) -> Mapping[str, bool] | None:
        """Which hosts are connected, by name; None where nothing is known now."""
        ...

    def strain(self, at_ms: int) -> str:
        """Why our own server keeps agents waiting, or sees nothing, in a sentence; empty where all
        is well. Does not raise."""
        ...


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


class NoStore:
    """Signals where no store is open: nothing is known."""

    def vector(self, expr: str, at_ms: int) -> list[tuple[Labels, float]]:
        raise NoSignals("no store is open")

    def matrix(
        self, expr: str, start_ms: int, end_ms: int, step_ms: int
    ) -> tuple[list[Labels], Values]:
        raise NoSignals("no store is open")

    def up(self, at_ms: int) -> Mapping[str, bool] | None:
        return None

    def strain(self, at_ms: int) -> str:
        return ""


def rows_by_host(labels: list[Labels], values: Values) -> dict[str, Values]:
    """Series by `instance`; of several of one host the mean of those that are there."""
    rows: dict[str, list[Values]] = {}
    for one, series in zip(labels, values, strict=True):
        rows.setdefault(get_label(one, INSTANCE), []).append(series)
    out: dict[str, Values] = {}
    for name, found in rows.items():
        if len(found) == 1:
            out[name] = found[0]
            continue
        stacked = np.vstack(found)
        there = np.isfinite(stacked)
        count = there.sum(axis=0)
        total = np.where(there, stacked, 0.0).sum(axis=0)
        out[name] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return out
