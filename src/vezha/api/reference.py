"""The tables of docs/reference/api.md and access.md, made from the code; a test compares them."""

from __future__ import annotations

from collections.abc import Sequence

from vezha.access import ACTIONS, Action
from vezha.api.host_charts import CHARTS
from vezha.api.route import Route


def routes_table(routes: Sequence[Route]) -> str:
    """Every route: method, path, role, what it is."""
    lines = ["| Route | Role | What |", "|---|---|---|"]
    for route in routes:
        role = ACTIONS[route.action].role
        method = "WS" if route.websocket else route.method
        path = route.path.replace(":path}", "}")
        lines.append(
            f"| `{method} {path}` | {role.value if role else 'anyone'} | {route.summary} |"
        )
    return "\n".join(lines) + "\n"


def actions_table() -> str:
    """Every action, the role from which it is allowed, what it is, whether it is audited."""
    lines = ["| Action | From role | What | Audited |", "|---|---|---|---|"]
    for action in Action:
        rule = ACTIONS[action]
        role = rule.role.value if rule.role else "anyone"
        if rule.own_role is not None:
            role += f"; of the own team: {rule.own_role.value}"
        if rule.others_role is not None:
            role += f"; of another team: {rule.others_role.value}"
        audited = "yes" if rule.changes else ""
        lines.append(f"| `{action.value}` | {role} | {rule.about} | {audited} |")
    return "\n".join(lines) + "\n"


def charts_table() -> str:
    """The 24 charts of a host."""
    lines = ["| Chart | Group | Unit | Lines |", "|---|---|---|---|"]
    for chart in CHARTS:
        legends = ", ".join(f"`{s.legend}`" for s in chart.series)
        lines.append(f"| `{chart.id}` | {chart.group} | {chart.unit or 'count'} | {legends} |")
    return "\n".join(lines) + "\n"
