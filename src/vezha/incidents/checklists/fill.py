"""What a run puts in by itself: the names of its host, and the answers of queries. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vezha.incidents.checklists.document import Step
from vezha.incidents.limits import CHECKLIST_HOSTS_MAX, CHECKLIST_SERIES_MAX
from vezha.incidents.words import Member, hosts_of, main_member
from vezha.model.columns import Values
from vezha.model.labels import METRIC_NAME, Labels

VARIABLE = re.compile(r"\$\{?([a-z_][a-zA-Z0-9_]*)\}?")
"""`$host` or `${host}`. A regular expression's own `$` is never followed by a small letter."""

Ask = Callable[[str, int], tuple[list[Labels], Values]]
"""(expression, time in ms) → series and values; raises any error, which becomes a text."""


def variables_of(members: Sequence[Member], incident: int, team: str) -> dict[str, str]:
    """What an incident gives: its worst alert's labels, `host`, `hosts`, `alert`, `incident`.

    `hosts` is a regular expression that fits all of its hosts.
    """
    out = {"incident": str(incident), "team": team}
    if members:
        live = [m for m in members if m.is_open] or list(members)
        main = main_member(live)
        hosts = hosts_of(live)[:CHECKLIST_HOSTS_MAX]
        out |= {k: v for k, v in main.labels.items() if VARIABLE.fullmatch(f"${k}")}
        out["host"] = main.host
        out["hosts"] = "|".join(re.escape(h) for h in hosts)
        out["alert"] = main.alert_name
    return out


def with_values(expr: str, variables: Mapping[str, str]) -> tuple[str, list[str]]:
    """*expr* with its variables put in, quoted for PromQL's strings; names without a value."""
    missing: list[str] = []

    def put(match: re.Match[str]) -> str:
        value = variables.get(match[1], "")
        if not value:
            missing.append(match[1])
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return VARIABLE.sub(put, expr), list(dict.fromkeys(missing))


def in_words(text: str, variables: Mapping[str, str]) -> str:
    """*text* with the variables that have a value put in; the others stay as written."""
    return VARIABLE.sub(lambda m: variables.get(m[1], "") or m[0], text)


def fill(step: Step, variables: Mapping[str, str], ask: Ask, now_ms: int) -> dict[str, Any]:
    """What the step's query gives now: {"query", "at_ms", "series": […], "error"?, "missing"?, "more"?}."""
    expr, missing = with_values(step.expr, variables)
    out: dict[str, Any] = {"query": expr, "at_ms": now_ms, "series": []}
    if missing:
        out["error"] = f"no value is known for {', '.join('$' + m for m in missing)}"
        out["missing"] = missing
        return out
    try:
        labels, values = ask(expr, now_ms)
    except Exception as fault:  # whatever a query may say becomes the step's text
        out["error"] = str(fault) or type(fault).__name__
        return out
    rows = [
        ({n: v for n, v in one if n != METRIC_NAME}, float(value))
        for one, value in zip(labels, values, strict=True)
        if not math.isnan(value)
    ]
    rows.sort(key=lambda row: (-row[1], sorted(row[0].items())))
    out["series"] = [
        {"labels": one, "value": value if math.isfinite(value) else str(value)}
        for one, value in rows[:CHECKLIST_SERIES_MAX]
    ]
    if len(rows) > CHECKLIST_SERIES_MAX:
        out["more"] = len(rows) - CHECKLIST_SERIES_MAX
    return out


def stop_of(step: Step, filled: Mapping[str, Any]) -> str:
    """Why what a query gave ends the list, or the empty text. An error never does."""
    if "error" in filled:
        return ""
    series = filled["series"]
    if not series:
        return step.stop_at("none")
    return next((why for s in series if (why := step.stop_at(s["value"]))), "")
