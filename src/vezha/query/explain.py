"""What a query did, node by node: a tree of time, series, samples and the source's notes."""

from __future__ import annotations

from typing import Any

from vezha.query.result import Result


def explain_tree(result: Result) -> list[dict[str, Any]]:
    """The nodes that were evaluated, children inside parents; times in milliseconds.

    Empty unless the query was asked with `explain=True`. `self_ms` leaves the children out.
    """
    roots: list[dict[str, Any]] = []
    path: list[tuple[int, dict[str, Any]]] = []
    for stats in result.stats.nodes:
        node: dict[str, Any] = {
            "expr": stats.text,
            "start": stats.start,
            "end": stats.end,
            "ms": round(stats.seconds * 1000, 3),
            "self_ms": round(stats.seconds * 1000, 3),
            "series": stats.series,
            "steps": stats.steps,
            "samples": stats.samples,
            "children": [],
        }
        node.update(stats.notes)
        while path and path[-1][0] >= stats.depth:
            path.pop()
        if path:
            parent = path[-1][1]
            parent["children"].append(node)
            parent["self_ms"] = round(parent["self_ms"] - node["ms"], 3)
        else:
            roots.append(node)
        path.append((stats.depth, node))
    return roots


def explain_text(result: Result) -> str:
    """The same as indented lines, for terminals."""
    lines: list[str] = []

    def show(node: dict[str, Any], depth: int) -> None:
        read = f" [{node['tiles']} tiles, {node['bytes_read']} bytes]" if "tiles" in node else ""
        lines.append(
            f"{node['ms']:9.3f} ms {node['series']:8d} series {node['samples']:10d} samples  "
            f"{'  ' * depth}{node['expr']}{read}"
        )
        for child in node["children"]:
            show(child, depth + 1)

    for root in explain_tree(result):
        show(root, 0)
    return "\n".join(lines)
