"""Tells "the condition is false" from "the target has no data", from the expression itself. Pure.

A comparison in PromQL filters, so an alert that is gone may have recovered or vanished. The
same expression with every filtering comparison turned into a `bool` one gives a result wherever
there are data, with the same matching and the same labels; what is not in it has vanished.
"""

from __future__ import annotations

from vezha.query.ast import Binary, Call, Node, VectorSelector, walk
from vezha.query.parser import parse

_COMPARISONS = {"==", "!=", ">", "<", ">=", "<="}
_ABSENCE = {"absent", "absent_over_time"}


def presence_expression(expr: str) -> str | None:
    """The expression that gives a result for every target of *expr* that has data.

    None where absence is what the expression asks about, or where nothing in it filters: then a
    missing result means that the condition is false. Raises ParseError.
    """
    tree = parse(expr)
    edits: list[tuple[int, int, str]] = []
    for node in walk(tree):
        if isinstance(node, Call) and node.name in _ABSENCE:
            return None
    _edit(tree, edits)
    if not edits:
        return None
    out = expr
    for start, end, text in sorted(edits, reverse=True):
        out = out[:start] + text + out[end:]
    return out


def _edit(node: Node, edits: list[tuple[int, int, str]]) -> None:
    if isinstance(node, Binary):
        if node.op == "unless":
            # with its filters gone the right side would take everything away
            edits.append((node.left.end, node.right.end, ""))
            _edit(node.left, edits)
            return
        if node.op in _COMPARISONS and not node.bool_modifier:
            at = node.op_start + len(node.op)
            edits.append((at, at, " bool "))
    for child in node.children():
        _edit(child, edits)


def leading_selector(expr: str) -> str | None:
    """The first selector of *expr* that looks at the present, as text, for asking its stamps.

    None where there is none (constants, only `offset` or `@`). Raises ParseError.
    """
    for node in walk(parse(expr)):
        if isinstance(node, VectorSelector) and node.offset == 0.0 and node.at is None:
            return expr[node.start : node.end]
    return None
