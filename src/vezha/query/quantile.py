"""Quantiles of sorted values, interpolated as Prometheus does."""

from __future__ import annotations

import numpy as np

from vezha.model.columns import Values
from vezha.query.window import Indexes


def quantile_of_sorted(ranked: Values, count: Indexes, q: Values) -> Values:
    """The *q*-quantile of each row's first *count* values (rows sorted, NaN first).

    -Inf below 0, +Inf above 1, NaN for NaN or an empty row.
    """
    rows = np.arange(ranked.shape[0])
    last = np.maximum(count - 1, 0)
    with np.errstate(all="ignore"):
        safe = np.where(np.isnan(q), 0.0, np.clip(q, 0.0, 1.0))
        rank = safe * last
        below = np.floor(rank)
        weight = rank - below
        lower = below.astype(np.int64)
        upper = np.minimum(last, lower + 1)
        out = ranked[rows, lower] * (1 - weight) + ranked[rows, upper] * weight
    out = np.where(q < 0, -np.inf, out)
    out = np.where(q > 1, np.inf, out)
    result: Values = np.where(np.isnan(q) | (count == 0), np.nan, out)
    return result
