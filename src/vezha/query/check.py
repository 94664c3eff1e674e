"""Type rules: what may stand where. Messages follow Prometheus's wording."""

from __future__ import annotations

import math
from dataclasses import replace

from vezha.model.columns import Matcher, MatchOp
from vezha.model.labels import METRIC_NAME
from vezha.query.ast import (
    Aggregate,
    At,
    Binary,
    Call,
    Card,
    Duration,
    Extension,
    Matching,
    MatrixSelector,
    Node,
    Paren,
    Subquery,
    Type,
    VectorSelector,
    unwrap,
)
from vezha.query.errors import ParseError
from vezha.query.functions.signatures import (
    EXPERIMENTAL_AGGREGATIONS,
    PARAM_AGGREGATIONS,
    Signature,
)
from vezha.query.regex import RegexError, compile_matcher

COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">="})
SET_OPERATORS = frozenset({"and", "or", "unless"})
_SECONDS_MAX = 2**63 / 1000
_SELECTOR_WANTED = "an instant vector selector or range vector selector or a subquery"


def valid_utf8_name(name: str) -> bool:
    """Whether *name* may name a label or a metric: not empty, valid UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return name != ""


def expect_type(query: str, node: Node, wanted: Type, context: str) -> None:
    """Raise ParseError unless *node* is of type *wanted*."""
    if node.type is not wanted:
        message = f"expected type {wanted.value} in {context}, got {node.type.value}"
        raise ParseError(message, query, node.start, node.end)


def unary(query: str, operand: Node, start: int) -> None:
    """A sign stands before numbers and instant vectors."""
    if operand.type not in (Type.SCALAR, Type.VECTOR):
        message = (
            "unary expression only allowed on expressions of type scalar or instant vector, "
            f'got "{operand.type.value}"'
        )
        raise ParseError(message, query, start, operand.end)


def bool_allowed(query: str, op: str, start: int, end: int) -> None:
    """`bool` follows comparisons only."""
    if op not in COMPARISONS:
        message = "bool modifier can only be used on comparison operators"
        raise ParseError(message, query, start, end)


def set_modifiers(
    query: str, op: str, card: Card, fill_left: float | None, fill_right: float | None, start: int
) -> None:
    """Set operators take neither grouping nor filling."""
    if card is not Card.ONE_TO_ONE:
        raise ParseError(f'no grouping allowed for "{op}" operation', query, start, start)
    if fill_left is not None or fill_right is not None:
        raise ParseError("filling in missing series not allowed for set operators", query, start)


def binary(
    query: str, left: Node, op: str, right: Node, bool_modifier: bool,
    matching: Matching, explicit: bool, op_start: int,
) -> Binary:  # fmt: skip
    """A checked binary expression."""
    start, end = left.start, right.end
    for side in (left, right):
        if side.type not in (Type.SCALAR, Type.VECTOR):
            message = "binary expression must contain only scalar and instant vector types"
            raise ParseError(message, query, side.start, side.end)
    scalars = (left.type is Type.SCALAR) + (right.type is Type.SCALAR)
    if scalars == 2 and op in COMPARISONS and not bool_modifier:
        raise ParseError("comparisons between scalars must use BOOL modifier", query, start, end)
    if scalars and op in SET_OPERATORS:
        message = f'set operator "{op}" not allowed in binary scalar expression'
        raise ParseError(message, query, start, end)
    if scalars and explicit:
        if matching.fill_left is not None or matching.fill_right is not None:
            message = "filling in missing series only allowed between instant vectors"
        else:
            message = "vector matching only allowed between instant vectors"
        raise ParseError(message, query, start, end)
    if matching.on:
        for label in matching.include:
            if label in matching.labels:
                message = f'label "{label}" must not occur in ON and GROUP clause at once'
                raise ParseError(message, query, start, end)
    return Binary(
        start=start, end=end, op=op, left=left, right=right, bool_modifier=bool_modifier,
        matching=None if scalars else matching, op_start=op_start,
        returns=Type.SCALAR if scalars == 2 else Type.VECTOR,
    )  # fmt: skip


def call(query: str, signature: Signature, args: tuple[Node, ...], start: int, end: int) -> Call:
    """A checked function call."""
    wanted, name = len(signature.args), signature.name
    if signature.variadic == 0:
        if len(args) != wanted:
            message = f'expected {wanted} argument(s) in call to "{name}", got {len(args)}'
            raise ParseError(message, query, start, end)
    else:
        # the last named argument may be absent, as in Prometheus's table
        least = wanted - 1 if signature.variadic < 0 else wanted - signature.variadic
        if len(args) < least:
            message = f'expected at least {least} argument(s) in call to "{name}", got {len(args)}'
            raise ParseError(message, query, start, end)
        if signature.variadic > 0 and len(args) > wanted:
            message = f'expected at most {wanted} argument(s) in call to "{name}", got {len(args)}'
            raise ParseError(message, query, start, end)
    for index, arg in enumerate(args):
        kind = signature.args[min(index, wanted - 1)]
        if name == "info" and index == 1:
            info_selector(query, arg)
            continue
        expect_type(query, arg, kind, f'call to function "{name}"')
    return Call(start=start, end=end, name=name, args=args, returns=signature.returns)


def info_selector(query: str, arg: Node) -> None:
    """The second argument of info() is a bare selector of labels, which may match everything."""
    if not isinstance(arg, VectorSelector):
        message = "expected label selectors only, got vector selector instead"
        if arg.type is not Type.VECTOR:
            message = (
                f'expected type instant vector in call to function "info", got {arg.type.value}'
            )
        raise ParseError(message, query, arg.start, arg.end)


def aggregate(
    query: str, op: str, args: tuple[Node, ...], without: bool, grouping: tuple[str, ...],
    start: int, end: int, experimental: bool,
) -> Aggregate:  # fmt: skip
    """A checked aggregation."""
    if op in EXPERIMENTAL_AGGREGATIONS and not experimental:
        raise ParseError(f"{op}() is experimental and is not enabled", query, start, end)
    if not args:
        raise ParseError("no arguments for aggregate expression provided", query, start, end)
    wanted = 2 if op in PARAM_AGGREGATIONS else 1
    if len(args) != wanted:
        message = (
            "wrong number of arguments for aggregate expression provided, "
            f"expected {wanted}, got {len(args)}"
        )
        raise ParseError(message, query, start, end)
    param = args[0] if wanted == 2 else None
    expect_type(query, args[-1], Type.VECTOR, "aggregation expression")
    if param is not None:
        kind = Type.STRING if op == "count_values" else Type.SCALAR
        expect_type(query, param, kind, "aggregation parameter")
    return Aggregate(
        start=start, end=end, op=op, expr=args[-1], param=param, without=without,
        grouping=grouping,
    )  # fmt: skip


def selector(query: str, node: Node) -> None:
    """A selector needs one matcher that does not fit the empty value, and one name only."""
    inner = node.selector if isinstance(node, MatrixSelector) else node
    if not isinstance(inner, VectorSelector):
        return
    if inner.name:
        for matcher in inner.matchers[:-1]:
            if matcher.name == METRIC_NAME and matcher.op is MatchOp.EQ:
                message = f'metric name must not be set twice: "{inner.name}" or "{matcher.value}"'
                raise ParseError(message, query, inner.start, inner.end)


def non_empty(query: str, node: VectorSelector) -> None:
    """Raise ParseError where every matcher fits the empty value."""
    if all(fits_empty(matcher) for matcher in node.matchers):
        message = "vector selector must contain at least one non-empty matcher"
        raise ParseError(message, query, node.start, node.end)


def fits_empty(matcher: Matcher) -> bool:
    """Whether a series without the label fits."""
    if matcher.op is MatchOp.EQ:
        return matcher.value == ""
    if matcher.op is MatchOp.NE:
        return matcher.value != ""
    fits = compile_matcher(matcher.value).fullmatch("") is not None
    return fits if matcher.op is MatchOp.RE else not fits


def regex(query: str, pattern: str, start: int, end: int) -> None:
    """A matcher's pattern must be one."""
    try:
        compile_matcher(pattern)
    except RegexError as error:
        raise ParseError(f"error parsing regexp: {error}", query, start, end) from None


