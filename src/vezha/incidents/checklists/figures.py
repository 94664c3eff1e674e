"""How checklists fare: which step takes long, which is skipped, which stops the run.

A step's time runs from what the same person did before in that run (from what anybody did, or the
beginning, where it is the person's first) to its answer. An answer that was changed later counts
once, the first time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import Connection, select

from vezha.incidents.checklists.document import Checklist
from vezha.incidents.checklists.parse import parse_checklist
from vezha.incidents.checklists.rows import read_events
from vezha.incidents.checklists.run import RunEvent
from vezha.incidents.limits import CHECKLIST_FIGURES_RUNS_MAX
from vezha.ledger.tables import checklist_run, checklist_version
from vezha.model.labels import Labels, metric


@dataclass(frozen=True, slots=True)
class StepFigures:
    """One step over all runs. Seconds; None where it was never answered."""

    number: int
    text: str
    answered: int
    skipped: int
    stopped: int
    median_s: float | None
    p95_s: float | None
    text_uk: str = ""


@dataclass(frozen=True, slots=True)
class ChecklistFigures:
    """One checklist; `steps` are those of its newest version that was run."""

    checklist: str
    title: str
    runs: int
    done: int
    abandoned: int
    median_s: float | None
    steps: list[StepFigures]
    title_uk: str = ""


@dataclass(slots=True)
class _Counted:
    seconds: list[float] = field(default_factory=list)
    skipped: int = 0
    stopped: int = 0


def step_times(events: Iterable[RunEvent]) -> dict[int, tuple[str, float]]:
    """By step: answered or skipped, and after how many seconds."""
    out: dict[int, tuple[str, float]] = {}
    by_actor: dict[str, int] = {}
    last_ms = None
    for event in events:
        if event.kind in ("answered", "skipped") and event.step not in out:
            before = by_actor.get(event.actor, last_ms)
            before = event.at_ms if before is None else before
            out[event.step] = (event.kind, max(0, event.at_ms - before) / 1000)
        if event.kind != "filled":
            by_actor[event.actor] = last_ms = event.at_ms
    return out


def read_figures(connection: Connection, since_ms: int) -> list[ChecklistFigures]:
    """The figures of all runs that began since then, by name."""
    rows = connection.execute(
        select(
            checklist_run.c.id,
            checklist_run.c.checklist,
            checklist_run.c.version,
            checklist_run.c.state,
            checklist_run.c.started_ms,
            checklist_run.c.finished_ms,
        )
        .where(checklist_run.c.started_ms >= since_ms)
        .order_by(checklist_run.c.id.desc())
        .limit(CHECKLIST_FIGURES_RUNS_MAX)
    ).all()
    events = read_events(connection, [r.id for r in rows])
    versions = {r.version for r in rows}
    texts: dict[str, Checklist] = {}
    for row in connection.execute(select(checklist_version)):
        if row.hash in versions:
            texts[row.hash] = parse_checklist(row.text, row.name)
    newest: dict[str, Checklist] = {}
    counted: dict[str, dict[str, _Counted]] = {}
    for row in rows:
        checklist = texts[row.version]
        newest.setdefault(row.checklist, checklist)
        steps = counted.setdefault(row.checklist, {})
        for number, (kind, seconds) in step_times(events[row.id]).items():
            one = steps.setdefault(checklist.step(number).key, _Counted())
            if kind == "skipped":
                one.skipped += 1
            else:
                one.seconds.append(seconds)
        for event in events[row.id]:
            if event.kind == "stopped":
                steps.setdefault(checklist.step(event.step).key, _Counted()).stopped += 1
    out = []
    for name in sorted(newest):
        mine = [r for r in rows if r.checklist == name]
        took = [(r.finished_ms - r.started_ms) / 1000 for r in mine if r.state == "done"]
        steps = counted[name]
        out.append(
            ChecklistFigures(
                name,
                newest[name].title,
                len(mine),
                len(took),
                sum(r.state == "abandoned" for r in mine),
                _at(took, 50),
                [
                    StepFigures(
                        s.number,
                        s.text,
                        len((c := steps.get(s.key, _Counted())).seconds),
                        c.skipped,
                        c.stopped,
                        _at(c.seconds, 50),
                        _at(c.seconds, 95),
                        s.text_uk,
                    )
                    for s in newest[name].steps
                ],
                newest[name].title_uk,
            )
        )
    return out


def _at(values: list[float], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 3) if values else None


def figures_series(found: Iterable[ChecklistFigures]) -> list[tuple[Labels, float]]:
    """The figures as series: labels and value."""
    out: list[tuple[Labels, float]] = []

    def add(name: str, value: float | None, **labels: str) -> None:
        if value is not None:
            out.append((metric(name, instance="vezha-server", job="vezha", **labels), value))

    for one in found:
        name = one.checklist
        ended = {"done": one.done, "abandoned": one.abandoned}
        for state, count in {**ended, "open": one.runs - sum(ended.values())}.items():
            add("vezha_checklist_runs", count, checklist=name, state=state)
        for step in one.steps:
            where = {"checklist": name, "step": str(step.number)}
            add("vezha_checklist_step_answered", step.answered, **where)
            add("vezha_checklist_step_skipped", step.skipped, **where)
            add("vezha_checklist_step_stopped", step.stopped, **where)
            add("vezha_checklist_step_seconds", step.median_s, **where, quantile="0.5")
            add("vezha_checklist_step_seconds", step.p95_s, **where, quantile="0.95")
    return out
