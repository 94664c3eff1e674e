"""How rules ask the query engine: one instant, a vector back."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from vezha.alerting.errors import EvaluationError
from vezha.model.columns import Values
from vezha.model.labels import Labels
from vezha.query import Engine, QueryError
from vezha.query.ast import Type
from vezha.query.errors import ParseError
from vezha.query.parser import parse

Vector = tuple[list[Labels], Values]
"""Label sets and as many float64 values."""


class Ask(Protocol):
    """Asks for the vector of an expression at an instant."""

    def __call__(self, expr: str, ts_ms: int) -> Vector:
        """Raises EvaluationError."""
        ...


def ask_of(engine: Engine) -> Ask:
    """An `Ask` over *engine*; a scalar counts as one sample without labels."""

    def ask(expr: str, ts_ms: int) -> Vector:
        try:
            result = engine.instant(expr, ts_ms)
        except QueryError as fault:
            raise EvaluationError(str(fault)) from fault
        if result.type is Type.SCALAR:
            return [()], np.asarray(result.values, np.float64).reshape(1)
        if result.type is not Type.VECTOR:
            raise EvaluationError(f"gives a {result.type.value}, not an instant vector or scalar")
        return list(result.labels), np.asarray(result.values, np.float64).reshape(-1)

    return ask


def check_expression(expr: str) -> str:
    """What is wrong with *expr* as a rule's expression, or the empty string."""
    try:
        tree = parse(expr)
    except ParseError as fault:
        return str(fault)
    if tree.type not in (Type.VECTOR, Type.SCALAR):
        return f"gives a {tree.type.value}; a rule needs an instant vector or a scalar"
    return ""
