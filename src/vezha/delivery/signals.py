"""What delivery reads of the hosts' signals; out of the store it comes by `delivery.engine_signals`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from vezha.delivery.errors import NoSignals
from vezha.model.columns import Values
from vezha.model.labels import INSTANCE, Labels, get_label


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
