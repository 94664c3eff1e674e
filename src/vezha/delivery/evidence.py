"""Gathers what a gate's judgement is made of: a JSON document, kept with the verdict.

Asks the store and the ledger; decides nothing (that is `gate.judge`, over what is gathered here).
Only hosts that the rollout touched are looked at, and of them only what came after the touch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vezha.delivery.errors import NoSignals
from vezha.delivery.limits import CONTROL_HOSTS_MAX, HOSTS_IN_QUERY_MAX, SAMPLES_PER_VERDICT_MAX
from vezha.delivery.signals import Signals, rows_by_host
from vezha.delivery.spec import Gate, Policy, fill
from vezha.model.columns import Values
from vezha.model.labels import INSTANCE, METRIC_NAME, Labels, get_label
from vezha.model.severity import Severity

_STEP_S_LEAST = 1.0
_STEPS_MAX = 240
_AFTER_STEPS_MAX = 4 * _STEPS_MAX
_UP_RATIO = (
    '1 - avg(count_over_time(up{job="node"$only}[$window])'
    ' - sum_over_time(up{job="node"$only}[$window])) / $seconds'
)
"""Seconds that hosts were away, as a part of the whole window, though there may be samples of a part of
it only: a fleet of an hour's age has the budget of a day."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A host that got it: since when, and whether it is through."""

    name: str
    offered_ms: int
    proven: bool
    since_ms: int = 0
    """When it came into its present state."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The rollout at the moment of asking."""

    now_ms: int
    wave: int
    touched: tuple[Touched, ...] = ()
    """Hosts that run it or are about to."""
    untouched: tuple[str, ...] = ()
    """Hosts of the plan that have not been offered it: the controls."""
    proven: int = 0
    open: int = 0
    bad: tuple[tuple[str, str], ...] = ()
    """(host, reason) of those that did not prove it, the newest first, not all of them."""
    failures: int = 0
    control_plane: str = ""
    answers: tuple[tuple[str, str], ...] = ()
    """(person, answer) to this wave."""
    alerts: tuple[tuple[str, str, str, int], ...] = ()
    """(name, host, severity, fired ms) of alerts that fire now."""
    down: frozenset[str] = frozenset()
    """Hosts that are not connected."""
    outside: Mapping[str, Any] = field(default_factory=dict)
    """Answers of web hooks by gate."""
    names: tuple[str, ...] = ()
    """All hosts of the plan."""
    policy: Policy = field(default=Policy())


def gather(gate: Gate, scope: Scope, signals: Signals) -> dict[str, Any]:
    """The evidence for *gate*, at `scope.now_ms`. Never raises for what cannot be asked."""
    base: dict[str, Any] = {"at_ms": scope.now_ms, "kind": gate.kind}
    if scope.control_plane:
        base["control_plane"] = scope.control_plane
    try:
        return {**base, **_GATHER[gate.kind](gate, scope, signals)}
    except NoSignals as fault:
        return {**base, "problem": str(fault)}


def _proof(_gate: Gate, scope: Scope, _signals: Signals) -> dict[str, Any]:
    return {
        "first": scope.wave == 0,
        "proven": scope.proven,
        "open": scope.open,
        "bad": [list(one) for one in scope.bad],
        "failures": scope.failures,
    }


def _health(gate: Gate, scope: Scope, signals: Signals) -> dict[str, Any]:
    offered = {t.name: t.offered_ms for t in scope.touched}
    rank = Severity.of(gate.severity).rank
    alerts = [
        list(alert) for alert in scope.alerts
        if alert[1] in offered
        and alert[3] >= offered[alert[1]]
        and Severity.of(alert[2]).rank <= rank
    ]  # fmt: skip
    proven = {t.name for t in scope.touched if t.proven}
    before_ms = min(offered.values(), default=scope.now_ms)
    after = _by_host(signals, "vezha_agent_completeness_ratio", scope.now_ms)
    before = _by_host(signals, "vezha_agent_completeness_ratio", before_ms)
    ratios = {n: [before.get(n, 1.0), after[n]] for n in proven if n in after}
    return {
        "alerts": alerts,
        "down": sorted(proven & scope.down),
        "completeness": ratios,
        "seen": len(ratios),
    }


def _by_host(signals: Signals, expr: str, at_ms: int) -> dict[str, float]:
    found = signals.vector(expr, at_ms)
    return {get_label(labels, INSTANCE): value for labels, value in found}


def sample_hosts(names: Sequence[str], count: int) -> list[str]:
    """*count* of *names*, spread evenly; the same for the same names."""
    ordered = sorted(names)
    if len(ordered) <= count:
        return ordered
    places = np.linspace(0, len(ordered) - 1, count).astype(np.int64)
    return [ordered[i] for i in places]


def _promql(gate: Gate, scope: Scope, signals: Signals) -> dict[str, Any]:
    names = {t.name for t in scope.touched}
    if not names:
        return {"series": [], "query": gate.expr}
    query = fill(gate.expr, sample_hosts(sorted(names), HOSTS_IN_QUERY_MAX), gate.span_s)
    found = signals.vector(query, scope.now_ms)
    kept = []
    for labels, value in found:
        host = get_label(labels, INSTANCE)
        if host and host not in names:
            continue
        kept.append([host or _shown(labels), None if math.isnan(value) else value])
    return {"series": kept[:SAMPLES_PER_VERDICT_MAX], "query": query[:4_000]}


