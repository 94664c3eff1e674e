"""Escalation: who is woken next, and when. Pure.

A policy has steps; each wakes its targets and then waits. After the last step the next round begins,
until `repeat` further rounds are over. An escalation is in one of these phases:

    paging      a step is due at due_ms
    held        somebody acknowledged; at due_ms (if the policy has ack_timeout) it is asked again
    asleep      the incident is snoozed
    quiet       the incident is silenced
    exhausted   every round is over and nobody acknowledged
    ended       the incident is over, or belongs to nobody with a policy

What an incident's news do to it stands in `follow`, what time does in `advance`. News that ask again
(opened, worse, reopened, woke, unacknowledged, unsilenced, unmerged, assigned) begin with the first step.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum

from vezha.incidents.state import State
from vezha.model.severity import Severity

DEFAULT = "default"
"""The policy of incidents whose team has none, where there is one of that name."""
EMPTY_STEP_MS = 1_000
"""How long a step waits that reached nobody."""
ASKING = (
    "opened", "worse", "reopened", "woke", "unacknowledged", "unsilenced", "unmerged", "assigned",
)  # fmt: skip
"""Entries of a timeline after which an open incident is escalated from the first step on."""


class TargetKind(Enum):
    """What a step can name."""

    PERSON = "person"
    SCHEDULE = "schedule"
    TEAM = "team"
    RECEIVER = "receiver"


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a step wakes: a person, who is on call in a schedule, a team's members, a receiver."""

    kind: TargetKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.name}"


@dataclass(frozen=True, slots=True)
class Step:
    """Wake *targets*, then wait."""

    targets: tuple[Target, ...]
    wait_ms: int


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as kept; incidents milder than *least* are not escalated."""

    name: str
    steps: tuple[Step, ...]
    repeat: int = 0
    ack_timeout_ms: int = 0
    least: Severity = Severity.WARNING


class Phase(Enum):
    """Where an escalation is."""

    PAGING = "paging"
    HELD = "held"
    ASLEEP = "asleep"
    QUIET = "quiet"
    EXHAUSTED = "exhausted"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an escalation is: the next step to take, in which round, when. Times in ms.

    *asked_ms* is when the incident last began to ask.
    """

    phase: Phase
    step: int = 0
    round: int = 0
    due_ms: int | None = None
    asked_ms: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What counts of an incident."""

    state: State
    severity: Severity
    silent: bool
    acknowledged_ms: int | None = None


def follow(
    policy: Policy | None,
    progress: Progress | None,
    look: Look,
    kinds: Collection[str],
    at_ms: int,
) -> Progress | None:
    """What news of *kinds*, the newest at *at_ms*, make of an escalation; None: there is none."""
    mild = policy is not None and look.severity.rank > policy.least.rank
    if look.state.is_over or policy is None or (mild and progress is None):
        return None if progress is None else Progress(Phase.ENDED, asked_ms=progress.asked_ms)
    asked_ms = progress.asked_ms if progress is not None else at_ms
    if look.silent:
        return Progress(Phase.QUIET, asked_ms=asked_ms)
    if look.state is State.SNOOZED:
        return Progress(Phase.ASLEEP, asked_ms=asked_ms)
    if look.state is State.ACKNOWLEDGED:
        timeout = policy.ack_timeout_ms
        due = (look.acknowledged_ms or at_ms) + timeout if timeout else None
        return Progress(Phase.HELD, due_ms=due, asked_ms=asked_ms)
    goes_on = progress is not None and progress.phase in (Phase.PAGING, Phase.EXHAUSTED)
    if goes_on and not any(kind in ASKING for kind in kinds):
        return progress
    return Progress(Phase.PAGING, 0, 0, at_ms, at_ms)


def advance(policy: Policy, progress: Progress, now_ms: int, reached: bool) -> Progress:
    """After the step that was due was taken; *reached* says whether it found anybody.

    The last step of the last round waits, too, as the step after it: see `is_over`.
    """
    assert progress.phase is Phase.PAGING, progress
    wait_ms = policy.steps[progress.step].wait_ms if reached else EMPTY_STEP_MS
    due_ms = now_ms + wait_ms
    is_last = progress.step + 1 >= len(policy.steps)
    if not is_last or progress.round >= policy.repeat:
        return replace(progress, step=progress.step + 1, due_ms=due_ms)
    # a round that found nobody at all does not spin
    last_ms = now_ms + policy.steps[progress.step].wait_ms
    return replace(progress, step=0, round=progress.round + 1, due_ms=last_ms)


def is_over(policy: Policy, progress: Progress) -> bool:
    """Whether what is due is the end: all steps were taken, and those asked last had their time."""
    return progress.phase is Phase.PAGING and progress.step >= len(policy.steps)
