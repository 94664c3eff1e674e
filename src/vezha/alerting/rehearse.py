"""What a rule would have done: the same runner over history instead of the present.

The queries are asked as ranges, a chunk at a time, and handed to the runner instant by instant,
so that a day at one-second steps takes seconds. Pure, but for the range function it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vezha.alerting.ask import Vector
from vezha.alerting.durations import spoken_duration
from vezha.alerting.errors import EvaluationError
from vezha.alerting.rule import AlertRule, Group
from vezha.alerting.runner import AlertRunner, Outside
from vezha.alerting.state import OPEN_STATES, TOLD, Event, State
from vezha.model.columns import Values
from vezha.model.labels import Labels, format_labels, host_of

Block = tuple[list[Labels], Values, npt.NDArray[np.bool_]]
"""Labels, values [series, steps], presence [same shape]."""
RangeAsk = Callable[[str, int, int, int], Block]
"""(expr, start_ms, end_ms, step_ms) → Block."""

CHUNK_STEPS = 600
_HOSTS_NAMED = 5
STEPS_MAX = 700_000
"""About a week at one-second steps."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One time that an alert would have fired. `end_ms` None: it would fire still."""

    labels: Labels
    start_ms: int
    end_ms: int | None
    summary: str


@dataclass(slots=True)
class Rehearsal:
    """What one alert rule would have done over the span."""

    group: str
    rule: AlertRule
    firings: list[Firing] = field(default_factory=list)
    flapping: int = 0
    unknown: int = 0
    errors: list[str] = field(default_factory=list)

    def hosts(self) -> list[str]:
        """Hosts on which it would have fired."""
        return sorted({host_of(f.labels) for f in self.firings} - {""})

    def seconds(self, end_ms: int) -> float:
        """For how long in sum."""
        return sum(((f.end_ms or end_ms) - f.start_ms) / 1000 for f in self.firings)


class _Chunks:
    """Instant answers out of range answers."""

    def __init__(self, ask_range: RangeAsk, step_ms: int, end_ms: int) -> None:
        self._ask_range = ask_range
        self._step_ms = step_ms
        self._end_ms = end_ms
        self._kept: dict[str, tuple[int, int, list[Labels], Values, npt.NDArray[np.bool_]]] = {}

    def __call__(self, expr: str, ts_ms: int) -> Vector:
        kept = self._kept.get(expr)
        if kept is None or not kept[0] <= ts_ms <= kept[1]:
            end_ms = min(ts_ms + (CHUNK_STEPS - 1) * self._step_ms, self._end_ms)
            kept = (ts_ms, end_ms, *self._ask_range(expr, ts_ms, end_ms, self._step_ms))
            self._kept[expr] = kept
        start_ms, _, labels, values, present = kept
        column = (ts_ms - start_ms) // self._step_ms
        there = np.flatnonzero(present[:, column])
        return [labels[i] for i in there], values[there, column]


def rehearse(
    groups: Sequence[Group],
    ask_range: RangeAsk,
    start_ms: int,
    end_ms: int,
    step_ms: int = 0,
    outside: Outside | None = None,
) -> list[Rehearsal]:
    """Rehearse every alert rule from *start_ms* to *end_ms*.

    *step_ms* 0 means each group's own interval, coarser where that were more than STEPS_MAX
    steps. Recording rules are not written: alerts on them see what was recorded at the time.
    """
    out = []
    for group in groups:
        step = step_ms or max(group.interval_ms, -(-(end_ms - start_ms) // STEPS_MAX))
        for rule in group.rules:
            if isinstance(rule, AlertRule):
                one = Rehearsal(group.name, rule)
                _rehearse(one, _Chunks(ask_range, step, end_ms), (start_ms, end_ms, step), outside)
                out.append(one)
    return out


def _rehearse(
    one: Rehearsal, ask: _Chunks, span: tuple[int, int, int], outside: Outside | None
) -> None:
    start_ms, end_ms, step_ms = span
    runner = AlertRunner(one.rule, outside or Outside())
    open_: dict[Labels, tuple[int, str]] = {}
    for ts_ms in range(start_ms, end_ms + 1, step_ms):
        try:
            told = runner.evaluate(ask, ts_ms, False, 0)
        except EvaluationError as fault:
            if str(fault) not in one.errors:
                one.errors.append(str(fault))
            continue
        for item in told:
            change = item.change
            if change.event not in TOLD:
                continue
            one.flapping += change.event is Event.FLAPS
            one.unknown += change.event is Event.LOST
            if change.event is Event.FIRED:
                open_[change.labels] = (ts_ms, item.annotations.get("summary", ""))
            elif change.after not in OPEN_STATES and change.labels in open_:
                began_ms, summary = open_.pop(change.labels)
                one.firings.append(Firing(change.labels, began_ms, ts_ms, summary))
        runner.instances.forget(ts_ms)
    for labels, (began_ms, summary) in open_.items():
        state = State(int(runner.instances.state[runner.instances.rows[labels]]))
        assert state in OPEN_STATES, state
        one.firings.append(Firing(labels, began_ms, None, summary))
    one.firings.sort(key=lambda f: (f.start_ms, f.labels))


def in_words(one: Rehearsal, end_ms: int, last: str = "", newest: str = "") -> str:
    """What the alert would have done, in a sentence without its full stop; *last* names the span,
    *newest* when it fired last."""
    if one.errors:
        return f"cannot be evaluated: {one.errors[0]}"
    if not one.firings:
        return "would not have fired" + (f" in the last {last}" if last else "")
    hosts = one.hosts()
    named = ", ".join(hosts[:_HOSTS_NAMED])
    if len(hosts) > _HOSTS_NAMED:
        named += f" and {len(hosts) - _HOSTS_NAMED} more"
    count = len(one.firings)
    times = {1: "once", 2: "twice"}.get(count, f"{count} times")
    on = f" on {named}" if named else ""
    text = f"would have fired {times}{on}, {spoken_duration(one.seconds(end_ms))} in sum"
    if newest:
        text += f"; the last time {newest}"
    if one.firings[-1].end_ms is None:
        text += " and still" if newest else ", and would still fire"
    if one.flapping:
        text += f"; flapping: {one.flapping}"
    if one.unknown:
        text += f"; lost, as the target vanished: {one.unknown}"
    return text


def as_document(one: Rehearsal, end_ms: int) -> dict[str, Any]:
    """A rehearsal for programs."""
    return {
        "group": one.group,
        "rule": one.rule.name,
        "severity": one.rule.severity.value,
        "fired": len(one.firings),
        "seconds": one.seconds(end_ms),
        "hosts": one.hosts(),
        "errors": one.errors,
        "firings": [
            {
                "series": format_labels(f.labels),
                "from": f.start_ms / 1000,
                "to": f.end_ms / 1000 if f.end_ms else None,
                "summary": f.summary,
            }
            for f in one.firings
        ],
    }
