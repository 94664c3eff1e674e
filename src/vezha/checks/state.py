"""From single probes to up and down. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from vezha.checks.check import Check
from vezha.checks.outcome import Outcome
from vezha.model.labels import Labels, labels_of, metric, with_labels


@dataclass(slots=True)
class TargetState:
    """What is remembered of one target between its probes."""

    failures: int = 0
    is_up: bool = True
    why: str = ""
    shown: frozenset[Labels] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Told:
    """What one probe gives to store: series with values, series that end, and whether the
    target changed between up and down."""

    values: dict[Labels, float]
    gone: frozenset[Labels]
    changed: bool


def after(state: TargetState, check: Check, target: str, outcome: Outcome) -> Told:
    """Take *outcome* into *state*. Down after `failures_before_down` failures in a row, up at
    the first success."""
    state.failures = 0 if outcome.success else state.failures + 1
    was_up = state.is_up
    if outcome.success:
        state.is_up = True
    elif state.failures >= check.failures_before_down:
        state.is_up = False
    state.why = outcome.why
    own = labels_of({**dict(check.labels), "job": check.name, "instance": target})
    values = {
        with_labels(labels, {**dict(own), "__name__": name}): value
        for (name, labels), value in outcome.report.figures.items()
    }
    base = dict(own)
    values[metric("probe_success", **base)] = float(outcome.success)
    values[metric("probe_duration_seconds", **base)] = outcome.took_s
    values[metric("vezha_check_up", **base, type=check.kind)] = float(state.is_up)
    values[metric("vezha_check_failures", **base)] = float(state.failures)
    if check.slow_after_s:
        values[metric("vezha_check_slow_after_seconds", **base)] = check.slow_after_s
    shown = frozenset(values)
    gone = state.shown - shown
    state.shown = shown
    return Told(values, gone, was_up != state.is_up)
