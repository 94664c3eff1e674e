"""The evaluator: a node and a grid of steps in, a block out.

Every node is evaluated once for all its steps. Nodes whose answer is the same at every step
(all selectors pinned by `@`) are evaluated for one step and repeated.
"""

from __future__ import annotations

import time

import numpy as np

from vezha.model.columns import Times
from vezha.query.ast import (
    Aggregate,
    Binary,
    Call,
    MatrixSelector,
    Node,
    Number,
    Paren,
    String,
    Subquery,
    Type,
    Unary,
    VectorSelector,
    unwrap,
)
from vezha.query.block import Block, Samples, Scalar, Text, Value
from vezha.query.context import Context, Grid, NodeStats
from vezha.query.duration import milliseconds
from vezha.query.errors import EvaluationError
from vezha.query.resets_seen import without_resets
from vezha.query.window import Windows


class Evaluator:
    """Evaluates nodes on one grid; subqueries make further ones."""

    def __init__(self, context: Context, grid: Grid) -> None:
        self.context: Context = context
        self.grid: Grid = grid
        self.times: Times = grid.times()

    @property
    def steps(self) -> int:
        return self.grid.count

    def evaluate(self, node: Node) -> Value:
        """The value of *node* at every step."""
        if isinstance(node, Number):
            return Scalar(np.full(self.steps, node.value))
        if isinstance(node, String):
            return Text(node.text)
        if isinstance(node, Paren):
            return self.evaluate(unwrap(node))
        context = self.context
        context.tick()
        if self.steps > 1 and id(node) in context.invariant:
            once = Evaluator(context, Grid(self.grid.start_ms, self.grid.step_ms, 1))
            return repeat(once.evaluate(node), self.steps)
        if not context.explain:
            return self._evaluate(node)
        return self._explained(node)

    def _explained(self, node: Node) -> Value:
        context = self.context
        stats = NodeStats(
            context.node_text(node), node.start, node.end, context.depth, steps=self.steps
        )
        context.stats.nodes.append(stats)
        samples = context.stats.samples
        context.depth += 1
        began = time.perf_counter()
        value = self._evaluate(node)
        stats.seconds = time.perf_counter() - began
        context.depth -= 1
        stats.samples = context.stats.samples - samples
        stats.series = len(value.labels) if isinstance(value, Block) else 1
        return value

    def _evaluate(self, node: Node) -> Value:
        if isinstance(node, VectorSelector):
            return select.instant(self, node)
        if isinstance(node, Call | Aggregate):
            outer = self.context.function
            self.context.function = node.name if isinstance(node, Call) else node.op
            try:
                if isinstance(node, Call):
                    with self.context.resets.under(node.name):
                        return registry.FUNCTIONS[node.name](self, node)
                return aggregation.aggregate(self, node)
            finally:
                self.context.function = outer
        if isinstance(node, Binary):
            return self._binary(node)
        if isinstance(node, Unary):
            return self._unary(node)
        raise EvaluationError(f"{node.type.value} cannot be evaluated here")

    def _binary(self, node: Binary) -> Value:
        """Left-leaning chains are followed by a loop: `a + b + c …` may be long."""
        chain = [node]
        while True:
            left = unwrap(chain[-1].left)
            if not isinstance(left, Binary) or id(left) in self.context.invariant:
                break
            chain.append(left)
        value = self.evaluate(chain[-1].left)
        for link in reversed(chain):
            if isinstance(value, Block) and binary.is_decided(link, value):
                value = Block.empty(self.steps)
                continue
            value = binary.combine(self, link, value, self.evaluate(link.right))
            self.context.tick()
        return value

    def _unary(self, node: Unary) -> Value:
        value = self.evaluate(node.expr)
        if node.op == "+":
            return value
        if isinstance(value, Scalar):
            return Scalar(-value.values)
        assert isinstance(value, Block)
        hists = histogram_columns.negate(value.hists)
        return self.drop_names(Block(value.labels, -value.values, value.present, hists))

    # For functions.

    def vector(self, node: Node) -> Block:
        """The value of a node that is an instant vector."""
        value = self.evaluate(node)
        assert isinstance(value, Block), "the parser checked the type"
        return value

    def scalar(self, node: Node) -> Scalar:
        """The value of a node that is a scalar."""
        value = self.evaluate(node)
        assert isinstance(value, Scalar), "the parser checked the type"
        return value

    def text(self, node: Node) -> str:
        """The value of a node that is a string."""
        value = self.evaluate(node)
        assert isinstance(value, Text), "the parser checked the type"
        return value.text

    def windows(self, node: Node) -> Windows:
        """The range vector of a matrix selector or subquery, at every step."""
        node = unwrap(node)
        if isinstance(node, MatrixSelector):
            return select.matrix(self, node)
        assert isinstance(node, Subquery), "the parser checked the type"
        return self._subquery(node)

    def duration_ms(self, value: object) -> int:
        """A duration of the query in milliseconds."""
        top = self.context.top
        step = 0 if self.context.instant else top.step_ms
        return milliseconds(value, step, self.context.range_ms)  # type: ignore[arg-type]

    def _subquery(self, node: Subquery) -> Windows:
        range_ms = self.duration_ms(node.range)
        step_ms = self.context.options.subquery_step_ms
        if node.step is not None:
            step_ms = self.duration_ms(node.step)
        if range_ms <= 0 or step_ms <= 0:
            raise EvaluationError("duration must be greater than 0")
        ends = select.pinned_times(self, node.at) - self.duration_ms(node.offset)
        first = int(ends[0]) - range_ms
        start = first // step_ms * step_ms
        if start <= first:
            start += step_ms
        count = (int(ends[-1]) - start) // step_ms + 1
        if count <= 0:
            return Windows.over(no_samples(), ends, range_ms)
        self.context.check_cells(1, count)
        inner = Evaluator(self.context, Grid(start, step_ms, count))
        with self.context.resets.in_subquery():
            block = inner.vector(node.expr)
        samples = samples_of(block, inner.times)
        if samples.hists is not None:
            samples.hists = without_resets(samples.hists)
        self.context.count_samples(samples.ts.size)
        return Windows.over(samples, ends, range_ms)

    def drop_names(self, block: Block) -> Block:
        """*block* as the result of something that loses metric names."""
        labels = block.labels.nameless()
        if not self.context.options.delayed_name_removal:
            labels = labels.memo("stripped", lambda: type(labels)(labels.final()))
            return merge_rows(block.with_labels(labels))
        return block.with_labels(labels)


