"""How rules ask the query engine: one instant, a vector back."""

from __future__ import annotations

from typing import Protocol

from vezha.alerting.errors import EvaluationError
from vezha.model.columns import TooManySamples, Values
from vezha.model.labels import Labels
from vezha.query import Engine, ParseError, QueryError, ResultKind
from vezha.query.ast import Type
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
        except (QueryError, TooManySamples) as fault:
            raise EvaluationError(str(fault)) from fault
        if result.kind is ResultKind.SCALAR:
            return [()], result.column
        if result.kind is not ResultKind.VECTOR:
            raise EvaluationError(f"gives a {result.kind.value}, not an instant vector or scalar")
        present = result.present[:, 0]
        if present.all():
            return result.labels, result.column
        labels = [one for one, there in zip(result.labels, present, strict=True) if there]
        return labels, result.column[present]

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
