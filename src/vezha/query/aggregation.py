"""Aggregations: rows put in groups by labels, groups reduced along the series axis.

Rows are sorted by group once per label column (remembered), so that each reduction is one
`reduceat`. topk, bottomk, limitk and limit_ratio choose rows instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Values
from vezha.model.labels import labels_of
from vezha.query import histogram_columns
from vezha.query.ast import Aggregate
from vezha.query.block import Block, Mask, merge_rows, only
from vezha.query.compensated import sum_groups
from vezha.query.errors import EvaluationError
from vezha.query.functions.labels import check_label_name
from vezha.query.labelcolumn import Indexes, LabelColumn
from vezha.query.labelhash import hash_ratios
from vezha.query.quantile import quantile_of_sorted
from vezha.query.text import go_float

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator


class Groups:
    """Rows of a column by group: `order` sorts rows by group, `starts[g]` is where g begins."""

    __slots__ = ("labels", "of_row", "order", "sizes", "starts", "trivial")

    def __init__(self, of_row: Indexes, labels: LabelColumn) -> None:
        self.of_row = of_row
        self.labels = labels
        self.order = np.argsort(of_row, kind="stable")
        self.sizes = np.bincount(of_row, minlength=len(labels)).astype(np.int64)
        self.starts = np.concatenate(([0], np.cumsum(self.sizes)[:-1])).astype(np.int64)
        self.trivial = bool((self.order == np.arange(of_row.size)).all())

    def sorted(self, block: Block) -> tuple[Values, Mask]:
        """Values and presence with rows in group order."""
        if self.trivial:
            return block.values, block.present
        return block.values[self.order], block.present[self.order]


def groups_of(column: LabelColumn, without: bool, names: tuple[str, ...]) -> Groups:
    """The groups of a column, remembered in it."""
    return column.memo(("groups", without, names), lambda: Groups(*column.grouping(without, names)))


def aggregate(ev: Evaluator, node: Aggregate) -> Block:
    """The value of an aggregation."""
    if node.op == "count_values":
        return _count_values(ev, node)
    parameter = ev.scalar(node.param).values if node.param is not None else None
    if node.op in ("topk", "bottomk", "limitk"):
        _check_k(parameter)
    if node.op == "limit_ratio":
        _check_ratio(ev, node, parameter)
    if node.op == "quantile":
        assert parameter is not None
        for q in np.unique(parameter[~((parameter >= 0) & (parameter <= 1))])[:1]:
            assert node.param is not None
            ev.context.annotations.invalid_quantile(float(q), node.param)
    block = ev.vector(node.expr)
    if len(block.labels) == 0:
        return Block.empty(ev.steps)
    groups = groups_of(block.labels, node.without, node.grouping)
    if node.op in ("topk", "bottomk", "limitk", "limit_ratio"):
        assert parameter is not None
        return _choose(ev, node, block, groups, parameter)
    ev.context.check_cells(len(groups.labels), ev.steps)
    if block.hists is not None:
        if node.op in ("sum", "avg"):
            return histogram_columns.aggregate(ev, node, block, groups)
        if node.op not in ("count", "group") and block.hist_mask().any():
            ev.context.annotations.histogram_ignored(node.op, node.expr)
    if node.op in ("count", "group"):
        block = Block(block.labels, block.values, block.any_mask())
    values, present = groups.sorted(block)
    some = np.logical_or.reduceat(present, groups.starts, axis=0)
    if node.op == "quantile":
        assert parameter is not None
        return Block(groups.labels, _quantile(values, present, groups, parameter), some)
    return Block(groups.labels, _REDUCERS[node.op](values, present, groups.starts), some)


# Reductions: (values, present, starts) -> float64[groups, steps].


def _count(values: Values, present: Mask, starts: Indexes) -> Values:
    counted: Values = np.add.reduceat(present.astype(np.float64), starts, axis=0)
    return counted


def mean_groups(values: Values, present: Mask, starts: Indexes) -> Values:
    """Means of the present cells; does not overflow where the mean fits."""
    total, count = sum_groups(values, present, starts), _count(values, present, starts)
    with np.errstate(all="ignore"):
        mean = total / count
        if np.isinf(total).any():
            size = np.diff(np.append(starts, values.shape[0]))
            divisor = np.repeat(np.maximum(count, 1), size, axis=0)
            scaled = sum_groups(values / divisor, present, starts)
            finite = np.where(present, np.isfinite(values), True)
            again = np.isinf(total) & np.logical_and.reduceat(finite, starts, axis=0)
            mean = np.where(again, scaled, mean)
    return mean


def _extreme(ufunc: np.ufunc) -> Callable[[Values, Mask, Indexes], Values]:
    def reducer(values: Values, present: Mask, starts: Indexes) -> Values:
        out: Values = ufunc.reduceat(np.where(present, values, np.nan), starts, axis=0)
        return out

    return reducer


def _variance(values: Values, present: Mask, starts: Indexes) -> Values:
    """Population variance, about the first present value so that equal values give exactly 0."""
    sizes = np.diff(np.append(starts, values.shape[0]))
    count = _count(values, present, starts)
    rows = np.arange(values.shape[0], dtype=np.int64)[:, None]
    first = np.minimum.reduceat(np.where(present, rows, values.shape[0]), starts, axis=0)
    first = np.minimum(first, values.shape[0] - 1)
    with np.errstate(all="ignore"):
        base = np.take_along_axis(values, first, axis=0)
        away = np.where(present, values - np.repeat(base, sizes, axis=0), 0.0)
        mean = np.add.reduceat(away, starts, axis=0) / count
        off = np.where(present, away - np.repeat(mean, sizes, axis=0), 0.0)
        variance: Values = np.add.reduceat(off * off, starts, axis=0) / count
    return variance


def _deviation(values: Values, present: Mask, starts: Indexes) -> Values:
    with np.errstate(all="ignore"):
        out: Values = np.sqrt(_variance(values, present, starts))
    return out


def _group(values: Values, present: Mask, starts: Indexes) -> Values:
    return np.ones((starts.size, values.shape[1]))


_REDUCERS: dict[str, Callable[[Values, Mask, Indexes], Values]] = {
    "sum": sum_groups,
    "avg": mean_groups,
    "count": _count,
    "min": _extreme(np.fmin),
    "max": _extreme(np.fmax),
    "group": _group,
    "stddev": _deviation,
    "stdvar": _variance,
}


def _quantile(values: Values, present: Mask, groups: Groups, q: Values) -> Values:
    """Group by group; NaN counts as the smallest value."""
    steps = values.shape[1]
    out = np.full((len(groups.labels), steps), np.nan)
    for group, start in enumerate(groups.starts):
        rows = slice(int(start), int(start + groups.sizes[group]))
        ranked, count = nan_first_columns(values[rows], present[rows])
        out[group] = quantile_of_sorted(ranked.T, count, q)
    return out


def nan_first_columns(values: Values, present: Mask) -> tuple[Values, Indexes]:
    """Columns sorted, NaN first, absent cells last; and the number of present cells of each."""
    is_nan = np.isnan(values) & present
    ranked = np.where(present, np.where(is_nan, -np.inf, values), np.inf)
    ranked.sort(axis=0)
    nans = is_nan.sum(axis=0)
    if nans.any():
        ranked[np.arange(ranked.shape[0])[:, None] < nans[None, :]] = np.nan
    return ranked, present.sum(axis=0)


# Choosing rows.


def _check_k(parameter: Values | None) -> None:
    assert parameter is not None
    if np.isnan(parameter).any():
        raise EvaluationError("Parameter value is NaN")
    low, high = parameter.min(), parameter.max()
    if high >= 2.0**63:
        raise EvaluationError(f"Scalar value {go_float(float(high))} overflows int64")
    if low < -(2.0**63):
        raise EvaluationError(f"Scalar value {go_float(float(low))} underflows int64")


def _check_ratio(ev: Evaluator, node: Aggregate, parameter: Values | None) -> None:
    assert parameter is not None
    assert node.param is not None
    if np.isnan(parameter).any():
        raise EvaluationError("Ratio value is NaN")
    for ratio in (float(parameter.min()), float(parameter.max())):
        if ratio > 1 or ratio < -1:
            ev.context.annotations.invalid_ratio(ratio, 1.0 if ratio > 1 else -1.0, node.param)


def _choose(
    ev: Evaluator, node: Aggregate, block: Block, groups: Groups, parameter: Values
) -> Block:
    if node.op == "limit_ratio":
        keep = _ratio_mask(block, parameter)
        return _kept(block, keep)
    if node.op == "limitk":
        return _kept(block, _first_k(block, groups, parameter))
    if block.hists is not None:
        if block.hist_mask().any():
            ev.context.annotations.histogram_ignored(node.op, node.expr)
        block = block.floats_only()
    if ev.steps > 1 and len(groups.labels) == 1:
        quick = _best_of_one_group(block, parameter, descending=node.op == "topk")
        if quick is not None:
            return Block(block.labels, block.values, quick)
    order = _ranking(block, groups, descending=node.op == "topk")
    position = np.arange(order.shape[0], dtype=np.int64)
    within = position - groups.starts[groups.of_row[groups.order]]
    chosen = within[:, None] < np.maximum(np.trunc(parameter), 0)[None, :]
    keep = np.zeros(block.values.shape, np.bool_)
    np.put_along_axis(keep, order, chosen, axis=0)
    keep &= block.present
    result = Block(block.labels, block.values, keep)
    if ev.context.instant and ev.steps == 1:
        rows = order[:, 0]
        return result.take(rows[keep[rows, 0]])
    return result


def _kept(block: Block, keep: Mask) -> Block:
    return Block(block.labels, block.values, block.present & keep, only(block.hists, keep))


def _best_of_one_group(block: Block, parameter: Values, descending: bool) -> Mask | None:
    """The best k of each step by partitioning; None where ties or NaN need a real order."""
    k = int(parameter[0])
    if k < 1 or k >= len(block.labels) or (parameter != parameter[0]).any():
        return None
    keys = np.where(block.present, -block.values if descending else block.values, np.inf)
    if np.isnan(keys).any() or np.isinf(block.values[block.present]).any():
        return None
    last = np.partition(keys, k - 1, axis=0)[k - 1]
    keep: Mask = keys <= last
    keep &= block.present
    return keep if bool((keep.sum(axis=0) <= k).all()) else None


def _ranking(block: Block, groups: Groups, descending: bool) -> Indexes:
    """Row numbers of each column, group by group, best first, NaN then absent last."""
    values = -block.values if descending else block.values
    order = np.argsort(~block.present, axis=0, kind="stable")
    picked = np.take_along_axis(np.where(block.present, values, np.nan), order, axis=0)
    order = np.take_along_axis(order, np.argsort(picked, axis=0, kind="stable"), axis=0)
    if len(groups.labels) > 1:
        order = np.take_along_axis(
            order, np.argsort(groups.of_row[order], axis=0, kind="stable"), axis=0
        )
    return order


def _first_k(block: Block, groups: Groups, parameter: Values) -> Mask:
    """The first k present rows of each group at each step."""
    here = block.any_mask()[groups.order]
    running = np.cumsum(here, axis=0)
    before = np.zeros((len(groups.labels), here.shape[1]), np.int64)
    before[1:] = running[groups.starts[1:] - 1]
    nth = running - before[groups.of_row[groups.order]]
    chosen = here & (nth <= np.maximum(np.trunc(parameter), 0)[None, :])
    keep = np.empty(chosen.shape, np.bool_)
    keep[groups.order] = chosen
    return keep


def _ratio_mask(block: Block, parameter: Values) -> Mask:
    """Rows whose labels hash below the ratio; a negative ratio takes the others."""
    place = block.labels.memo("hash", lambda: hash_ratios(block.labels.sets))[:, None]
    ratio = np.clip(parameter, -1.0, 1.0)[None, :]
    mask: Mask = np.where(ratio >= 0, place < ratio, place >= 1.0 + ratio)
    return mask


# count_values.


def _count_values(ev: Evaluator, node: Aggregate) -> Block:
    assert node.param is not None
    name = ev.text(node.param)
    check_label_name(name)
    block = ev.vector(node.expr)
    if len(block.labels) == 0:
        return Block.empty(ev.steps)
    names = node.grouping
    if node.without:
        names = (*names, name)
    groups = groups_of(block.labels, node.without, names)
    counts: dict[tuple[int, str], Values] = {}
    for row, step in np.argwhere(block.any_mask()):
        hist = block.hists[row, step] if block.hists is not None else None
        text = str(hist) if hist is not None else go_float(float(block.values[row, step]), "f")
        key = (int(groups.of_row[row]), text)
        found = counts.get(key)
        if found is None:
            found = counts[key] = np.zeros(ev.steps)
            ev.context.check_cells(len(counts), ev.steps)
        found[step] += 1
    if not counts:
        return Block.empty(ev.steps)
    sets = [labels_of({**dict(groups.labels.sets[group]), name: text}) for group, text in counts]
    drops = groups.labels.drops()
    values = np.stack(list(counts.values()))
    labels = LabelColumn(sets, [drops[group] for group, _ in counts])
    merged = _add_equal(labels, values)
    return merge_rows(Block(merged[0], merged[1], merged[1] > 0))


def _add_equal(labels: LabelColumn, values: Values) -> tuple[LabelColumn, Values]:
    """Rows with equal labels added up (the value's label may overwrite a grouping label)."""
    index: dict[object, int] = {}
    rows: list[int] = []
    of_row: list[int] = []
    for row, key in enumerate(labels.sets):
        if key not in index:
            index[key] = len(index)
            rows.append(row)
        of_row.append(index[key])
    out = np.zeros((len(rows), values.shape[1]))
    np.add.at(out, np.asarray(of_row), values)
    return labels.take(rows), out
