"""Functions of labels and of order: label_replace, label_join, sort*, absent*, timestamp*."""

from __future__ import annotations

import re
from functools import cmp_to_key
from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Matcher, MatchOp
from vezha.model.labels import METRIC_NAME, Labels, get_label, labels_of, with_labels
from vezha.query import select
from vezha.query.ast import Call, Extension, MatrixSelector, Node, VectorSelector, unwrap
from vezha.query.block import Block, Value, merge_rows
from vezha.query.check import valid_utf8_name
from vezha.query.errors import EvaluationError
from vezha.query.functions.elementwise import Function
from vezha.query.labelcolumn import LabelColumn
from vezha.query.regex import RegexError, compile_regex
from vezha.query.regex_linear import is_doubtful
from vezha.query.text import go_quote

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator

_REFERENCE = re.compile(r"\$(?:\$|([0-9A-Za-z_]+)|\{([0-9A-Za-z_]+)\})")


def _label_replace(ev: Evaluator, call: Call) -> Value:
    block = ev.vector(call.args[0])
    target, replacement, source, pattern = (ev.text(arg) for arg in call.args[1:])
    try:
        compiled = compile_regex(pattern)
        if is_doubtful(compiled.pattern):
            raise EvaluationError(
                f"regular expression in label_replace() could take too long: {pattern}"
            )
    except RegexError:
        raise EvaluationError(f"invalid regular expression in label_replace(): {pattern}") from None
    if not valid_utf8_name(target):
        raise EvaluationError(f"invalid destination label name in label_replace(): {target}")
    key = ("label_replace", target, replacement, source, pattern)
    labels = block.labels.memo(
        key, lambda: _replaced(block.labels, target, replacement, source, compiled)
    )
    return merge_rows(block.with_labels(labels))


def _replaced(
    column: LabelColumn, target: str, replacement: str, source: str, pattern: re.Pattern[str]
) -> LabelColumn:
    sets: list[Labels] = []
    drops = list(column.drops())
    for row, labels in enumerate(column.sets):
        match = pattern.fullmatch(get_label(labels, source))
        if match is None:
            sets.append(labels)
            continue
        sets.append(with_labels(labels, {target: _expand(replacement, match)}))
        if target == METRIC_NAME:
            drops[row] = False
    return LabelColumn(sets, drops)


def _expand(template: str, match: re.Match[str]) -> str:
    """Go's Regexp.Expand: `$1`, `${name}`, `$$`; unknown groups are empty."""

    def group(reference: re.Match[str]) -> str:
        if reference.group() == "$$":
            return "$"
        name = reference.group(1) or reference.group(2)
        try:
            return match.group(int(name) if name.isdigit() else name) or ""
        except (IndexError, OverflowError):
            return ""

    return _REFERENCE.sub(group, template)


def _label_join(ev: Evaluator, call: Call) -> Value:
    block = ev.vector(call.args[0])
    target, separator, *sources = (ev.text(arg) for arg in call.args[1:])
    for name in sources:
        if not valid_utf8_name(name):
            raise EvaluationError(f"invalid source label name in label_join(): {name}")
    if not valid_utf8_name(target):
        raise EvaluationError(f"invalid destination label name in label_join(): {target}")

    def joined() -> LabelColumn:
        drops = list(block.labels.drops())
        if target == METRIC_NAME:
            drops = [False] * len(drops)
        sets = [
            with_labels(labels, {target: separator.join(get_label(labels, s) for s in sources)})
            for labels in block.labels.sets
        ]
        return LabelColumn(sets, drops)

    labels = block.labels.memo(("label_join", target, separator, tuple(sources)), joined)
    return merge_rows(block.with_labels(labels))


# Order. Only instant queries have one.


def _sort(descending: bool) -> Function:
    def function(ev: Evaluator, call: Call) -> Value:
        block = ev.vector(call.args[0])
        if not ev.context.instant or ev.steps != 1:
            return block.floats_only()
        block = block.floats_only().compact()
        keys = block.values[:, 0]
        order = np.argsort(-keys if descending else keys, kind="stable")
        return block.take(order)

    return function


