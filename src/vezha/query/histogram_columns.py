"""Native histograms in blocks, cell by cell: operators and aggregations.

The one place of evaluation where Python loops over cells; blocks without histograms never come
here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Values
from vezha.model.labels import METRIC_NAME, get_label
from vezha.query.ast import Aggregate, Binary, Node
from vezha.query.block import Block, Mask, Objects, not_none
from vezha.query.compensated import sum_groups
from vezha.query.histogram import Hint, Histogram, MixedSchemas, added_up
from vezha.query.native_trim import trimmed

if TYPE_CHECKING:
    from vezha.query.aggregation import Groups
    from vezha.query.evaluate import Evaluator

Cells = tuple[Values, Mask, Objects | None]
_EQUALITY = ("==", "!=")
_TRIMS = ("</", ">/")


def nothing(shape: tuple[int, ...]) -> Objects:
    """An object column without histograms."""
    return np.full(shape, None, np.object_)


def negate(hists: Objects | None) -> Objects | None:
    """Every histogram times -1."""
    if hists is None:
        return None
    out = nothing(hists.shape)
    for row, step in np.argwhere(not_none(hists)):
        out[row, step] = hists[row, step].scaled(-1.0)
    return out


# Operators.


def with_scalar(
    ev: Evaluator, node: Binary, block: Block, scalar: Values, swapped: bool
) -> Objects | None:
    """Histograms of a block beside a number; None where none is left."""
    assert block.hists is not None
    out = nothing(block.hists.shape)
    for row, step in np.argwhere(block.hist_mask()):
        histogram, number = block.hists[row, step], float(scalar[step])
        out[row, step] = _with_number(ev, node, histogram, number, number_left=swapped)
    return out if not_none(out).any() else None


def _with_number(
    ev: Evaluator, node: Binary, histogram: Histogram, number: float, number_left: bool
) -> Histogram | None:
    if node.op == "*":
        return histogram.scaled(number)
    if not number_left:
        if node.op == "/":
            return histogram.divided(number)
        if node.op in _TRIMS:
            return trimmed(histogram, number, upper=node.op == "</")
        ev.context.annotations.incompatible_types("histogram", node.op, "float", node)
        return None
    ev.context.annotations.incompatible_types("float", node.op, "histogram", node)
    return None


def vectors(
    ev: Evaluator, node: Binary, left: Cells, right: Cells, values: Values, present: Mask,
    both: Mask,
) -> tuple[Values, Mask, Objects | None, Mask]:  # fmt: skip
    """Pairs of which one or both are histograms: (values, present, histograms, where both meet).

    *values* and *present* hold the answer for pairs of floats.
    """
    a_hist = not_none(left[2]) if left[2] is not None else np.zeros(both.shape, np.bool_)
    b_hist = not_none(right[2]) if right[2] is not None else np.zeros(both.shape, np.bool_)
    meets = (left[1] | a_hist) & (right[1] | b_hist)
    todo = meets & (a_hist | b_hist)
    values, present = np.array(values), present.copy()
    out = nothing(both.shape)
    for row, step in np.argwhere(todo):
        a = left[2][row, step] if left[2] is not None else None
        b = right[2][row, step] if right[2] is not None else None
        if a is None or b is None:
            number = left[0][row, step] if a is None else right[0][row, step]
            histogram = b if a is None else a
            assert histogram is not None, "one side is a histogram"
            out[row, step] = _with_number(ev, node, histogram, float(number), a is None)
        elif node.op in _EQUALITY:
            holds = a.same(b) == (node.op == "==")
            if node.bool_modifier:
                values[row, step], present[row, step] = float(holds), True
            elif holds:
                out[row, step] = a
        elif node.op in ("+", "-"):
            out[row, step] = _combined(ev, node, a, b)
        else:
            ev.context.annotations.incompatible_types("histogram", node.op, "histogram", node)
    return values, present, out if not_none(out).any() else None, meets


def _combined(ev: Evaluator, node: Binary, a: Histogram, b: Histogram) -> Histogram | None:
    annotations = ev.context.annotations
    try:
        result = a.plus(b) if node.op == "+" else a.minus(b)
    except MixedSchemas:
        annotations.incompatible_bucket_layout(node.op, node)
        return None
    word = "addition" if node.op == "+" else "subtraction"
    if result.collision:
        annotations.counter_reset_collision(word, node)
    if result.reconciled:
        annotations.mismatched_custom_buckets(word, node)
    return result.histogram if node.op == "+" else result.histogram.with_hint(Hint.GAUGE)


# Aggregations.


class Total:
    """Histograms to be added up, and what is worth a word about them."""

    def __init__(self) -> None:
        self._members: list[Histogram] = []

    def add(self, histogram: Histogram) -> None:
        self._members.append(histogram)

    def finish(self, ev: Evaluator, name: str, node: Node, mean: bool) -> Histogram | None:
        """The sum or mean, with annotations about *node*; None where there is none."""
        annotations = ev.context.annotations
        try:
            result = added_up(self._members, mean)
        except MixedSchemas:
            annotations.mixed_exponential_custom(name, node)
            return None
        if result.collision:
            annotations.counter_reset_collision("aggregation", node)
        if result.reconciled:
            annotations.mismatched_custom_buckets("aggregation", node)
        return result.histogram


def total_of(histograms: Iterable[Histogram]) -> Total:
    """All of *histograms* added up."""
    total = Total()
    for histogram in histograms:
        total.add(histogram)
    return total


def aggregate(ev: Evaluator, node: Aggregate, block: Block, groups: Groups) -> Block:
    """sum or avg of a block that holds histograms."""
    from vezha.query.aggregation import mean_groups

    assert block.hists is not None
    values, present = groups.sorted(block)
    hists = block.hists[groups.order]
    is_hist = not_none(hists)
    floats = np.logical_or.reduceat(present, groups.starts, axis=0)
    natives = np.logical_or.reduceat(is_hist, groups.starts, axis=0)
    if (floats & natives).any():
        ev.context.annotations.mixed_in_aggregation(node.expr)
    reducer = sum_groups if node.op == "sum" else mean_groups
    out = nothing(floats.shape)
    for group, step in np.argwhere(natives & ~floats):
        start = int(groups.starts[group])
        rows = slice(start, start + int(groups.sizes[group]))
        members = [h for h in hists[rows, step] if h is not None]
        row = groups.order[start + int(np.flatnonzero(is_hist[rows, step])[0])]
        name = get_label(block.labels.sets[row], METRIC_NAME)
        out[group, step] = total_of(members).finish(ev, name, node.expr, node.op == "avg")
    return Block(
        groups.labels,
        reducer(values, present, groups.starts),
        floats & ~natives,
        out if not_none(out).any() else None,
    )
