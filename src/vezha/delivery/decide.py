"""What a rollout does next. Pure: everything that is known in, one decision out.

The order of the questions is the order of importance: people who want it back; bad evidence; people
who want it to wait; faults of our own; windows, approvals and gates that want it to wait; and only
then the next step of the wave.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from vezha.delivery.gate import FAIL, NO_EVIDENCE, PHASES, Judgement
from vezha.delivery.pace import Pace
from vezha.delivery.rollout import Event, Phase, State
from vezha.delivery.spec import Gate

ALL_BACK = "all hosts that are there run what they ran before"
"""How a rollout that was taken back ends."""


@dataclass(frozen=True, slots=True)
class View:
    """A rollout as the decision sees it. Counts are of hosts; sentences are empty where nothing is
    to be said."""

    state: State
    phase: Phase
    last_wave: bool
    now_ms: int
    bake_due_ms: int
    waiting: int = 0
    """Of the wave: not offered yet."""
    in_flight: int = 0
    """Of the rollout: between the offer and its end."""
    keeping: int = 0
    """Of the rollout: have it still, since a newer rollout has them."""
    going_back: int = 0
    """Of the rollout: on their way back, and there."""
    wish: str = "run"
    wish_by: str = ""
    control_plane: str = ""
    window: str = ""
    approval: str = ""
    metadata: str = ""
    """Why the signed metadata keeps changes from going on."""
    excused: str = ""
    """Which hosts did not take it too often, for what is not the version's fault."""
    pace: Pace = field(default=Pace(1.0, ""))
    judgements: Sequence[tuple[Gate, Judgement]] = ()
    leaves_nothing: bool = False
    """A script: what it did is not taken back."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The event, if there is one, with the code and the sentence of why."""

    event: Event | None = None
    code: str = ""
    sentence: str = ""

    @property
    def is_hold(self) -> bool:
        """Whether the rollout should wait."""
        return self.event is Event.HOLD


_NOTHING = Decision()


def decide(view: View) -> Decision:
    """The next step; an empty decision where there is none now."""
    if view.state is State.REVERTING:
        return _back(view)
    if view.state is State.DONE and view.wish == "revert":
        return _against(view) or _NOTHING
    if view.state not in (State.RUNNING, State.HELD):
        return _NOTHING
    against = _against(view)
    if against is not None:
        return against
    holds = _holds(view)
    if holds is not None:
        return holds
    if view.state is State.HELD:
        return Decision(Event.GO_ON, "", "nothing keeps it any more")
    return _onward(view)


def _back(view: View) -> Decision:
    if view.going_back or view.in_flight:
        return _NOTHING
    if view.leaves_nothing:
        return Decision(Event.TAKEN_BACK, "", "what ran has ended; nothing is left to take back")
    sentence = ALL_BACK
    if view.keeping:
        sentence = f"{sentence}; a newer rollout has {view.keeping} of them"
    return Decision(Event.TAKEN_BACK, "", sentence)


def _against(view: View) -> Decision | None:
    """People who want it back or ended, and evidence that it is bad."""
    by = f" by {view.wish_by}" if view.wish_by else ""
    if view.wish == "revert":
        return Decision(Event.TAKE_BACK, "by_hand", f"taken back{by}")
    if view.wish == "abort":
        return Decision(Event.ABORT, "by_hand", f"ended{by}; hosts that have it keep it")
    if view.control_plane:
        return None
    for gate, judged in asked(view):
        fails = judged.result == FAIL or (
            judged.result == NO_EVIDENCE and gate.on_no_evidence == "fail" and _is_due(view)
        )
        if fails and not gate.shadow and not gate.holds_on_fail:
            code = "too_many_failures" if gate.kind == "proof" else "gate_failed"
            return Decision(Event.TAKE_BACK, code, f"gate {gate.title}: {judged.sentence}")
    return None


def _holds(view: View) -> Decision | None:
    """Why it should wait, the gravest reason; None where nothing keeps it."""
    if view.wish == "pause":
        by = f" by {view.wish_by}" if view.wish_by else ""
        return Decision(Event.HOLD, "paused", f"paused{by}")
    if view.control_plane:
        return Decision(Event.HOLD, "control_plane", view.control_plane)
    if view.metadata:
        return Decision(Event.HOLD, "metadata", view.metadata)
    if view.excused:
        return Decision(Event.HOLD, "excused", view.excused)
    if view.approval and view.phase is Phase.OPENING:
        return Decision(Event.HOLD, "approval", view.approval)
    if view.window and view.phase is not Phase.BAKING:
        return Decision(Event.HOLD, "window", view.window)
    for gate, judged in asked(view):
        if gate.shadow:
            continue
        if judged.result == FAIL:
            return Decision(Event.HOLD, "gate_holds", f"gate {gate.title}: {judged.sentence}")
        if judged.result == NO_EVIDENCE and gate.on_no_evidence != "pass" and _is_due(view):
            code = "approval" if gate.kind == "approval" else "no_evidence"
            return Decision(Event.HOLD, code, f"gate {gate.title}: {judged.sentence}")
    if view.pace.factor is None and (view.phase is Phase.OPENING or _is_due(view)):
        return Decision(Event.HOLD, "pace", view.pace.sentence)
    return None


def _is_due(view: View) -> bool:
    """Whether the wave could take its next step as far as time and hosts go."""
    if view.phase is Phase.BAKING:
        return view.now_ms >= view.bake_due_ms and not view.waiting and not view.in_flight
    return view.phase is Phase.OPENING


def _onward(view: View) -> Decision:
    if view.phase is Phase.OPENING:
        return Decision(Event.OPENED)
    if view.phase is Phase.ROLLING:
        return Decision(Event.SETTLED) if not view.waiting and not view.in_flight else _NOTHING
    if not _is_due(view):
        return _NOTHING
    return Decision(Event.FINISHED if view.last_wave else Event.NEXT)


def asked(view: View) -> list[tuple[Gate, Judgement]]:
    """The judgements of the gates that are asked in this phase."""
    return [(g, j) for g, j in view.judgements if view.phase in PHASES[g.kind]]


def control_plane_fault(
    *, untouched: int, untouched_silent: int, share: float, least: int, settling: bool,
    strain: str = "",
) -> str:  # fmt: skip
    """Why what is seen now may be our own fault, in a sentence; empty where it is not.

    *untouched* are hosts that the rollout has not given anything; when many of them fall silent
    too, the network or we are at fault, not the release. *settling* says that we just started,
    *strain* why our server keeps agents waiting.
    """
    if settling:
        return "the server has just started, and agents are still coming back"
    if strain:
        return strain
    if untouched_silent >= least and untouched_silent > share * untouched:
        return (
            f"{untouched_silent} of {untouched} hosts that did not get it are silent, too: the "
            "network or the server is at fault"
        )
    return ""
