"""A run of a checklist: its states as a table, its events, and what they add up to. Pure.

The events are the truth: `fold` makes a `Run` of them, `decide` says which events an act adds.
Several people act at once: whoever answers a step says which revision of the run was seen, and is
refused only if that very step has changed since.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from vezha.incidents.checklists.document import Checklist, Kind, Step, checked_answer
from vezha.incidents.checklists.fill import stop_of
from vezha.incidents.errors import AnsweredMeanwhile, AnswerError, WrongState
from vezha.incidents.limits import CHECKLIST_EVENTS_MAX, NOTE_CHARS_MAX


class RunState(Enum):
    """What a run is in. `stopped`: a stop rule says to go no further until somebody says so."""

    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"
    ABANDONED = "abandoned"


class RunAct(Enum):
    """What people do to a run."""

    ANSWER = "answer"
    SKIP = "skip"
    CLEAR = "clear"
    FILL = "fill"
    RUN = "run"
    RESUME = "resume"
    SIGN = "sign"
    ABANDON = "abandon"


_R, _S = RunState.RUNNING, RunState.STOPPED
_A = RunAct

TABLE: dict[tuple[RunState, RunAct], str] = {
    (_R, _A.ANSWER): "answered",
    (_R, _A.SKIP): "skipped",
    (_R, _A.CLEAR): "cleared",
    (_R, _A.FILL): "filled",
    (_R, _A.RUN): "ran",
    (_R, _A.SIGN): "signed",
    (_R, _A.ABANDON): "abandoned",
    (_S, _A.CLEAR): "cleared",
    (_S, _A.FILL): "filled",
    (_S, _A.RESUME): "resumed",
    (_S, _A.ABANDON): "abandoned",
}
"""In this state, this act is possible and becomes that event; `done` and `abandoned` are ends."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One thing that happened. `number` counts from 1 in each run: it is the revision it made."""

    number: int
    at_ms: int
    kind: str
    actor: str
    step: int = 0
    value: Any = None
    text: str = ""


@dataclass(slots=True)
class StepState:
    """What is known of one step. `state`: open, answered or skipped."""

    state: str = "open"
    value: Any = None
    note: str = ""
    actor: str = ""
    at_ms: int | None = None
    filled: dict[str, Any] | None = None
    revision: int = 0
    """The revision at which it last changed by a person."""


@dataclass(slots=True)
class Run:
    """A run as its events say."""

    checklist: Checklist
    state: RunState = RunState.RUNNING
    revision: int = 0
    steps: dict[int, StepState] = field(default_factory=dict)
    signatures: list[RunEvent] = field(default_factory=list)
    stopped_because: str = ""
    finished_ms: int | None = None

    def step(self, number: int) -> StepState:
        """The state of a step, an open one by default."""
        return self.steps.setdefault(number, StepState())

    @property
    def open_steps(self) -> list[Step]:
        """Steps that must still be answered or skipped."""
        return [
            s
            for s in self.checklist.steps
            if not s.optional and self.step(s.number).state == "open"
        ]

    @property
    def waits_for_signature(self) -> bool:
        """Whether only signatures are missing."""
        return self.state is RunState.RUNNING and not self.open_steps

    def apply(self, event: RunEvent) -> None:
        """Take in one event."""
        self.revision = event.number
        step = self.step(event.step) if event.step else None
        if event.kind in ("answered", "skipped", "cleared"):
            assert step is not None
            open_ = event.kind == "cleared"
            step.state = "open" if open_ else event.kind
            step.value, step.note = event.value, event.text
            step.actor, step.at_ms = ("", None) if open_ else (event.actor, event.at_ms)
            step.revision = event.number
            self.signatures.clear()  # what was signed is not what stands there now
        elif event.kind in ("filled", "ran"):
            assert step is not None
            step.filled = event.value
        elif event.kind == "stopped":
            self.state, self.stopped_because = RunState.STOPPED, event.text
        elif event.kind == "resumed":
            self.state, self.stopped_because = RunState.RUNNING, ""
        elif event.kind == "signed":
            self.signatures.append(event)
        elif event.kind in ("done", "abandoned"):
            self.state, self.finished_ms = RunState(event.kind), event.at_ms


