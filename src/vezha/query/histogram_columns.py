"""Object columns of native histograms, cell by cell: the one place where Python loops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Values
from vezha.query.ast import Aggregate, Binary
from vezha.query.block import Block, Mask, Objects
from vezha.query.errors import EvaluationError

Cells = tuple[Values, Mask, Objects | None]

if TYPE_CHECKING:
    from vezha.query.aggregation import Groups
    from vezha.query.evaluate import Evaluator


def negate(hists: Objects | None) -> Objects | None:
    """Every histogram times -1."""
    if hists is None:
        return None
    out = np.full(hists.shape, None, np.object_)
    for at in np.argwhere(np.not_equal(hists, None)):  # type: ignore[call-overload]
        out[tuple(at)] = hists[tuple(at)].scaled(-1.0)
    return out


def aggregate(ev: Evaluator, node: Aggregate, block: Block, groups: Groups) -> Block:
    """sum or avg of a block that holds histograms."""
    raise EvaluationError("native histograms")


def with_scalar(
    ev: Evaluator, node: Binary, block: Block, scalar: Values, swapped: bool
) -> Objects | None:
    """Histograms of a block beside a number."""
    raise EvaluationError("native histograms")


def vectors(
    ev: Evaluator, node: Binary, left: Cells, right: Cells, values: Values, present: Mask,
    both: Mask,
) -> tuple[Values, Mask, Objects | None, Mask]:  # fmt: skip
    """Pairs of which one or both are histograms."""
    raise EvaluationError("native histograms")
