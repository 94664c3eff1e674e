"""Tokens to the tree: a Pratt parser with types checked on the way.

Rules: precedence as in Prometheus's grammar (or < and, unless < comparisons < + - < * / %
atan2 < ^, the last from the right; a unary sign binds like *). Postfix modifiers (`[...]`,
`offset`, `@`, `anchored`, `smoothed`) bind to the primary before them. Nesting and the number
of operators are limited, so that no text can exhaust the stack; only ParseError escapes.
"""

from __future__ import annotations

import re

from vezha.model.columns import Matcher, MatchOp
from vezha.model.labels import METRIC_NAME
from vezha.query import check
from vezha.query.ast import (
    At,
    Call,
    Card,
    Duration,
    Extension,
    Matching,
    MatrixSelector,
    Node,
    Number,
    Paren,
    String,
    Subquery,
    Unary,
    VectorSelector,
    walk,
)
from vezha.query.duration import DurationParser, fixed_seconds
from vezha.query.errors import ParseError
from vezha.query.functions.signatures import AGGREGATIONS, SIGNATURES
from vezha.query.lexer import Kind, Token, tokenize
from vezha.query.limits import DEPTH_MAX, OPERATORS_MAX, QUERY_BYTES_MAX

_BINDING = {
    "or": 1, "and": 2, "unless": 2,
    "==": 3, "!=": 3, "<=": 3, "<": 3, ">=": 3, ">": 3, "</": 3, ">/": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5, "atan2": 5, "^": 6,
}  # fmt: skip
_UNARY_BINDING = 5
_WORD_OPERATORS = frozenset({"or", "and", "unless", "atan2"})
_RESERVED = frozenset({"bool", "on", "ignoring", "group_left", "group_right", "atan2"})
_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*\Z")
_MATCH_OPS = {"=": MatchOp.EQ, "!=": MatchOp.NE, "=~": MatchOp.RE, "!~": MatchOp.NRE}


def parse(query: str, experimental: bool = True) -> Node:
    """The checked tree of *query*. Raises ParseError, and nothing else, on any text."""
    try:
        size = len(query.encode())
    except UnicodeEncodeError as error:
        raise ParseError("invalid UTF-8 encoding", query, error.start, error.end) from None
    if size > QUERY_BYTES_MAX:
        raise ParseError(f"query is longer than {QUERY_BYTES_MAX} bytes")
    tokens = tokenize(query)
    if len(tokens) == 1:
        raise ParseError("no expression found in input", query)
    parser = Parser(query, tokens, experimental)
    node = parser.expression(0)
    if parser.here.kind is not Kind.END:
        raise parser.unexpected("")
    bare = {id(arg) for call in walk(node) if isinstance(call, Call) and call.name == "info"
            for arg in call.args[1:]}  # fmt: skip
    for part in walk(node):
        if isinstance(part, VectorSelector) and id(part) not in bare:
            check.non_empty(query, part)
    return node


def parse_selector(text: str) -> tuple[Matcher, ...]:
    """The matchers of a bare selector (`match[]` of the API). Raises ParseError."""
    node = parse(text)
    if not isinstance(node, VectorSelector) or node.offset or node.at or node.extension.value:
        raise ParseError("a plain series selector was expected", text, 0, len(text))
    return node.matchers


