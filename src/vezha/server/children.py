"""Children: what the supervisor knows of each process, and what it decides. Pure.

    WAITING --start--> STARTING --ready--> READY
       ^                   |                 |
       +------ exited, or killed because never ready (the delay doubles)
    any --stop--> STOPPING --exited--> GONE

A child that exits is started again after a delay, whatever its exit code and whatever the
others do. Its delay doubles up to a limit and is forgotten after a calm minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from vezha.server.limits import (
    CONTOUR_READY_TIMEOUT_S,
    CONTOUR_STOP_TIMEOUT_S,
    FIRST_START_TRIES,
    RESTART_CALM_S,
    RESTART_DELAY_FIRST_S,
    RESTART_DELAY_MAX_S,
)


class Phase(Enum):
    """Where a child is in its life."""

    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    GONE = "gone"


class Action(Enum):
    """What the loop should do with a child now."""

    NOTHING = "nothing"
    START = "start"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a child is started. *announces*: it says `ready`; one that does not counts as ready.

    *main* is what it does where it is forked from the supervisor, and gives its exit code; without
    it, or where forking is not sound, *argv* is run.
    """

    name: str
    argv: tuple[str, ...]
    announces: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    main: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True)
class Child:
    """A child as the supervisor knows it; times are monotonic seconds."""

    plan: Plan
    phase: Phase = Phase.WAITING
    since_s: float = 0.0
    due_s: float = 0.0
    delay_s: float = 0.0
    restarts: int = 0

    def started(self, now_s: float) -> Child:
        """It runs, and has yet to say that it is ready."""
        phase = Phase.STARTING if self.plan.announces else Phase.READY
        return replace(self, phase=phase, since_s=now_s)

    def became_ready(self, now_s: float) -> Child:
        """It serves. A late word from one that is stopping changes nothing."""
        if self.phase is not Phase.STARTING:
            return self
        return replace(self, phase=Phase.READY, since_s=now_s)

    def exited(self, now_s: float) -> Child:
        """It is gone: for good if asked to stop, else until its delay is over."""
        if self.phase in (Phase.STOPPING, Phase.GONE):
            return replace(self, phase=Phase.GONE, since_s=now_s)
        calm = self.phase is Phase.READY and now_s - self.since_s >= RESTART_CALM_S
        delay = RESTART_DELAY_FIRST_S
        if self.delay_s and not calm:
            delay = min(self.delay_s * 2, RESTART_DELAY_MAX_S)
        return replace(
            self,
            phase=Phase.WAITING,
            since_s=now_s,
            due_s=now_s + delay,
            delay_s=delay,
            restarts=self.restarts + 1,
        )

    def asked_to_stop(self, now_s: float) -> Child:
        """It got SIGTERM; one that does not run is gone at once."""
        if self.phase in (Phase.STOPPING, Phase.GONE):
            return self
        phase = Phase.GONE if self.phase is Phase.WAITING else Phase.STOPPING
        return replace(self, phase=phase, since_s=now_s)


def decide(child: Child, now_s: float) -> Action:
    """What to do with *child* now."""
    age = now_s - child.since_s
    if child.phase is Phase.WAITING and now_s >= child.due_s:
        return Action.START
    if child.phase is Phase.STARTING and age >= CONTOUR_READY_TIMEOUT_S:
        return Action.KILL
    if child.phase is Phase.STOPPING and age >= CONTOUR_STOP_TIMEOUT_S:
        return Action.KILL
    return Action.NOTHING


def has_settled(children: Iterable[Child]) -> bool:
    """Whether the first start is over: each child serves, or has failed so often that it may not.

    One contour that cannot run must not hide from the operator that the others do.
    """
    return all(c.phase is Phase.READY or c.restarts >= FIRST_START_TRIES for c in children)
