"""Binary operators between scalars and vectors.

Rules: arithmetic drops the metric name, trimming keeps it, a filtering comparison keeps the left
sample, `bool` makes 0 and 1 of it. Between vectors each series of the "one" side may match only once per step,
and a series that appears twice at one step is an error, even where a filter would drop it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Values
from vezha.query import histogram_columns
from vezha.query.ast import Binary
from vezha.query.block import Block, Mask, Scalar, Value
from vezha.query.check import COMPARISONS, SET_OPERATORS
from vezha.query.errors import EvaluationError
from vezha.query.setops import set_operation
from vezha.query.vectors import vectors

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator

Arithmetic = Callable[[Values, Values], Values]


def _power(left: Values, right: Values) -> Values:
    out: Values = np.power(left, right)
    return out


ARITHMETIC: dict[str, Arithmetic] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": _power,
    "atan2": np.arctan2,
}
COMPARE: dict[str, Callable[[Values, Values], Mask]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def is_decided(node: Binary, left: Block) -> bool:
    """Whether nothing comes out whatever the right side is: rules put what is cheap on the left, and what
    is dear is asked only where that has found something."""
    return node.op in ("and", "unless") and not left.any_mask().any()


def combine(ev: Evaluator, node: Binary, left: Value, right: Value) -> Value:
    """The value of a binary operator whose sides are evaluated."""
    with np.errstate(all="ignore"):
        if isinstance(left, Scalar) and isinstance(right, Scalar):
            return Scalar(scalars(node.op, left.values, right.values))
        if isinstance(left, Block) and isinstance(right, Block):
            if node.op in SET_OPERATORS:
                return set_operation(ev, node, left, right)
            return vectors(ev, node, left, right)
        if isinstance(left, Block) and isinstance(right, Scalar):
            return _with_scalar(ev, node, left, right, swapped=False)
        assert isinstance(left, Scalar), "the parser checked the types"
        assert isinstance(right, Block), "the parser checked the types"
        return _with_scalar(ev, node, right, left, swapped=True)


def scalars(op: str, left: Values, right: Values) -> Values:
    """An operator between numbers; comparisons give 0 and 1."""
    if op in COMPARISONS:
        return COMPARE[op](left, right).astype(np.float64)
    if op in ARITHMETIC:
        return ARITHMETIC[op](left, right)
    raise EvaluationError(f'operator "{op}" not allowed for Scalar operations')


def _with_scalar(ev: Evaluator, node: Binary, block: Block, scalar: Scalar, swapped: bool) -> Block:
    number = scalar.values[None, :]
    left, right = (number, block.values) if swapped else (block.values, number)
    hists = None
    if block.hists is not None:
        hists = histogram_columns.with_scalar(ev, node, block, scalar.values, swapped)
    if node.op in COMPARISONS:
        fits = COMPARE[node.op](left, right)
        if node.bool_modifier:
            return ev.drop_names(Block(block.labels, fits.astype(np.float64), block.present, hists))
        return Block(block.labels, block.values, block.present & fits, hists)
    if node.op not in ARITHMETIC:  # trimming is for histograms
        if block.present.any():
            ev.context.annotations.incompatible_types("float", node.op, "float", node)
        none = np.zeros(block.present.shape, np.bool_)
        return Block(block.labels, block.values, none, hists)
    values = ARITHMETIC[node.op](left, right)
    return ev.drop_names(Block(block.labels, values, block.present, hists))
