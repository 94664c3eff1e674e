"""Operators between two vectors: matching, grouping, filling.

The side whose series may match several of the other is called "many", the other "one"; in a
one-to-one operation the left is "many". The work is done on pairs of rows (many, one) of one
match group, each with the steps at which both are present; a fill pairs a row with nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Values
from vezha.model.labels import METRIC_NAME, Labels, get_label, labels_of
from vezha.query import histogram_columns
from vezha.query.ast import Binary, Card, Matching
from vezha.query.block import Block, Mask, Objects, merge_rows, only
from vezha.query.check import COMPARISONS
from vezha.query.errors import EvaluationError
from vezha.query.labelcolumn import (
    Indexes,
    LabelColumn,
    drop_labels,
    keep_labels,
    without_name,
)
from vezha.query.matching import Matched, match_groups, rows_of_groups
from vezha.query.setops import concatenate, group_presence
from vezha.query.text import go_quote

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator

NOBODY = -1


@dataclass(slots=True)
class Sides:
    """The two operands as many and one; `swapped` where many is the right one."""

    many: Block
    one: Block
    swapped: bool
    fill_many: float | None
    fill_one: float | None

    @property
    def filled(self) -> bool:
        return self.fill_many is not None or self.fill_one is not None


def vectors(ev: Evaluator, node: Binary, left: Block, right: Block) -> Block:
    """The value of an arithmetic or comparison operator between vectors."""
    matching = node.matching
    assert matching is not None
    # as upstream: with group_right the fills go with many and one, not with left and right
    swapped = matching.card is Card.ONE_TO_MANY
    many, one = (right, left) if swapped else (left, right)
    sides = Sides(many, one, swapped, matching.fill_left, matching.fill_right)
    if not len(sides.many.labels) and sides.fill_many is None:
        return Block.empty(ev.steps)
    if not len(sides.one.labels) and sides.fill_one is None:
        return Block.empty(ev.steps)
    matched = match_groups(sides.many.labels, sides.one.labels, matching)
    if not matched.simple:
        _check_one_side(sides, matched)
    pairs = sides.many.labels.memo(
        ("pairs", sides.one.labels, matching.on, matching.labels), lambda: _pairs(matched)
    )
    ev.context.check_cells(pairs[0].size, ev.steps)
    matches, fits = _combined(ev, node, sides, matched, pairs[0], pairs[1])
    if sides.filled:
        matches, fits = _with_fills(ev, node, sides, matched, matches, fits)
    if matching.card is Card.ONE_TO_ONE and not matched.simple:
        _check_many_side(sides, matched, pairs)
    labels = fits.labels
    if not labels.unique():
        _check_results(matches, matching)
        return merge_rows(fits)
    return fits


def _pairs(matched: Matched) -> tuple[Indexes, Indexes]:
    """All (many row, one row) of equal group, in order of the many rows."""
    if np.unique(matched.right).size == matched.right.size:
        ones = rows_of_groups(matched.right, matched.groups)[matched.left]
        many = np.flatnonzero(ones >= 0)
        return many, ones[many]
    order = np.argsort(matched.right, kind="stable")
    ranked = matched.right[order]
    lo = np.searchsorted(ranked, matched.left, "left")
    count = np.searchsorted(ranked, matched.left, "right") - lo
    many = np.repeat(np.arange(matched.left.size, dtype=np.int64), count)
    within = np.arange(many.size) - np.repeat(np.cumsum(count) - count, count)
    return many, order[np.repeat(lo, count) + within]


def _combined(
    ev: Evaluator, node: Binary, sides: Sides, matched: Matched, many: Indexes, one: Indexes
) -> tuple[Mask, Block]:
    """Where pairs meet, and the operator's result there."""
    labels = _result_labels(node, sides, matched, many, one, "pairs")
    a = _rows(sides.many, many)
    b = _rows(sides.one, one)
    return _apply(ev, node, sides, labels, a, b)


Cells = tuple[Values, Mask, Objects | None]


def _rows(block: Block, rows: Indexes) -> Cells:
    if rows.size == len(block.labels) and (rows == np.arange(rows.size)).all():
        return block.values, block.present, block.hists
    hists = block.hists[rows] if block.hists is not None else None
    return block.values[rows], block.present[rows], hists


def _apply(
    ev: Evaluator, node: Binary, sides: Sides, labels: LabelColumn, a: Cells, b: Cells
) -> tuple[Mask, Block]:
    left, right = (b, a) if sides.swapped else (a, b)
    both = left[1] & right[1]
    hists: Objects | None = None
    values: Values
    if node.op in COMPARISONS:
        holds = binary.COMPARE[node.op](left[0], right[0])
        if node.bool_modifier:
            values, present = holds.astype(np.float64), both
        else:
            values, present = np.broadcast_to(left[0], both.shape), both & holds
    elif node.op in binary.ARITHMETIC:
        values, present = binary.ARITHMETIC[node.op](left[0], right[0]), both
    else:
        values, present = left[0], np.zeros(both.shape, np.bool_)
        if both.any():
            ev.context.annotations.incompatible_types("float", node.op, "float", node)
    matches = both
    if left[2] is not None or right[2] is not None:
        values, present, hists, matches = histogram_columns.vectors(
            ev, node, left, right, values, present, both
        )
    block = Block(labels, values, present, hists)
    if node.bool_modifier:
        block = block.with_labels(labels.nameless())
    return matches, block


# Labels of results.