class Parser:
    """One pass over the tokens of one query."""

    def __init__(self, query: str, tokens: list[Token], experimental: bool) -> None:
        self.query = query
        self.tokens = tokens
        self.index = 0
        self.depth = 0
        self.operators = 0
        self.experimental = experimental

    # Tokens.

    @property
    def here(self) -> Token:
        return self.tokens[self.index]

    @property
    def previous_end(self) -> int:
        return self.tokens[self.index - 1].end if self.index else 0

    def ahead(self) -> Token:
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    def advance(self) -> Token:
        token = self.here
        if token.kind is not Kind.END:
            self.index += 1
        return token

    def is_op(self, text: str) -> bool:
        token = self.here
        return token.kind is Kind.OPERATOR and token.text == text

    def word(self) -> str:
        """The lower-cased identifier here, or the empty string."""
        token = self.here
        return token.text.lower() if token.kind is Kind.IDENTIFIER else ""

    def expect(self, text: str, context: str) -> Token:
        if not self.is_op(text):
            raise self.unexpected(context, f'"{text}"')
        return self.advance()

    def error(self, message: str, start: int, end: int) -> ParseError:
        return ParseError(message, self.query, start, end)

    def unexpected(self, context: str, wanted: str = "") -> ParseError:
        token = self.here
        message = f"unexpected {token.shown()}"
        if context:
            message += f" in {context}"
        if wanted:
            message += f", expected {wanted}"
        return self.error(message, token.start, token.end)

    # Expressions.

    def descend(self, at: Token) -> None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise self.error(f"expression is nested deeper than {DEPTH_MAX}", at.start, at.end)

    def expression(self, binding_min: int) -> Node:
        """An expression whose operators all bind tighter than *binding_min*."""
        self.descend(self.here)
        left = self.unary()
        while True:
            op = self.operator()
            binding = _BINDING.get(op, 0)
            if binding <= binding_min:
                break
            left = self.binary(left, op, binding)
        self.depth -= 1
        return left

    def operator(self) -> str:
        """The binary operator here, or the empty string."""
        token = self.here
        if token.kind is Kind.OPERATOR:
            return token.text
        word = self.word()
        return word if word in _WORD_OPERATORS else ""

    def unary(self) -> Node:
        token = self.here
        if token.kind is Kind.OPERATOR and token.text in ("+", "-"):
            self.advance()
            operand = self.expression(_UNARY_BINDING)
            if isinstance(operand, Number) and not operand.is_duration:
                value = -operand.value if token.text == "-" else operand.value
                return Number(start=token.start, end=operand.end, value=value)
            check.unary(self.query, operand, token.start)
            return Unary(
                start=token.start, end=operand.end, op=token.text, expr=operand,
                returns=operand.type,
            )  # fmt: skip
        return self.postfix(self.primary())

    def binary(self, left: Node, op: str, binding: int) -> Node:
        token = self.advance()
        self.operators += 1
        if self.operators > OPERATORS_MAX:
            message = f"more than {OPERATORS_MAX} operators"
            raise self.error(message, token.start, token.end)
        bool_modifier, matching, explicit = self.modifiers(op)
        right = self.expression(binding - 1 if op == "^" else binding)
        return check.binary(
            self.query, left, op, right, bool_modifier, matching, explicit, token.start
        )

    def modifiers(self, op: str) -> tuple[bool, Matching, bool]:
        """What stands between an operator and its right side."""
        bool_modifier = False
        start = self.here
        if self.word() == "bool":
            self.advance()
            bool_modifier = True
            check.bool_allowed(self.query, op, start.start, start.end)
        on = explicit = False
        card = Card.ONE_TO_ONE
        labels: tuple[str, ...] = ()
        include: tuple[str, ...] = ()
        if self.word() in ("on", "ignoring"):
            on, explicit = self.word() == "on", True
            self.advance()
            labels = self.label_list("grouping opts")
            if self.word() in ("group_left", "group_right"):
                card = Card.MANY_TO_ONE if self.word() == "group_left" else Card.ONE_TO_MANY
                self.advance()
                if self.is_op("("):
                    include = self.label_list("grouping opts")
        fill_left, fill_right = self.fills()
        if op in ("and", "or", "unless"):
            check.set_modifiers(self.query, op, card, fill_left, fill_right, start.start)
            card = Card.MANY_TO_MANY
        matching = Matching(
            card=card, on=on, labels=labels, include=include,
            fill_left=fill_left, fill_right=fill_right,
        )  # fmt: skip
        return bool_modifier, matching, explicit or fill_left is not None or fill_right is not None

    def fills(self) -> tuple[float | None, float | None]:
        left: float | None = None
        right: float | None = None
        while self.word() in ("fill", "fill_left", "fill_right"):
            following = self.ahead()
            if following.kind is not Kind.OPERATOR or following.text != "(":
                break
            word = self.word()
            self.advance()
            self.advance()
            value = self.signed_number("fill modifier")
            self.expect(")", "fill modifier")
            if word != "fill_right":
                left = value
            if word != "fill_left":
                right = value
        return left, right

    def signed_number(self, context: str) -> float:
        sign = 1.0
        if self.is_op("+") or self.is_op("-"):
            sign = -1.0 if self.advance().text == "-" else 1.0
        token = self.here
        if token.kind in (Kind.NUMBER, Kind.DURATION):
            return sign * self.advance().number
        if self.word() in ("inf", "nan"):
            return sign * float(self.advance().text.lower())
        raise self.unexpected(context, "number")

    def label_list(self, context: str) -> tuple[str, ...]:
        """`(a, b, "c d",)`: label names in parentheses."""
        self.expect("(", context)
        names: list[str] = []
        while not self.is_op(")"):
            token = self.here
            if token.kind is Kind.STRING:
                name = token.value
                if not check.valid_utf8_name(name):
                    raise self.error(f"invalid label name {token.text}", token.start, token.end)
            elif token.kind is Kind.IDENTIFIER and _LABEL_NAME.match(token.text):
                name = token.text
            else:
                raise self.unexpected(context, "label")
            names.append(name)
            self.advance()
            if not self.is_op(","):
                break
            self.advance()
        self.expect(")", context)
        return tuple(names)

    # Primaries.

    def primary(self) -> Node:
        token = self.here
        if token.kind in (Kind.NUMBER, Kind.DURATION):
            self.advance()
            return Number(
                start=token.start, end=token.end, value=token.number,
                is_duration=token.kind is Kind.DURATION,
            )  # fmt: skip
        if token.kind is Kind.STRING:
            self.advance()
            return String(start=token.start, end=token.end, text=token.value)
        if self.is_op("("):
            self.advance()
            inner = self.expression(0)
            close = self.expect(")", "paren expression")
            return Paren(start=token.start, end=close.end, expr=inner, returns=inner.type)
        if self.is_op("{"):
            return self.selector("", token.start)
        if token.kind is Kind.IDENTIFIER:
            return self.named()
        raise self.unexpected("")

    def named(self) -> Node:
        """What starts with a word: a number, an aggregation, a call or a selector."""
        token = self.here
        word = token.text.lower()
        following = self.ahead()
        opens = following.kind is Kind.OPERATOR and following.text == "("
        if word in AGGREGATIONS and (opens or self.grouping_follows()):
            return self.aggregate()
        if word in ("inf", "nan") and not opens:
            self.advance()
            return Number(start=token.start, end=token.end, value=float(word))
        if opens:
            return self.call()
        if word in _RESERVED:
            raise self.unexpected("")
        self.advance()
        return self.selector(token.text, token.start)

    def grouping_follows(self) -> bool:
        following = self.ahead()
        return following.kind is Kind.IDENTIFIER and following.text.lower() in ("by", "without")

    def call(self) -> Node:
        token = self.advance()
        name = token.text
        if name.lower() in ("start", "end", "step", "range"):
            name = name.lower()
        signature = SIGNATURES.get(name)
        if signature is None:
            raise self.error(f'unknown function with name "{name}"', token.start, token.end)
        if signature.experimental and not self.experimental:
            message = f'function "{name}" is not enabled'
            raise self.error(message, token.start, token.end)
        args = self.arguments("function call")
        return check.call(self.query, signature, args, token.start, self.previous_end)

    def arguments(self, context: str) -> tuple[Node, ...]:
        self.expect("(", context)
        args: list[Node] = []
        while not self.is_op(")"):
            args.append(self.expression(0))
            if not self.is_op(","):
                break
            comma = self.advance()
            if self.is_op(")"):
                message = "trailing commas not allowed in function call args"
                raise self.error(message, comma.start, comma.end)
        self.expect(")", context)
        return tuple(args)

    def aggregate(self) -> Node:
        token = self.advance()
        op = token.text.lower()
        grouping: tuple[str, ...] | None = None
        without = False
        if self.word() in ("by", "without"):
            without = self.advance().text.lower() == "without"
            grouping = self.label_list("grouping opts")
        args = self.arguments("aggregation")
        if grouping is None and self.word() in ("by", "without"):
            without = self.advance().text.lower() == "without"
            grouping = self.label_list("grouping opts")
        return check.aggregate(
            self.query, op, args, without, grouping or (), token.start, self.previous_end,
            self.experimental,
        )  # fmt: skip

    def selector(self, name: str, start: int) -> Node:
        matchers: list[Matcher] = []
        if self.is_op("{"):
            self.advance()
            name = self.matchers(name, matchers)
            self.expect("}", "label matching")
        if name:
            matchers.append(Matcher(METRIC_NAME, MatchOp.EQ, name))
        return VectorSelector(
            start=start, end=self.previous_end, name=name, matchers=tuple(matchers)
        )

    def matchers(self, name: str, out: list[Matcher]) -> str:
        """Label matchers up to the brace; gives the metric's name, quoted inside or not."""
        while not self.is_op("}"):
            token = self.here
            if token.kind is Kind.STRING:
                label = token.value
            elif token.kind is Kind.IDENTIFIER and _LABEL_NAME.match(token.text):
                label = token.text
            else:
                raise self.unexpected("label matching", 'identifier or "}"')
            self.advance()
            op = _MATCH_OPS.get(self.here.text) if self.here.kind is Kind.OPERATOR else None
            if op is not None:
                out.append(self.matcher(label, op))
            elif token.kind is Kind.STRING:
                if name:
                    message = f'metric name must not be set twice: "{name}" or "{label}"'
                    raise self.error(message, token.start, token.end)
                name = label
            else:
                raise self.unexpected("label matching", "label matching operator")
            if not self.is_op(","):
                break
            self.advance()
        return name

    def matcher(self, label: str, op: MatchOp) -> Matcher:
        self.advance()
        token = self.here
        if token.kind is not Kind.STRING:
            raise self.unexpected("label matching", "string")
        self.advance()
        if op in (MatchOp.RE, MatchOp.NRE):
            check.regex(self.query, token.value, token.start, token.end)
        return Matcher(label, op, token.value)

    # Postfix modifiers.

    def postfix(self, node: Node) -> Node:
        while True:
            word = self.word()
            if self.is_op("["):
                node = self.bracket(node)
            elif self.is_op("@"):
                node = self.at(node)
            elif word == "offset":
                node = self.offset(node)
            elif word in ("anchored", "smoothed"):
                token = self.advance()
                extension = Extension(word)
                node = check.extended(self.query, node, extension, token.start, token.end)
            else:
                check.selector(self.query, node)
                return node

    def bracket(self, node: Node) -> Node:
        opening = self.advance()
        durations = DurationParser(self)
        range_: Duration = durations.expression()
        if self.is_op(":"):
            self.advance()
            step = None if self.is_op("]") else durations.expression()
            close = self.expect("]", "subquery selector")
            check.subquery(self.query, node, range_, step, opening.start, close.end)
            return Subquery(start=node.start, end=close.end, expr=node, range=range_, step=step)
        close = self.expect("]", "subquery or range selector")
        selector = check.matrix(self.query, node, range_, opening.start, close.end)
        return MatrixSelector(start=node.start, end=close.end, selector=selector, range=range_)

    def offset(self, node: Node) -> Node:
        token = self.advance()
        value = DurationParser(self).offset()
        return check.with_offset(self.query, node, value, token.start, self.previous_end)

    def at(self, node: Node) -> Node:
        token = self.advance()
        if self.word() in ("start", "end"):
            edge = self.advance().text.lower()
            self.expect("(", "@")
            self.expect(")", "@")
            at = At(edge=edge)
        else:
            seconds = self.signed_number("@")
            at = At(ts_ms=check.at_timestamp(self.query, seconds, token.start, self.previous_end))
        return check.with_at(self.query, node, at, token.start, self.previous_end)


__all__ = ["Parser", "fixed_seconds", "parse", "parse_selector"]