def _positive(query: str, duration: Duration | None, start: int, end: int) -> None:
    if isinstance(duration, float):
        if not duration > 0:
            raise ParseError("duration must be greater than 0", query, start, end)
        if duration > 2**63 / 1e9:
            raise ParseError("duration out of range", query, start, end)


def matrix(query: str, node: Node, range_: Duration, start: int, end: int) -> VectorSelector:
    """The selector that a range may be taken of."""
    if not isinstance(node, VectorSelector):
        raise ParseError("ranges only allowed for vector selectors", query, start, end)
    if node.offset != 0.0:
        raise ParseError("no offset modifiers allowed before range", query, start, end)
    if node.at is not None:
        raise ParseError("no @ modifiers allowed before range", query, start, end)
    if node.extension is not Extension.NONE:
        message = f"no {node.extension.value} modifiers allowed before range"
        raise ParseError(message, query, start, end)
    _positive(query, range_, start + 1, end - 1)
    return node


def subquery(
    query: str, node: Node, range_: Duration, step: Duration | None, start: int, end: int
) -> None:
    """A subquery runs over an instant vector."""
    if node.type is not Type.VECTOR:
        message = f"subquery is only allowed on instant vector, got {node.type.value} instead"
        raise ParseError(message, query, node.start, end)
    _positive(query, range_, start + 1, end - 1)
    _positive(query, step, start + 1, end - 1)