def fold(checklist: Checklist, events: Iterable[RunEvent]) -> Run:
    """The run that *events*, in order, add up to."""
    run = Run(checklist)
    for event in events:
        run.apply(event)
    return run


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody asks: *seen* is the revision they looked at, None for whatever stands there."""

    act: RunAct
    actor: str
    at_ms: int
    step: int = 0
    value: Any = None
    text: str = ""
    seen: int | None = None


def decide(run: Run, asked: Asked) -> list[RunEvent]:
    """The events that *asked* adds to *run*, which gets them.

    Raises WrongState, AnswerError, AnsweredMeanwhile; then nothing has changed.
    """
    kind = TABLE.get((run.state, asked.act))
    if kind is None:
        raise WrongState(f"this run is {run.state.value}: it cannot {asked.act.value} now")
    if len(asked.text) > NOTE_CHARS_MAX:
        raise AnswerError(f"the text is longer than {NOTE_CHARS_MAX} characters")
    if run.revision >= CHECKLIST_EVENTS_MAX and asked.act is not RunAct.ABANDON:
        raise WrongState(f"this run has {CHECKLIST_EVENTS_MAX} events; end it and begin another")
    made: list[RunEvent] = []

    def add(kind: str, step: int = 0, value: Any = None, text: str = "") -> None:
        event = RunEvent(run.revision + 1, asked.at_ms, kind, asked.actor, step, value, text)
        run.apply(event)
        made.append(event)

    if asked.act in (RunAct.ANSWER, RunAct.SKIP, RunAct.CLEAR, RunAct.FILL, RunAct.RUN):
        step = run.checklist.step(asked.step)
        value = _value_of(run, step, asked)
        add(kind, step.number, value, asked.text)
        if stop := _stop_of(run, step, asked, value):
            add("stopped", step.number, text=stop)
    elif asked.act is RunAct.SIGN:
        _check_signature(run, asked.actor)
        add(kind, text=asked.text)
    else:
        if asked.act is RunAct.RESUME and not asked.text.strip():
            raise AnswerError("say why it is right to go on")
        add(kind, text=asked.text)
    signed = len({s.actor for s in run.signatures})
    if run.waits_for_signature and signed >= run.checklist.sign_off:
        add("done")
    return made


def _value_of(run: Run, step: Step, asked: Asked) -> Any:
    known = run.step(step.number)
    if asked.act is RunAct.RUN:
        if step.kind is not Kind.SCRIPT:
            raise AnswerError(f"step {step.number} runs no script")
        return asked.value
    if asked.act is RunAct.FILL:
        if not step.fills:
            raise AnswerError(f"step {step.number} asks no query")
        return asked.value
    if asked.seen is not None and known.revision > asked.seen:
        who = known.actor or "somebody"
        raise AnsweredMeanwhile(f"step {step.number} was changed by {who} meanwhile; look again")
    if asked.act is RunAct.ANSWER:
        return checked_answer(step, asked.value)
    if asked.act is RunAct.SKIP and not step.optional and not asked.text.strip():
        raise AnswerError(f"say why step {step.number} is skipped")
    if asked.act is RunAct.CLEAR and known.state == "open":
        raise WrongState(f"step {step.number} is open already")
    return None


def _stop_of(run: Run, step: Step, asked: Asked, value: Any) -> str:
    if run.state is not RunState.RUNNING:
        return ""
    if asked.act is RunAct.ANSWER:
        return step.stop_at(value)
    return stop_of(step, value) if asked.act is RunAct.FILL else ""


def _check_signature(run: Run, actor: str) -> None:
    if run.open_steps:
        numbers = ", ".join(str(s.number) for s in run.open_steps[:10])
        raise WrongState(f"these steps are open: {numbers}; answer or skip them first")
    if any(s.actor == actor for s in run.signatures):
        raise WrongState("you have signed it already; somebody else must sign, too")


def table_as_markdown() -> str:
    """The table for the documentation."""
    lines = ["| State | Act | Event |", "|---|---|---|"]
    lines += [f"| {s.value} | {a.value} | {event} |" for (s, a), event in TABLE.items()]
    return "\n".join(lines) + "\n"