def _result_labels(
    node: Binary, sides: Sides, matched: Matched, many: Indexes, one: Indexes, what: str
) -> LabelColumn:
    """Labels of pairs; a row NOBODY stands for a filled side. Remembered in the many column."""
    matching = node.matching
    assert matching is not None
    keeps_name = node.op not in binary.ARITHMETIC
    key = (
        "result", what, sides.one.labels, keeps_name, matching.card, matching.on, matching.labels,
        matching.include, many.tobytes() if what != "pairs" else b"",
    )  # fmt: skip
    column = sides.many.labels
    return column.memo(key, lambda: _make_labels(matching, keeps_name, sides, matched, many, one))


def _make_labels(
    matching: Matching, keeps_name: bool, sides: Sides, matched: Matched, many: Indexes,
    one: Indexes,
) -> LabelColumn:  # fmt: skip
    column, other = sides.many.labels, sides.one.labels
    shape = None
    if matching.card is Card.ONE_TO_ONE:
        keep = keep_labels(matching.labels)
        shape = keep if matching.on else drop_labels(matching.labels)
    sets: list[Labels] = []
    drops: list[bool] = []
    for m, o in zip(many.tolist(), one.tolist(), strict=True):
        if m == NOBODY:
            labels = matched.labels[int(matched.right[o])]
            dropped = False
        else:
            labels = column.sets[m]
            dropped = column.drop is not None and column.drop[m]
        if not keeps_name:
            labels = without_name(labels)
        if shape is not None:
            labels = shape(labels)
        if matching.include:
            source = other.sets[o] if o != NOBODY else ()
            labels = labels_of(
                {**dict(labels), **{n: get_label(source, n) for n in matching.include}}
            )
        sets.append(labels)
        drops.append(dropped and bool(get_label(labels, METRIC_NAME)))
    return LabelColumn(sets, drops)


# Filling.


def _with_fills(
    ev: Evaluator, node: Binary, sides: Sides, matched: Matched, matches: Mask, fits: Block
) -> tuple[Mask, Block]:
    many_mask, one_mask = sides.many.any_mask(), sides.one.any_mask()
    if sides.fill_one is not None:
        there = group_presence(matched.right, one_mask, matched.groups)[matched.left]
        rows = np.arange(len(sides.many.labels), dtype=np.int64)
        nobody = np.full(rows.size, NOBODY, np.int64)
        values, present = sides.many.values, sides.many.present & ~there
        hists = only(sides.many.hists, ~there)
        labels = _result_labels(node, sides, matched, rows, nobody, "fill one")
        filled = (np.full(values.shape, sides.fill_one), ~there, None)
        more, block = _apply(ev, node, sides, labels, (values, present, hists), filled)
        matches, fits = np.concatenate([matches, more]), concatenate(fits, block)
        if matches.shape[0] != len(fits.labels):
            matches = fits.any_mask()
    if sides.fill_many is not None:
        there = group_presence(matched.left, many_mask, matched.groups)[matched.right]
        rows = np.arange(len(sides.one.labels), dtype=np.int64)
        nobody = np.full(rows.size, NOBODY, np.int64)
        values, present = sides.one.values, sides.one.present & ~there
        hists = only(sides.one.hists, ~there)
        labels = _result_labels(node, sides, matched, nobody, rows, "fill many")
        filled = (np.full(values.shape, sides.fill_many), ~there, None)
        more, block = _apply(ev, node, sides, labels, filled, (values, present, hists))
        matches, fits = np.concatenate([matches, more]), concatenate(fits, block)
    return matches, fits


# Errors.


def _active(sides: Sides) -> Mask:
    """Steps at which the operation takes place at all."""
    many: Mask = np.logical_or.reduce(sides.many.any_mask(), axis=0)
    one: Mask = np.logical_or.reduce(sides.one.any_mask(), axis=0)
    return (many | one) if sides.filled else (many & one)


def _counts(of_row: Indexes, mask: Mask, groups: int) -> Indexes:
    out = np.zeros((groups, mask.shape[1]), np.int64)
    np.add.at(out, of_row, mask)
    return out


def _check_one_side(sides: Sides, matched: Matched) -> None:
    mask = sides.one.any_mask() & _active(sides)[None, :]
    twice = np.argwhere(_counts(matched.right, mask, matched.groups) > 1)
    if not twice.size:
        return
    group, step = twice[np.argmin(twice[:, 1])]
    rows = np.flatnonzero((matched.right == group) & mask[:, step])
    shown = sorted(go_labels(sides.one.labels.sets[row]) for row in rows)[:2]
    side = "left" if sides.swapped else "right"
    raise EvaluationError(
        f"found duplicate series for the match group {go_labels(matched.labels[int(group)])} on "
        f"the {side} hand-side of the operation: [{', '.join(shown)}]"
        ";many-to-many matching not allowed: matching labels must be unique on one side"
    )


def _check_many_side(sides: Sides, matched: Matched, pairs: tuple[Indexes, Indexes]) -> None:
    many, one = pairs
    meets = sides.many.any_mask()[many] & sides.one.any_mask()[one]
    if (_counts(matched.left[many], meets, matched.groups) > 1).any():
        raise EvaluationError(
            "multiple matches for labels: many-to-one matching must be explicit "
            "(group_left/group_right)"
        )


def _check_results(matches: Mask, matching: Matching) -> None:
    """Rows of equal labels that overlap are found when they are merged; this words the error."""
    del matches, matching


def go_labels(labels: Labels) -> str:
    """A label set as Prometheus prints it in errors: `{__name__="up", job="x"}`."""
    return "{" + ", ".join(f"{name}={go_quote(value)}" for name, value in labels) + "}"


from vezha.query import binary  # noqa: E402  (binary imports this module)
