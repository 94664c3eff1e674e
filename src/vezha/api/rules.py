"""`/api/v1/rules` and `/api/v1/alerts`, as Prometheus answers them (Grafana reads both)."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import Any

import msgspec

from vezha.access import Action
from vezha.alerting.book import GroupView, RuleBook, active_alerts
from vezha.alerting.rule import AlertRule, Rule
from vezha.api.route import Call, Route

BOOK = "rule_book"
"""Under this name `Services.extra` holds the `RuleBook`; without it only built-in rules show."""
_NEVER = "0001-01-01T00:00:00Z"
_STATES = {"pending": "pending", "unknown": "unknown"}
_RANK = {"firing": 3, "unknown": 2, "pending": 1}


class RulesQuery(msgspec.Struct):
    """Prometheus's own parameters: type (alert or record), and `rule_name[]` and such."""

    type: str = ""
    exclude_alerts: str = ""


class RulesView(msgspec.Struct):
    """`{"status": "success", "data": {"groups": […]}}`, as Prometheus; problems of files beside."""

    status: str
    data: dict[str, Any]


def _book(call: Call) -> RuleBook:
    book = call.services.extra.get(BOOK)
    if book is None:
        book = call.services.extra[BOOK] = RuleBook()
    assert isinstance(book, RuleBook)
    return book


def rfc3339(ms: int | None) -> str:
    """A time (ms) as Prometheus and Alertmanager write it; theirs for "never" where it is None."""
    if ms is None:
        return _NEVER
    moment = datetime.fromtimestamp(ms / 1000, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def _value(value: float | None) -> str:
    """A sample's value as Prometheus shows it among alerts: `1e+00`."""
    if value is None or not math.isfinite(value):
        return "NaN"
    mantissa, _, exponent = f"{value:.17e}".partition("e")
    for precision in range(17):
        shorter = f"{value:.{precision}e}"
        if float(shorter) == value:
            mantissa, _, exponent = shorter.partition("e")
            break
    return f"{mantissa}e{exponent}"


def alert_view(row: Any) -> dict[str, Any]:
    """One alert. States beyond Prometheus's: `unknown`; `flapping` and `keeping` show as firing."""
    return {
        "labels": row.labels,
        "annotations": row.annotations,
        "state": _STATES.get(row.state, "firing"),
        "activeAt": rfc3339(row.active_ms),
        "value": _value(row.value),
    }


def rules(call: Call) -> dict[str, Any]:
    """All rules with their alerts."""
    query: RulesQuery = call.query
    parameters = call.request.query_params
    names = set(parameters.getlist("rule_name[]"))
    groups = set(parameters.getlist("rule_group[]"))
    files = set(parameters.getlist("file[]"))
    with call.services.ledger.read() as connection:
        views = _book(call).views(connection)
        alerts: dict[str, list[dict[str, Any]]] = {}
        for row in active_alerts(connection):
            alerts.setdefault(row.rule_key, []).append(alert_view(row))
    shown = []
    for view in views:
        if (groups and view.group.name not in groups) or (files and view.group.file not in files):
            continue
        wanted = [
            rule
            for rule in view.group.rules
            if (not names or rule.name in names) and _is_of_type(rule, query.type)
        ]
        if wanted or not (names or query.type):
            with_alerts = query.exclude_alerts not in ("true", "1")
            shown.append(_group(view, wanted, alerts, with_alerts))
    problems = _book(call).loaded().problems
    data: dict[str, Any] = {"groups": shown}
    if problems:
        data["problems"] = problems
    return {"status": "success", "data": data}


def _is_of_type(rule: Rule, type_: str) -> bool:
    return type_ not in ("alert", "record") or isinstance(rule, AlertRule) == (type_ == "alert")


def _group(
    view: GroupView,
    wanted: list[Rule],
    alerts: dict[str, list[dict[str, Any]]],
    with_alerts: bool,
) -> dict[str, Any]:
    return {
        "name": view.group.name,
        "file": view.group.file,
        "interval": view.group.interval_ms / 1000,
        "limit": view.group.limit,
        "evaluationTime": view.duration_s,
        "lastEvaluation": rfc3339(view.evaluated_ms),
        "rules": [_rule(view, rule, alerts.get(rule.key, []), with_alerts) for rule in wanted],
    }


def _rule(
    view: GroupView, rule: Rule, alerts: list[dict[str, Any]], with_alerts: bool
) -> dict[str, Any]:
    health = view.health.get(rule.key, {})
    common = {
        "name": rule.name,
        "query": rule.expr,
        "health": health.get("health", "unknown"),
        "evaluationTime": health.get("duration_s", 0.0),
        "lastEvaluation": rfc3339(health.get("evaluated_ms") or None),
    }
    if health.get("error"):
        common["lastError"] = health["error"]
    if not isinstance(rule, AlertRule):
        return {**common, "labels": dict(rule.labels), "type": "recording"}
    worst = max((a["state"] for a in alerts), key=lambda s: _RANK[s], default="inactive")
    return {
        **common,
        "state": worst,
        "duration": rule.for_ms / 1000,
        "keepFiringFor": rule.keep_ms / 1000,
        "labels": {n: t.source for n, t in rule.labels},
        "annotations": {n: t.source for n, t in rule.annotations},
        "alerts": alerts if with_alerts else [],
        "type": "alerting",
    }


def alerts(call: Call) -> dict[str, Any]:
    """All alerts that are pending or worse."""
    with call.services.ledger.read() as connection:
        rows = active_alerts(connection)
    return {"status": "success", "data": {"alerts": [alert_view(row) for row in rows]}}


ROUTES = (
    Route("GET", "/api/v1/rules", Action.RULE_READ, rules,
          "Rules with their state, as Prometheus answers.", query=RulesQuery, result=RulesView,
          prometheus=True),
    Route("GET", "/api/v1/alerts", Action.ALERT_READ, alerts,
          "Alerts that are pending or firing, as Prometheus answers.", result=RulesView,
          prometheus=True),
)  # fmt: skip