def no_samples() -> Samples:
    """No series."""
    return Samples(EMPTY, np.empty(0, np.int64), np.empty(0), np.zeros(1, np.int64))


def samples_of(block: Block, times: Times) -> Samples:
    """The present cells of a block as flat columns."""
    mask = block.any_mask()
    offsets = np.zeros(mask.shape[0] + 1, np.int64)
    np.cumsum(mask.sum(axis=1), out=offsets[1:])
    ts = np.broadcast_to(times, mask.shape)[mask]
    hists = block.hists[mask] if block.hists is not None else None
    return Samples(block.labels, ts, block.values[mask], offsets, hists)


def repeat(value: Value, steps: int) -> Value:
    """A value of one step, the same at *steps* steps."""
    if isinstance(value, Scalar):
        return Scalar(np.repeat(value.values, steps))
    if isinstance(value, Text):
        return value
    hists = np.repeat(value.hists, steps, axis=1) if value.hists is not None else None
    return Block(
        value.labels,
        np.repeat(value.values, steps, axis=1),
        np.repeat(value.present, steps, axis=1),
        hists,
    )


def invariant_nodes(root: Node) -> frozenset[int]:
    """Ids of the topmost nodes whose value does not depend on the step and is worth keeping."""
    found: set[int] = set()
    _invariant(root, found)
    return frozenset(found)


def _invariant(node: Node, found: set[int]) -> bool:
    """Whether *node* gives the same at every step; topmost such nodes below others are noted.

    Left-leaning chains of operators are followed by a loop, as in the evaluator.
    """
    if isinstance(node, Binary):
        chain: list[Binary] = []
        left: Node = node
        while isinstance(left, Binary):
            chain.append(left)
            left = unwrap(left.left)
        same = _invariant(left, found)
        for link in reversed(chain):
            right = _invariant(link.right, found)
            if same != right:
                _note(link.left if same else link.right, found)
            same = same and right
        if same:
            _note(node, found)
        return same
    if isinstance(node, Number | String):
        return True
    if isinstance(node, VectorSelector):
        same = node.at is not None
    elif isinstance(node, Subquery):
        _invariant(node.expr, found)
        return node.at is not None
    elif isinstance(node, MatrixSelector):
        return node.selector.at is not None
    elif isinstance(node, Call):
        parts = [_invariant(arg, found) for arg in node.args]
        same = all(parts) and node.name not in AT_UNSAFE
        if not same:
            for part, arg in zip(parts, node.args, strict=True):
                if part and arg.type is not Type.MATRIX:
                    _note(arg, found)
    else:
        parts = [_invariant(child, found) for child in node.children()]  # all are visited
        same = all(parts)
    if same:
        _note(node, found)
    return same


def _note(node: Node, found: set[int]) -> None:
    node = unwrap(node)
    if not isinstance(node, Number | String):
        found.add(id(node))


# The families of nodes import this module for its types; so they come last.
from vezha.query import aggregation, binary, histogram_columns, select  # noqa: E402
from vezha.query.block import merge_rows  # noqa: E402
from vezha.query.functions import registry  # noqa: E402
from vezha.query.functions.signatures import AT_UNSAFE  # noqa: E402
from vezha.query.labelcolumn import EMPTY  # noqa: E402