def extended(query: str, node: Node, extension: Extension, start: int, end: int) -> Node:
    """`anchored` and `smoothed` belong to selectors."""
    word = extension.value
    inner = node.selector if isinstance(node, MatrixSelector) else node
    if isinstance(node, Subquery):
        raise ParseError(f"{word} modifier is not supported for subqueries", query, start, end)
    if not isinstance(inner, VectorSelector):
        message = f"{word} modifier not implemented for {node.type.value} expressions"
        raise ParseError(message, query, start, end)
    if inner.extension is not Extension.NONE:
        message = "anchored and smoothed modifiers cannot be used together"
        if inner.extension is extension:
            message = f"{word} modifier may not be set multiple times"
        raise ParseError(message, query, start, end)
    if extension is Extension.ANCHORED and node is inner:
        raise ParseError("anchored modifier not implemented for instant vectors", query, start, end)
    changed = replace(inner, extension=extension, end=end)
    return replace(node, selector=changed, end=end) if isinstance(node, MatrixSelector) else changed


def with_offset(query: str, node: Node, value: Duration, start: int, end: int) -> Node:
    """*node* shifted by *value*."""
    target: Node = node.selector if isinstance(node, MatrixSelector) else node
    if not isinstance(target, VectorSelector | Subquery):
        message = f"offset modifier must be preceded by {_SELECTOR_WANTED}"
        raise ParseError(message, query, node.start, end)
    if target.offset != 0.0:
        raise ParseError("offset may not be set multiple times", query, start, end)
    changed = replace(target, offset=value, end=end)
    if isinstance(node, MatrixSelector) and isinstance(changed, VectorSelector):
        return replace(node, selector=changed, end=end)
    return changed


def with_at(query: str, node: Node, at: At, start: int, end: int) -> Node:
    """*node* pinned to a time."""
    target: Node = node.selector if isinstance(node, MatrixSelector) else node
    if not isinstance(target, VectorSelector | Subquery):
        message = f"@ modifier must be preceded by {_SELECTOR_WANTED}"
        raise ParseError(message, query, node.start, end)
    if target.at is not None:
        raise ParseError("@ <timestamp> may not be set multiple times", query, start, end)
    changed = replace(target, at=at, end=end)
    if isinstance(node, MatrixSelector) and isinstance(changed, VectorSelector):
        return replace(node, selector=changed, end=end)
    return changed


def at_timestamp(query: str, seconds: float, start: int, end: int) -> int:
    """The milliseconds of an @ time."""
    if not math.isfinite(seconds) or abs(seconds) >= _SECONDS_MAX:
        shown = (
            "+Inf" if seconds == math.inf else "-Inf" if seconds == -math.inf else f"{seconds:f}"
        )
        message = f"timestamp out of bounds for @ modifier: {shown}"
        raise ParseError(message, query, start, end)
    return math.floor(seconds * 1000 + 0.5)


def constant_text(node: Node) -> Node:
    """The literal inside parentheses."""
    return unwrap(node) if isinstance(node, Paren) else node
