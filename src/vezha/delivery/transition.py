"""A decision becomes rows: a rollout takes a step, its change follows, the timeline tells.

Acts within the caller's transaction, which holds the rollout's lock.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from vezha.delivery import change as change_states
from vezha.delivery.attempt import State as AttemptState
from vezha.delivery.change import Kind
from vezha.delivery.decide import Decision
from vezha.delivery.rollout import Event, State
from vezha.delivery.rollout import step as rollout_step
from vezha.delivery.rows import (
    BY_SYSTEM,
    Move,
    add_event,
    add_quarantine,
    apply_moves,
    move_change,
    read_change,
)
from vezha.delivery.situation import Situation
from vezha.ledger import AnyRow
from vezha.ledger.tables import attempt

_CHANGE_ACTS = {
    Event.HOLD: change_states.Act.HOLD,
    Event.GO_ON: change_states.Act.RESUME,
    Event.FINISHED: change_states.Act.FINISH,
    Event.TAKE_BACK: change_states.Act.TAKE_BACK,
    Event.TAKEN_BACK: change_states.Act.TAKEN_BACK,
    Event.ABORT: change_states.Act.CANCEL,
}
_OUTCOMES = {Event.FINISHED: "success", Event.TAKEN_BACK: "reverted", Event.ABORT: "cancelled"}


def transit(
    connection: Connection, situation: Situation, decision: Decision, values: dict[str, Any]
) -> bool:
    """Let the decision's event happen; *values* are filled with the columns of the rollout that
    change. Whether anything did."""
    row, now_ms, event = situation.row, situation.now_ms, decision.event
    assert event is not None
    if event is Event.HOLD and situation.state is State.HELD:
        # held already: only another reason is news
        if (row.reason_code, row.reason) == (decision.code, decision.sentence):
            return False
        values.update(reason_code=decision.code, reason=decision.sentence)
        if row.reason_code != decision.code:
            _credit(row, now_ms, values, held_ms=now_ms)
            _note(connection, situation, event, decision)
        return True
    found = rollout_step(situation.state, situation.phase, event)
    assert found is not None, (situation.state, situation.phase, event)
    state, phase = found
    values.update(state=state.value, reason_code=decision.code, reason=decision.sentence)
    if event is Event.TAKEN_BACK:
        # why it was taken back is what people will ask
        values.update(reason_code=row.reason_code, reason=f"{row.reason}; {decision.sentence}")
    if phase is not situation.phase:
        values.update(phase=phase.value, phase_since_ms=now_ms, bake_credit_ms=0)
    if event is Event.NEXT:
        values["wave"] = row.wave + 1
    if event is Event.HOLD:
        values["held_ms"] = now_ms
    elif row.held_ms is not None:
        _credit(row, now_ms, values, held_ms=None)
    if event in _OUTCOMES:
        values["ended_ms"] = now_ms
    if event in (Event.TAKE_BACK, Event.ABORT):
        values.update(wish="run", wish_by="")
        _end_waiting(connection, situation, decision)
    blames = event is Event.TAKE_BACK and decision.code != "by_hand"
    # a script that found something, or was given the wrong parameters, is not a bad version
    if blames and situation.kind is not Kind.SCRIPT:
        add_quarantine(
            connection, sha256=situation.plan.to.sha256, host_id=0, kind=situation.change.kind,
            target=situation.plan.to.target, reason=decision.code, detail=decision.sentence,
            rollout_id=row.id, now_ms=now_ms,
        )  # fmt: skip
    _note(connection, situation, event, decision)
    return True


def _credit(row: AnyRow, now_ms: int, values: dict[str, Any], *, held_ms: int | None) -> None:
    """A hold ends or changes: while the fault was ours, nothing was watched."""
    if row.reason_code == "control_plane" and row.held_ms is not None:
        credit = values.get("bake_credit_ms", row.bake_credit_ms)
        values["bake_credit_ms"] = credit + max(0, now_ms - row.held_ms)
    values["held_ms"] = held_ms


def _note(connection: Connection, situation: Situation, event: Event, decision: Decision) -> None:
    """The change follows its rollout; its timeline tells."""
    now_ms, row = situation.now_ms, situation.row
    act = _CHANGE_ACTS.get(event)
    data = {"rollout": row.id, "wave": row.wave, "code": decision.code}
    text = decision.sentence
    if act is None:
        words = {
            Event.OPENED: f"wave {situation.wave.name} begins",
            Event.SETTLED: f"all hosts of wave {situation.wave.name} are through; it is watched",
            Event.NEXT: f"wave {situation.wave.name} held its ground",
        }
        add_event(connection, situation.change.id, "wave", BY_SYSTEM, words[event], now_ms, data)
        return
    current = read_change(connection, situation.change.id)
    if change_states.step(change_states.State(current.state), act) is None:
        return
    values: dict[str, Any] = {"reason": text}
    if event in _OUTCOMES:
        values.update(outcome=_OUTCOMES[event], ended_ms=now_ms)
    if event is Event.FINISHED:
        text = text or f"{situation.total(AttemptState.PROVEN)} hosts run it"
    actor = row.wish_by if decision.code in ("by_hand", "paused") and row.wish_by else BY_SYSTEM
    move_change(
        connection, current, act, actor=actor, now_ms=now_ms, text=text, data=data, **values
    )


def _end_waiting(connection: Connection, situation: Situation, decision: Decision) -> None:
    """Hosts whose turn did not come stay as they are."""
    rows = connection.execute(
        select(attempt.c.host_id).where(
            attempt.c.rollout_id == situation.row.id,
            attempt.c.state == AttemptState.WAITING.value,
        )
    ).scalars()
    code = "aborted" if decision.event is Event.ABORT else decision.code
    moves = [
        Move(situation.row.id, id_, AttemptState.WAITING, AttemptState.SKIPPED, code,
             decision.sentence)
        for id_ in rows
    ]  # fmt: skip
    apply_moves(connection, moves, situation.now_ms)
