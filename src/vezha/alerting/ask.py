"""How rules ask the query engine: one instant, a vector back."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from vezha.alerting.errors import EvaluationError
from vezha.model.columns import TooManySamples, Values
from vezha.model.labels import Labels
from vezha.model.native import PART_LABEL
from vezha.query import Engine, ParseError, QueryError, ResultKind
from vezha.query.ast import Type
from vezha.query.native_source import stored_parts
from vezha.query.parser import parse
from vezha.query.result import Result

Vector = tuple[list[Labels], Values]
"""Label sets and as many float64 values."""


class Ask(Protocol):
    """Asks for the vector of an expression at an instant."""

    def __call__(self, expr: str, ts_ms: int) -> Vector:
        """Raises EvaluationError."""
        ...


def ask_of(engine: Engine, *, parts: bool = False) -> Ask:
    """An `Ask` over *engine*; a scalar counts as one sample without labels. With *parts* a native
    histogram gives a sample for each part that it is stored in, which is what can be recorded;
    without, one whose value means nothing."""

    def ask(expr: str, ts_ms: int) -> Vector:
        try:
            result = engine.instant(expr, ts_ms)
        except (QueryError, TooManySamples) as fault:
            raise EvaluationError(str(fault)) from fault
        if result.kind is ResultKind.SCALAR:
            return [()], result.column
        if result.kind is not ResultKind.VECTOR:
            raise EvaluationError(f"gives a {result.kind.value}, not an instant vector or scalar")
        if parts and result.hists is not None:
            return _in_parts(result)
        present = result.present[:, 0]
        if present.all():
            return result.labels, result.column
        labels = [one for one, there in zip(result.labels, present, strict=True) if there]
        return labels, result.column[present]

    return ask


def _in_parts(result: Result) -> Vector:
    """Floats as they are, each native histogram as its parts."""
    labels: list[Labels] = []
    values: list[float] = []
    assert result.hists is not None
    for row, whole in enumerate(result.labels):
        histogram = result.hists[row, 0]
        if histogram is not None:
            for part, value in stored_parts(histogram):
                labels.append(tuple(sorted((*whole, (PART_LABEL, part)))))
                values.append(value)
        elif result.present[row, 0]:
            labels.append(whole)
            values.append(float(result.values[row, 0]))
    return labels, np.array(values, np.float64)


def check_expression(expr: str) -> str:
    """What is wrong with *expr* as a rule's expression, or the empty string."""
    try:
        tree = parse(expr)
    except ParseError as fault:
        return str(fault)
    if tree.type not in (Type.VECTOR, Type.SCALAR):
        return f"gives a {tree.type.value}; a rule needs an instant vector or a scalar"
    return ""
