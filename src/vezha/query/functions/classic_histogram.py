"""histogram_quantile, histogram_quantiles and histogram_fraction.

Classic histograms are stacked by bucket layout, [cells x buckets], and answered together;
native ones are answered one by one. A cell that has both gives a warning and nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Values
from vezha.model.labels import METRIC_NAME, Labels, get_label, with_labels
from vezha.query import bucket_quantile, native_quantile
from vezha.query.ast import Call, Node
from vezha.query.block import Block, Mask, Value, merge_rows
from vezha.query.functions.elementwise import Function
from vezha.query.histogram import Histogram
from vezha.query.labelcolumn import Indexes, LabelColumn, drop_labels
from vezha.query.setops import concatenate
from vezha.query.text import openmetrics_float

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator

Answer = Callable[[Values, Values, Indexes], Values]
"""(uppers[b], counts[cells, b], step of each cell) -> value of each cell."""

NativeAnswer = Callable[[Histogram, int, str], float]
"""(histogram, step, metric name) -> value."""


@dataclass(slots=True)
class Layout:
    """The classic histograms of a column: rows with a bound, by histogram."""

    groups: LabelColumn
    rows: list[list[int]]
    """Rows of each group, by rising bound."""
    uppers: list[Values]
    bad: list[tuple[int, str]]
    """Rows whose `le` is missing or malformed, with what it says."""


def layout_of(column: LabelColumn) -> Layout:
    """The histograms of a column, remembered in it."""
    return column.memo("layout", lambda: _layout(column))


def _layout(column: LabelColumn) -> Layout:
    without_le = drop_labels(("le",))
    index: dict[Labels, int] = {}
    members: list[list[tuple[float, int]]] = []
    bad: list[tuple[int, str]] = []
    drops: list[bool] = []
    for row, labels in enumerate(column.sets):
        bound = _bound(get_label(labels, "le"))
        if bound is None:
            bad.append((row, get_label(labels, "le")))
            continue
        key = without_le(labels)
        if key not in index:
            index[key] = len(index)
            members.append([])
            drops.append(True)
        members[index[key]].append((bound, row))
    for group in members:
        group.sort()
    return Layout(
        LabelColumn(list(index), drops),
        [[row for _, row in group] for group in members],
        [np.asarray([bound for bound, _ in group]) for group in members],
        bad,
    )


def _bound(text: str) -> float | None:
    try:
        return float(text) if text and not text.isspace() and "_" not in text else None
    except ValueError:
        return None


def answer_all(
    ev: Evaluator, block: Block, node: Node, classic: Answer, native: NativeAnswer
) -> Block:
    """The answers for every histogram of *block*, classic and native; names dropped."""
    layout = layout_of(block.labels)
    annotations = ev.context.annotations
    for row, text in layout.bad:
        if block.present[row].any():
            name = get_label(block.labels.sets[row], METRIC_NAME)
            annotations.bad_bucket_label(name, text, node)
    conflict: dict[Labels, Mask] = {}
    if block.hists is not None:
        conflict = _conflicts(ev, block, layout, node)
    steps = ev.steps
    values = np.full((len(layout.rows), steps), np.nan)
    present = np.zeros((len(layout.rows), steps), np.bool_)
    for group, rows in enumerate(layout.rows):
        present[group] = block.present[rows].any(axis=0)
        clash = conflict.get(layout.groups.sets[group])
        if clash is not None:
            present[group] &= ~clash
    _classic(ev, block, layout, values, present, node, classic)
    out = Block(layout.groups, values, present)
    if block.hists is not None:
        out = concatenate(out, _native(ev, block, conflict, native))
    return ev.drop_names(out)


def _conflicts(ev: Evaluator, block: Block, layout: Layout, node: Node) -> dict[Labels, Mask]:
    """Where a histogram is there both ways, by its labels."""
    out: dict[Labels, Mask] = {}
    index = {labels: group for group, labels in enumerate(layout.groups.sets)}
    hist_mask = block.hist_mask()
    for row, labels in enumerate(block.labels.sets):
        group = index.get(labels)
        if group is None or not hist_mask[row].any():
            continue
        clash = hist_mask[row] & block.present[layout.rows[group]].any(axis=0)
        if clash.any():
            out[labels] = clash
            ev.context.annotations.mixed_classic_native(get_label(labels, METRIC_NAME), node)
    return out


def _classic(
    ev: Evaluator, block: Block, layout: Layout, values: Values, present: Mask, node: Node,
    classic: Answer,
) -> None:  # fmt: skip
    """Groups of equal bounds together, and their cells of equal presence together."""
    by_bounds: dict[bytes, list[int]] = {}
    for group, uppers in enumerate(layout.uppers):
        by_bounds.setdefault(uppers.tobytes(), []).append(group)
    for groups in by_bounds.values():
        uppers = layout.uppers[groups[0]]
        rows = np.asarray([layout.rows[group] for group in groups])
        counts = np.moveaxis(block.values[rows], 1, 2)  # [groups, steps, buckets]
        there = np.moveaxis(block.present[rows], 1, 2)
        group_at, step_at = np.nonzero(present[groups])
        if group_at.size == 0:
            continue
        flat, mask = counts[group_at, step_at], there[group_at, step_at]
        patterns, of_cell = np.unique(mask, axis=0, return_inverse=True)
        answers = np.empty(group_at.size)
        forced = np.zeros(group_at.size, np.bool_)
        for number, pattern in enumerate(patterns):
            cells = np.flatnonzero(of_cell.ravel() == number)
            bounds, stacked = bucket_quantile.coalesced(uppers[pattern], flat[cells][:, pattern])
            mended = bucket_quantile.monotone(stacked)
            forced[cells] = mended.forced & (bounds[-1] == np.inf)
            answers[cells] = classic(bounds, mended.counts, step_at[cells])
        chosen = np.asarray(groups)[group_at]
        values[chosen, step_at] = answers
        for mended_group in np.unique(chosen[forced]).tolist():
            name = get_label(layout.groups.sets[mended_group], METRIC_NAME)
            ev.context.annotations.forced_monotonicity(name, node)


def _native(
    ev: Evaluator, block: Block, conflict: dict[Labels, Mask], native: NativeAnswer
) -> Block:
    assert block.hists is not None
    mask = block.hist_mask()
    for row, labels in enumerate(block.labels.sets):
        clash = conflict.get(labels)
        if clash is not None:
            mask[row] &= ~clash
    rows = np.flatnonzero(mask.any(axis=1))
    values = np.full((rows.size, ev.steps), np.nan)
    for at, row in enumerate(rows.tolist()):
        name = get_label(block.labels.sets[row], METRIC_NAME)
        for step in np.flatnonzero(mask[row]).tolist():
            values[at, step] = native(block.hists[row, step], step, name)
    return Block(block.labels.take(rows), values, mask[rows])


def _histogram_quantile(ev: Evaluator, call: Call) -> Value:
    q = ev.scalar(call.args[0]).values
    _warn_quantiles(ev, q, call.args[0])
    return _quantile(ev, ev.vector(call.args[1]), q, call.args[1])


def _warn_quantiles(ev: Evaluator, q: Values, node: Node) -> None:
    bad = q[~((q >= 0) & (q <= 1))]
    if bad.size:
        ev.context.annotations.invalid_quantile(float(bad[0]), node)


def _quantile(ev: Evaluator, block: Block, q: Values, node: Node) -> Block:
    def classic(uppers: Values, counts: Values, steps: Indexes) -> Values:
        return bucket_quantile.quantile(uppers, counts, q[steps])

    def native(histogram: Histogram, step: int, name: str) -> float:
        answer = native_quantile.quantile(histogram, float(q[step]))
        if answer.nan_result:
            ev.context.annotations.native_quantile_nan(name, node)
        elif answer.skewed:
            ev.context.annotations.native_quantile_skewed(name, node)
        return answer.value

    return answer_all(ev, block, node, classic, native)


def _histogram_quantiles(ev: Evaluator, call: Call) -> Value:
    block = ev.vector(call.args[0])
    label = ev.text(call.args[1])
    out = Block.empty(ev.steps)
    for arg in call.args[2:]:
        q = ev.scalar(arg).values
        _warn_quantiles(ev, q, arg)
        answers = _quantile(ev, block, q, call.args[0])
        for value in np.unique(q):
            text = openmetrics_float(float(value))
            same = (q == value) | (np.isnan(q) & np.isnan(value))
            sets = [with_labels(labels, {label: text}) for labels in answers.labels.sets]
            labels = LabelColumn(sets, answers.labels.drops())
            part = Block(labels, answers.values, answers.present & same[None, :])
            out = concatenate(out, part)
    if not out.labels.unique():
        out = merge_rows(out)
    return out


def _histogram_fraction(ev: Evaluator, call: Call) -> Value:
    lower, upper = ev.scalar(call.args[0]).values, ev.scalar(call.args[1]).values

    def classic(uppers: Values, counts: Values, steps: Indexes) -> Values:
        return bucket_quantile.fraction(uppers, counts, lower[steps], upper[steps])

    def native(histogram: Histogram, step: int, name: str) -> float:
        if np.isnan(histogram.sum):
            ev.context.annotations.native_fraction_nans(name, call.args[2])
        return native_quantile.fraction(histogram, float(lower[step]), float(upper[step]))

    return answer_all(ev, ev.vector(call.args[2]), call.args[2], classic, native)


def _of_native(part: Callable[[Histogram], float]) -> Function:
    """A number of each native histogram; floats are passed over."""

    def function(ev: Evaluator, call: Call) -> Value:
        block = ev.vector(call.args[0])
        if block.hists is None:
            return Block.empty(ev.steps)
        mask = block.hist_mask()
        values = np.full(mask.shape, np.nan)
        for row, step in np.argwhere(mask):
            values[row, step] = part(block.hists[row, step])
        return ev.drop_names(Block(block.labels, values, mask))

    return function


FUNCTIONS: dict[str, Function] = {
    "histogram_avg": _of_native(native_quantile.mean),
    "histogram_count": _of_native(lambda histogram: histogram.count),
    "histogram_fraction": _histogram_fraction,
    "histogram_quantile": _histogram_quantile,
    "histogram_quantiles": _histogram_quantiles,
    "histogram_stddev": _of_native(native_quantile.deviation),
    "histogram_stdvar": _of_native(native_quantile.variance),
    "histogram_sum": _of_native(lambda histogram: histogram.sum),
}
