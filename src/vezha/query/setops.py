"""`and`, `or`, `unless`: presence of match groups, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vezha.query.ast import Binary
from vezha.query.block import Block, Mask, Objects, merge_rows, only
from vezha.query.labelcolumn import Indexes, LabelColumn
from vezha.query.matching import match_groups

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator


def group_presence(of_row: Indexes, mask: Mask, groups: int) -> Mask:
    """Whether any row of each group is present: bool[groups, steps]."""
    counts = np.zeros((groups, mask.shape[1]), np.bool_)
    if of_row.size == 0:
        return counts
    order = np.argsort(of_row, kind="stable")
    ranked = of_row[order]
    starts = np.flatnonzero(np.concatenate(([True], ranked[1:] != ranked[:-1])))
    counts[ranked[starts]] = np.logical_or.reduceat(mask[order], starts, axis=0)
    return counts


def set_operation(ev: Evaluator, node: Binary, left: Block, right: Block) -> Block:
    """The value of a set operator."""
    assert node.matching is not None
    matched = match_groups(left.labels, right.labels, node.matching)
    if node.op == "or":
        taken = group_presence(matched.left, left.any_mask(), matched.groups)
        return merge_rows(concatenate(left, masked(right, ~taken[matched.right])))
    there = group_presence(matched.right, right.any_mask(), matched.groups)[matched.left]
    return masked(left, there if node.op == "and" else ~there)


def masked(block: Block, keep: Mask) -> Block:
    """Only the cells of *keep*."""
    return Block(block.labels, block.values, block.present & keep, only(block.hists, keep))


def concatenate(first: Block, second: Block) -> Block:
    """The rows of both."""
    if len(second.labels) == 0:
        return first
    if len(first.labels) == 0:
        return second
    labels = first.labels.memo(
        ("concatenate", second.labels), lambda: _joined(first.labels, second.labels)
    )
    hists: Objects | None = None
    if first.hists is not None or second.hists is not None:
        hists = np.concatenate([_hists(first), _hists(second)])
    return Block(
        labels,
        np.concatenate([first.values, second.values]),
        np.concatenate([first.present, second.present]),
        hists,
    )


def _joined(first: LabelColumn, second: LabelColumn) -> LabelColumn:
    return LabelColumn(first.sets + second.sets, first.drops() + second.drops())


def _hists(block: Block) -> Objects:
    return block.hists if block.hists is not None else np.full(block.values.shape, None, np.object_)
