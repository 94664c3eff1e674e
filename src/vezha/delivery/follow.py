"""Follows what agents tell: rows of `progress` become steps of attempts.

By a durable cursor, one transaction at a time. Rows just before the cursor are read again, since
of several writers the later number may be committed first; a step told twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, or_, select

from vezha.delivery.attempt import BAD, Act, State, act_of, step
from vezha.delivery.back import give_back
from vezha.delivery.change import DIRECTIVE_KINDS, Kind
from vezha.delivery.limits import PROGRESS_OVERLAP_ROWS, PROGRESS_PER_STEP_MAX, SENTENCE_CHARS_MAX
from vezha.delivery.reason import EXCUSED, EXCUSED_REFUSALS, SERVER_SIDED, sentence
from vezha.delivery.rollout import State as RolloutState
from vezha.delivery.rows import (
    Move,
    add_quarantine,
    apply_moves,
    pieces,
    read_cursor,
    write_cursor,
)
from vezha.delivery.spec import Policy
from vezha.ledger import AnyRow
from vezha.ledger.tables import attempt, change, progress, rollout

CURSOR = "delivery.progress"
_OPEN = (RolloutState.RUNNING.value, RolloutState.HELD.value)


class _Known:
    """An attempt as it is after the steps taken so far."""

    def __init__(self, row: AnyRow) -> None:
        self.row = row
        self.state = State(row.state)
        self.kind = DIRECTIVE_KINDS.get(Kind(row.change_kind), "")


def run_of(kind: Kind, rollout_id: int) -> str:
    """The name of a script's run; empty for the other kinds."""
    return f"r{rollout_id}" if kind is Kind.SCRIPT else ""


def follow(
    connection: Connection,
    policy_of: Callable[[Connection, int], Policy],
    fault_ms: int,
    now_ms: int,
) -> tuple[int, int]:
    """Take in what was told: how many rows were new, and how many steps they made. *policy_of*
    gives the policy of a plan, *fault_ms* is when last something was our own fault."""
    after = read_cursor(connection, CURSOR)
    rows = connection.execute(
        select(progress)
        .where(progress.c.id > after - PROGRESS_OVERLAP_ROWS)
        .order_by(progress.c.id)
        .limit(PROGRESS_PER_STEP_MAX + PROGRESS_OVERLAP_ROWS)
    ).all()
    new = sum(1 for row in rows if row.id > after)
    if not new:
        return 0, 0
    known = _read_known(connection, rows)
    moves: list[Move] = []
    back: dict[tuple[int, int, str, str], list[AnyRow]] = {}
    for row in rows:
        for found in known.get((row.host_id, row.generation), ()):
            if found.kind != row.kind:
                continue
            if row.step == "quarantined" and row.id > after:
                _quarantine(connection, row, found, now_ms)
            move = _move(row, found, fault_ms)
            if move is None:
                continue
            moves.append(move)
            found.state = move.after
            if move.after in BAD and found.kind != "script" and move.before is not State.REVERTING:
                if move.after is State.REVERTED:
                    _quarantine(connection, row, found, now_ms)
                key = (found.row.rollout_id, found.row.plan_id, found.kind, row.run)
                back.setdefault(key, []).append(found.row)
    apply_moves(connection, moves, now_ms)
    # the directive still says to run it: the host must not be asked again
    for (rollout_id, plan_id, kind, run), attempts in back.items():
        policy = policy_of(connection, plan_id)
        give_back(connection, rollout_id, kind, run, attempts, policy, now_ms)
    write_cursor(connection, CURSOR, max(row.id for row in rows))
    return new, len(moves)


def _read_known(connection: Connection, rows: Any) -> dict[tuple[int, int], list[_Known]]:
    hosts = sorted({row.host_id for row in rows})
    generations = sorted({row.generation for row in rows})
    out: dict[tuple[int, int], list[_Known]] = {}
    for part in pieces(hosts):
        found = connection.execute(
            select(
                attempt,
                rollout.c.generation.label("rollout_generation"),
                rollout.c.plan_id,
                rollout.c.state.in_(_OPEN).label("rollout_open"),
                change.c.kind.label("change_kind"),
                change.c.target,
                change.c.sha256,
            )
            .join(rollout, rollout.c.id == attempt.c.rollout_id)
            .join(change, change.c.id == rollout.c.change_id)
            .where(
                attempt.c.host_id.in_(part),
                or_(attempt.c.generation.in_(generations), rollout.c.generation.in_(generations)),
            )
        )
        for row in found:
            known = _Known(row)
            for generation in {row.generation, row.rollout_generation}:
                out.setdefault((row.host_id, generation), []).append(known)
    return out


def _move(row: AnyRow, found: _Known, fault_ms: int) -> Move | None:
    detail = row.detail if isinstance(row.detail, dict) else {}
    attempt_row = found.row
    if row.generation != attempt_row.generation and found.state is not State.REVERTING:
        return None  # of an earlier offer
    going_back = (
        found.state is State.REVERTING
        and row.generation == attempt_row.generation
        and row.generation != attempt_row.rollout_generation
    )
    exit_code = detail.get("exit_code")
    act = act_of(row.step, exit_code if isinstance(exit_code, int) else None, going_back=going_back)
    if act is None:
        return None
    if found.row.rollout_open and _is_excused(act, row, found, fault_ms):
        act = Act.TOLD_EXCUSED if step(found.state, Act.TOLD_EXCUSED) else act
    after = step(found.state, act)
    if after is None:
        return None
    reason = row.reason
    extra: dict[str, Any] = {}
    if row.step == "finished":
        extra["result"] = detail
        reason = reason or ("" if after is State.PROVEN else "exit_code")
    said = str(detail.get("text") or detail.get("error") or "")
    if after is State.REVERTED and found.state is State.REVERTING:
        # why it was taken back, not how
        reason, said = attempt_row.reason, attempt_row.detail
    text = said or (sentence(reason) if reason else "")
    return Move(
        attempt_row.rollout_id, attempt_row.host_id, found.state, after, reason,
        text[:SENTENCE_CHARS_MAX], row.at_ms, extra or None,
    )  # fmt: skip


def _is_excused(act: Act, row: AnyRow, found: _Known, fault_ms: int) -> bool:
    """Whether a way back or a refusal says nothing against the version: for what the host itself knows,
    or since what did not arrive here may not have arrived because of us."""
    if act is Act.TOLD_REFUSED:
        return row.reason in EXCUSED_REFUSALS
    if act is not Act.TOLD_REVERTED:
        return False
    while_offered = found.row.offered_ms is not None and fault_ms >= found.row.offered_ms
    return row.reason in EXCUSED or (row.reason in SERVER_SIDED and while_offered)


def _quarantine(connection: Connection, row: AnyRow, found: _Known, now_ms: int) -> None:
    if row.sha256 != found.row.sha256:
        return  # of what it went back to, not of what was delivered
    if found.state is State.WAITING:
        return  # its agent blames the version, we know better: it is offered again
    add_quarantine(
        connection, sha256=row.sha256, host_id=row.host_id, kind=found.row.change_kind,
        target=found.row.target, reason=row.reason, detail=sentence(row.reason),
        rollout_id=found.row.rollout_id, now_ms=now_ms,
    )  # fmt: skip
