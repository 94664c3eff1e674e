"""The tree of a query: frozen, typed, every node knowing where it stands in the text.

`start` and `end` are offsets into the query. `type` is one of the four PromQL types.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from vezha.model.columns import Matcher


class Type(Enum):
    """PromQL's types, spelt as its error messages spell them."""

    SCALAR = "scalar"
    VECTOR = "instant vector"
    MATRIX = "range vector"
    STRING = "string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """Part of a query."""

    start: int
    end: int

    @property
    def type(self) -> Type:
        """What the node gives."""
        raise AssertionError("every node has a type")

    def children(self) -> tuple[Node, ...]:
        """The nodes below, in textual order."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Node):
    """A literal in seconds or without unit; `is_duration` where it was written as `5m`."""

    value: float
    is_duration: bool = False

    @property
    def type(self) -> Type:
        return Type.SCALAR


@dataclass(frozen=True, slots=True, kw_only=True)
class String(Node):
    """A literal; bytes that are not UTF-8 stand as surrogate escapes."""

    text: str

    @property
    def type(self) -> Type:
        return Type.STRING


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationCall:
    """`step()`, `range()`, `min_of(a, b)`, `max_of(a, b)` inside a duration."""

    name: str
    args: tuple[Duration, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationOp:
    """Arithmetic on durations; a unary sign has no left side."""

    op: str
    left: Duration | None
    right: Duration


Duration = float | DurationCall | DurationOp
"""Seconds, or an expression that gives them when the query's range and step are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """`@ 123.4`, `@ start()` or `@ end()`."""

    ts_ms: int | None = None
    edge: str = ""


class Extension(Enum):
    """Modifiers that look beyond the edges of a window."""

    NONE = ""
    ANCHORED = "anchored"
    SMOOTHED = "smoothed"


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSelector(Node):
    """`name{label="value"}`; `name` is the name as written, or the empty string."""

    name: str
    matchers: tuple[Matcher, ...]
    offset: Duration = 0.0
    at: At | None = None
    extension: Extension = Extension.NONE

    @property
    def type(self) -> Type:
        return Type.VECTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixSelector(Node):
    """`selector[range]`; offset and @ stand in the inner selector."""

    selector: VectorSelector
    range: Duration

    @property
    def type(self) -> Type:
        return Type.MATRIX

    def children(self) -> tuple[Node, ...]:
        return (self.selector,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subquery(Node):
    """`expr[range:step]`; no step means the engine's default."""

    expr: Node
    range: Duration
    step: Duration | None
    offset: Duration = 0.0
    at: At | None = None

    @property
    def type(self) -> Type:
        return Type.MATRIX

    def children(self) -> tuple[Node, ...]:
        return (self.expr,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paren(Node):
    """`(expr)`."""

    expr: Node
    returns: Type

    @property
    def type(self) -> Type:
        return self.returns

    def children(self) -> tuple[Node, ...]:
        return (self.expr,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unary(Node):
    """`-expr` or `+expr`."""

    op: str
    expr: Node
    returns: Type

    @property
    def type(self) -> Type:
        return self.returns

    def children(self) -> tuple[Node, ...]:
        return (self.expr,)


class Card(Enum):
    """How many series of one side may match one of the other."""

    ONE_TO_ONE = "one-to-one"
    MANY_TO_ONE = "many-to-one"
    ONE_TO_MANY = "one-to-many"
    MANY_TO_MANY = "many-to-many"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """How the two sides of a vector operation find each other."""

    card: Card = Card.ONE_TO_ONE
    on: bool = False
    labels: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Node):
    """`left op right`; `matching` only between two vectors."""

    op: str
    left: Node
    right: Node
    bool_modifier: bool = False
    matching: Matching | None = None
    op_start: int = 0
    returns: Type

    @property
    def type(self) -> Type:
        return self.returns

    def children(self) -> tuple[Node, ...]:
        return (self.left, self.right)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    """A function with its arguments."""

    name: str
    args: tuple[Node, ...]
    returns: Type = field(default=Type.VECTOR)

    @property
    def type(self) -> Type:
        return self.returns

    def children(self) -> tuple[Node, ...]:
        return self.args


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate(Node):
    """`op by (labels) (param, expr)`."""

    op: str
    expr: Node
    param: Node | None = None
    without: bool = False
    grouping: tuple[str, ...] = ()

    @property
    def type(self) -> Type:
        return Type.VECTOR

    def children(self) -> tuple[Node, ...]:
        return (self.param, self.expr) if self.param is not None else (self.expr,)


def walk(node: Node) -> Iterator[Node]:
    """*node* and all below it, parents first."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(top.children()))


def unwrap(node: Node) -> Node:
    """*node* without the parentheses around it."""
    while isinstance(node, Paren):
        node = node.expr
    return node
