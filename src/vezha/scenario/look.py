"""How a view stands: what the query engine says of its conditions. Pure but for the asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vezha.alerting.ask import Ask
from vezha.alerting.errors import EvaluationError
from vezha.model.labels import Labels
from vezha.scenario import limits
from vezha.scenario.file import Scenario, View

EXPECTED, ODD, UNKNOWN, WAITING = "expected", "odd", "unknown", "waiting"
"""As it should be | not | the question failed | a person has to look."""


@dataclass(frozen=True, slots=True)
class Look:
    """How one view stands. `said` is a sentence; `evidence` names series with their values."""

    state: str
    said: str = ""
    evidence: tuple[dict[str, Any], ...] = ()


def look(view: View, ask: Ask, at_ms: int) -> Look:
    """Judge one view at an instant."""
    if not view.is_judged:
        return Look(WAITING)
    try:
        if view.odd:
            labels, values = ask(view.odd, at_ms)
            real = ~np.isnan(values)
            if real.any():
                return Look(ODD, f"{int(real.sum())} found", _evidence(labels, values))
        if view.expect:
            labels, values = ask(view.expect, at_ms)
            if not (~np.isnan(values)).any():
                return Look(ODD, "nothing found")
            return Look(EXPECTED, "", _evidence(labels, values))
    except EvaluationError as fault:
        return Look(UNKNOWN, str(fault)[: limits.TEXT_CHARS_MAX])
    return Look(EXPECTED)


def look_all(scenario: Scenario, ask: Ask, at_ms: int) -> list[Look]:
    """All views, in their order."""
    return [look(view, ask, at_ms) for view in scenario.views]


def _evidence(labels: list[Labels], values: Any) -> tuple[dict[str, Any], ...]:
    found: list[dict[str, Any]] = []
    for one, value in zip(labels, values, strict=True):
        if np.isnan(value):
            continue
        if len(found) == limits.EVIDENCE_MAX:
            break
        text = {k: v for k, v in dict(one).items() if k != "__name__"}
        found.append({"labels": text, "value": float(value)})
    return tuple(found)