def natural_key(text: str) -> list[tuple[int, int, str]]:
    """Sorts "10" after "9": runs of digits by their value, the rest as text."""
    return [
        (0, int(part), part) if part.isdigit() else (1, 0, part)
        for part in re.findall(r"[0-9]+|[^0-9]+", text)
    ]


def _sort_by_label(descending: bool) -> Function:
    def function(ev: Evaluator, call: Call) -> Value:
        block = ev.vector(call.args[0])
        names = [ev.text(arg) for arg in call.args[1:]]
        if not ev.context.instant or ev.steps != 1:
            return block
        block = block.compact()
        sets = block.labels.sets

        def compare(a: int, b: int) -> int:
            for name in names:
                left, right = get_label(sets[a], name), get_label(sets[b], name)
                if left != right:
                    return -1 if natural_key(left) < natural_key(right) else 1
            return (sets[a] > sets[b]) - (sets[a] < sets[b])

        order = sorted(range(len(sets)), key=cmp_to_key(compare), reverse=descending)
        return block.take(np.asarray(order, np.int64))

    return function


# Absence.


def absent_labels(node: Node) -> Labels:
    """Labels of the series that says that *node* gave nothing: from its equality matchers."""
    node = unwrap(node)
    if isinstance(node, MatrixSelector):
        node = node.selector
    if not isinstance(node, VectorSelector):
        return ()
    found: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in node.matchers:
        _absent_label(matcher, found, seen)
    return labels_of(found)


def _absent_label(matcher: Matcher, found: dict[str, str], seen: set[str]) -> None:
    if matcher.name == METRIC_NAME:
        return
    if matcher.op is MatchOp.EQ and matcher.name not in seen:
        found[matcher.name] = matcher.value
        seen.add(matcher.name)
    else:
        found.pop(matcher.name, None)


def _absent(ev: Evaluator, call: Call) -> Value:
    block = ev.vector(call.args[0])
    return _absence(ev, call.args[0], np.logical_or.reduce(block.any_mask(), axis=0))


def _absent_over_time(ev: Evaluator, call: Call) -> Value:
    windows = ev.windows(call.args[0])
    return _absence(ev, call.args[0], np.logical_or.reduce(windows.count > 0, axis=0))


def _absence(ev: Evaluator, node: Node, something: np.ndarray) -> Block:
    labels = LabelColumn([absent_labels(node)])
    return Block(labels, np.ones((1, ev.steps)), ~something[None, :])


def _timestamp(ev: Evaluator, call: Call) -> Value:
    node = unwrap(call.args[0])
    if isinstance(node, VectorSelector):
        block, at = select.instant_with_times(ev, node)
        return ev.drop_names(Block(block.labels, at / 1000.0, block.any_mask()))
    block = ev.vector(node)
    times = np.broadcast_to(ev.times / 1000.0, block.values.shape)
    return ev.drop_names(Block(block.labels, times, block.any_mask()))


def _start_timestamp(ev: Evaluator, call: Call) -> Value:
    node = unwrap(call.args[0])
    if not isinstance(node, VectorSelector) or node.extension is not Extension.NONE:
        return Block.empty(ev.steps)
    return ev.drop_names(select.instant_starts(ev, node))


def check_label_name(name: str) -> None:
    """Raise EvaluationError unless *name* may name a label."""
    if not valid_utf8_name(name):
        raise EvaluationError(f"invalid label name {go_quote(name)}")


FUNCTIONS: dict[str, Function] = {
    "absent": _absent,
    "absent_over_time": _absent_over_time,
    "label_join": _label_join,
    "label_replace": _label_replace,
    "sort": _sort(descending=False),
    "sort_by_label": _sort_by_label(descending=False),
    "sort_by_label_desc": _sort_by_label(descending=True),
    "sort_desc": _sort(descending=True),
    "start_timestamp": _start_timestamp,
    "timestamp": _timestamp,
}