def _shown(labels: Labels) -> str:
    return ",".join(f"{n}={v}" for n, v in labels if n != METRIC_NAME)


def service_level(
    expr: str, window_s: float, names: Sequence[str], now_ms: int, signals: Signals
) -> tuple[float | None, str]:
    """The share of time that was good (0 to 1; None: unknown) and the query that said so."""
    hosts = sample_hosts(names, HOSTS_IN_QUERY_MAX)
    only = ',instance=~"$hosts"' if hosts else ""
    usual = _UP_RATIO.replace("$only", only).replace("$seconds", f"{window_s:g}")
    query = fill(expr or usual, hosts, window_s)
    found = [v for _, v in signals.vector(query, now_ms) if math.isfinite(v)]
    return (min(found) if found else None), query[:4_000]


def _budget(gate: Gate, scope: Scope, signals: Signals) -> dict[str, Any]:
    # where the gate does not say otherwise, it asks of the budget that steers the pace
    usual = scope.policy.budget
    objective = usual.objective if gate.objective is None else gate.objective
    window_s = usual.window_s if gate.window_s is None else gate.window_s
    good, query = service_level(
        gate.expr or usual.expr, window_s, scope.names, scope.now_ms, signals
    )
    return {"good": good, "query": query, "objective": objective, "window_s": window_s}


def predictability(
    resource: str, names: Sequence[str], now_ms: int, signals: Signals
) -> dict[str, float | None]:
    """`vezha_load_predictability` of *resource* (empty: of the worst) for each of *names* that has it."""
    if resource:
        expr = f'vezha_load_predictability{{resource="{resource}",instance!=""}}'
    else:
        expr = 'min by (instance) (vezha_load_predictability{instance!=""})'
    found = _by_host(signals, expr, now_ms)
    wanted = set(names)
    return {
        name: None if math.isnan(value) else value
        for name, value in found.items()
        if name in wanted
    }


def _predictability(gate: Gate, scope: Scope, signals: Signals) -> dict[str, Any]:
    hosts = sample_hosts(scope.names, SAMPLES_PER_VERDICT_MAX)
    return {"values": predictability(gate.resource, hosts, scope.now_ms, signals)}


def _canary(gate: Gate, scope: Scope, signals: Signals) -> dict[str, Any]:
    canaries = [t for t in scope.touched if t.proven]
    controls = sample_hosts(scope.untouched, CONTROL_HOSTS_MAX)
    empty: dict[str, Any] = {
        "canary_before": [], "canary_after": [], "control_before": [], "control_after": [],
    }  # fmt: skip
    if not canaries or not controls:
        return empty
    names = sample_hosts([t.name for t in canaries], CONTROL_HOSTS_MAX)
    first_ms = min(t.offered_ms for t in canaries)
    began_ms = max(t.since_ms for t in canaries)
    # equally spaced from a fixed beginning: looks are only valid together when `after` just grows
    step_ms = int(1000 * max(_STEP_S_LEAST, gate.span_s / _STEPS_MAX))
    last_ms = min(scope.now_ms, began_ms + _AFTER_STEPS_MAX * step_ms)
    query = fill(gate.expr, [*names, *controls], gate.span_s)
    out = dict(empty)
    spans = {
        "before": (first_ms - int(gate.span_s * 1000), first_ms - step_ms),
        "after": (began_ms + step_ms, last_ms),
    }
    for part, (start_ms, end_ms) in spans.items():
        if end_ms < start_ms:
            return empty
        by_host = rows_by_host(*signals.matrix(query, start_ms, end_ms, step_ms))
        steps = (end_ms - start_ms) // step_ms + 1
        out[f"canary_{part}"] = _matrix(by_host, names, steps)
        out[f"control_{part}"] = _matrix(by_host, controls, steps)
    return {**out, "canaries": names, "controls": controls, "query": query[:4_000]}


def _matrix(
    by_host: Mapping[str, Values], names: Sequence[str], steps: int
) -> list[list[float | None]]:
    """A row for each of *names*, of nothing where it has no series."""
    nothing: list[float | None] = [None] * steps
    return [
        [None if not math.isfinite(v) else float(v) for v in by_host[name]]
        if name in by_host
        else nothing
        for name in names
    ]


def _approval(_gate: Gate, scope: Scope, _signals: Signals) -> dict[str, Any]:
    return {"answers": [list(one) for one in scope.answers]}


def _webhook(gate: Gate, scope: Scope, _signals: Signals) -> dict[str, Any]:
    found = scope.outside.get(gate.title)
    if found is None:
        return {"problem": "the outside has not answered yet"}
    return dict(found)


_GATHER = {
    "proof": _proof,
    "health": _health,
    "promql": _promql,
    "budget": _budget,
    "predictability": _predictability,
    "canary": _canary,
    "approval": _approval,
    "webhook": _webhook,
}
