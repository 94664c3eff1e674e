"""Durations: literals and arithmetic inside `[...]` and after `offset`.

Inside brackets a whole expression may stand; after `offset` only one operand with an optional
sign, because `a offset 1m + 2` adds 2 to the series. Plain numbers are seconds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vezha.query.ast import Duration, DurationCall, DurationOp
from vezha.query.errors import EvaluationError, ParseError
from vezha.query.lexer import Kind
from vezha.query.limits import OPERATORS_MAX

if TYPE_CHECKING:
    from vezha.query.parser import Parser

_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 3}
_SECONDS_MAX = 2**63 / 1e9


class DurationParser:
    """Reads a duration from where a query's parser stands."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser

    def expression(self, binding_min: int = 0) -> Duration:
        """A whole duration expression."""
        parser = self._parser
        parser.descend(parser.here)
        left = self.operand()
        while True:
            token = parser.here
            binding = _BINDING.get(token.text, 0) if token.kind is Kind.OPERATOR else 0
            if binding <= binding_min:
                break
            parser.advance()
            parser.operators += 1
            if parser.operators > OPERATORS_MAX:
                message = f"more than {OPERATORS_MAX} operators"
                raise parser.error(message, token.start, token.end)
            right = self.expression(binding - 1 if token.text == "^" else binding)
            left = _fold(DurationOp(op=token.text, left=left, right=right), parser, token.start)
        parser.depth -= 1
        return left

    def operand(self) -> Duration:
        """A signed operand of an expression; the sign binds like *."""
        parser = self._parser
        if parser.is_op("-") or parser.is_op("+"):
            token = parser.advance()
            inner = self.expression(2)
            return _fold(DurationOp(op=token.text, left=None, right=inner), parser, token.start)
        return self.atom()

    def offset(self) -> Duration:
        """What may follow `offset`: one operand, its sign binding to it alone."""
        parser = self._parser
        if parser.is_op("-") or parser.is_op("+"):
            token = parser.advance()
            inner = self.atom()
            return _fold(DurationOp(op=token.text, left=None, right=inner), parser, token.start)
        return self.atom()

    def atom(self) -> Duration:
        """A literal, a parenthesis or one of the four functions."""
        parser = self._parser
        token = parser.here
        if token.kind in (Kind.NUMBER, Kind.DURATION):
            parser.advance()
            return token.number
        if parser.is_op("("):
            parser.advance()
            inner = self.expression()
            parser.expect(")", "duration expression")
            return inner
        word = parser.word()
        following = parser.ahead()
        if following.kind is Kind.OPERATOR and following.text == "(":
            if word in ("step", "range"):
                parser.advance()
                parser.advance()
                parser.expect(")", "duration expression")
                return DurationCall(name=word)
            if word in ("min_of", "max_of"):
                parser.advance()
                parser.advance()
                first = self.expression()
                parser.expect(",", "duration expression")
                second = self.expression()
                parser.expect(")", "duration expression")
                return DurationCall(name=word, args=(first, second))
        raise parser.unexpected("duration expression", "number, duration, step(), or range()")


def _fold(node: DurationOp, parser: Parser, at: int) -> Duration:
    """Arithmetic on literals is done at once, so that errors have a place."""
    if isinstance(node.right, float) and (node.left is None or isinstance(node.left, float)):
        try:
            return _apply(node.op, node.left, node.right)
        except EvaluationError as error:
            raise ParseError(str(error), parser.query, at, at + 1) from None
    return node


def _apply(op: str, left: float | None, right: float) -> float:
    if left is None:
        return -right if op == "-" else right
    if op == "+":
        return left + right
    if op == "-":
        return left - right
    if op == "*":
        return left * right
    if op == "^":
        try:
            power = left**right
        except (OverflowError, ZeroDivisionError):
            power = math.inf
        return power if isinstance(power, float) else math.nan
    if right == 0:
        word = "division" if op == "/" else "modulo"
        raise EvaluationError(f"{word} by zero")
    return left / right if op == "/" else math.fmod(left, right)


def fixed_seconds(duration: Duration | None) -> float | None:
    """The seconds of a duration that does not depend on the query's range, else None."""
    return duration if isinstance(duration, float) else None


def seconds(duration: Duration, step_s: float, range_s: float) -> float:
    """The seconds of *duration* in a query of that step and range. Raises EvaluationError."""
    if isinstance(duration, float):
        return duration
    if isinstance(duration, DurationCall):
        if duration.name == "step":
            return step_s
        if duration.name == "range":
            return range_s
        first, second = (seconds(arg, step_s, range_s) for arg in duration.args)
        return min(first, second) if duration.name == "min_of" else max(first, second)
    left = None if duration.left is None else seconds(duration.left, step_s, range_s)
    return _apply(duration.op, left, seconds(duration.right, step_s, range_s))


def milliseconds(duration: Duration, step_ms: int, range_ms: int) -> int:
    """*duration* in whole milliseconds. Raises EvaluationError where it is out of range."""
    value = seconds(duration, step_ms / 1000, range_ms / 1000)
    if not math.isfinite(value) or abs(value) > _SECONDS_MAX:
        raise EvaluationError("duration out of range")
    return math.floor(value * 1000 + 0.5) if value >= 0 else -math.floor(-value * 1000 + 0.5)
