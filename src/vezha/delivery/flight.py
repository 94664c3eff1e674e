"""The hosts of one rollout in one transaction: offered, given up, told to go back.

The rollout's row is locked by the caller, so that what was read of its hosts is how they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from vezha.delivery import limits
from vezha.delivery.attempt import IN_FLIGHT
from vezha.delivery.attempt import Act as AttemptAct
from vezha.delivery.attempt import State as AttemptState
from vezha.delivery.attempt import step as attempt_step
from vezha.delivery.back import TAKES, Claim, claims, give_back
from vezha.delivery.change import Kind
from vezha.delivery.decide import Decision
from vezha.delivery.offer import Choice
from vezha.delivery.rollout import Event
from vezha.delivery.rows import (
    Move,
    apply_moves,
    drop_directives,
    next_generation,
    write_directives,
)
from vezha.delivery.situation import Situation
from vezha.delivery.spec import Policy
from vezha.ledger import AnyRow
from vezha.ledger.tables import attempt


class Flight:
    """Acts on the hosts of one rollout. `wrote` says whether directives were written."""

    def __init__(self, connection: Connection, situation: Situation) -> None:
        self._connection = connection
        self._situation = situation
        self.wrote = False

    def offer(self, choice: Choice) -> bool:
        """Offer the version to whom was chosen; leave out who stays away."""
        connection, situation = self._connection, self._situation
        row, now_ms, plan = situation.row, situation.now_ms, situation.plan
        # who was offered it before has seen that generation: agents want a newer one
        again = {r.host_id for r in situation.waiting if r.generation is not None}
        newer = next_generation(connection, now_ms) if again else row.generation
        generations = {id_: newer if id_ in again else row.generation for id_ in choice.take}
        moves = [
            Move(row.id, id_, AttemptState.WAITING, AttemptState.OFFERED, extra={
                "generation": generations[id_], "offered_ms": now_ms,
            })
            for id_ in choice.take
        ]  # fmt: skip
        alone = not situation.in_flight and not choice.take and not choice.kept and not choice.waits
        if alone and choice.offline and now_ms - row.phase_since_ms >= limits.OFFLINE_GRACE_MS:
            moves += [
                Move(row.id, id_, AttemptState.WAITING, AttemptState.SKIPPED, "offline",
                     "it was not connected when its wave came")
                for id_ in choice.offline
            ]  # fmt: skip
        if not moves:
            return False
        apply_moves(connection, moves, now_ms)
        if situation.directive_kind and choice.take:
            detail = directive_detail(situation.change, plan.policy)
            # its agent may have put the version in quarantine for what was our own fault
            excused = {**detail, "forced": True}
            rows = [
                (id_, generations[id_], plan.to, excused if id_ in again else detail)
                for id_ in choice.take
            ]
            write_directives(
                connection, situation.directive_kind, situation.run, rows, row.id, now_ms
            )
            self.wrote = True
        return True

    def lose_patience(self, fault_ms: int) -> bool:
        """Hosts that take too long are taken back, or left where they were before it began. Time
        until *fault_ms*, when the fault was ours, does not count."""
        situation = self._situation
        patience_ms = int(situation.plan.policy.patience_s * 1000)
        late = [
            r for r in situation.in_flight
            if situation.now_ms - max(r.offered_ms or r.since_ms, fault_ms) > patience_ms
        ]  # fmt: skip
        if late:
            self._end(late, None)
        stays = [
            r for r in situation.reverting
            if situation.now_ms - max(r.since_ms, fault_ms) > patience_ms and situation.is_up(r.host)
        ]  # fmt: skip
        if stays:
            self._ask_again(stays)
        return bool(late or stays)

    def _ask_again(self, rows: Sequence[AnyRow]) -> None:
        """Hosts that are there and do not go back are told so again, under a newer generation."""
        situation = self._situation
        generation, told = self._give_back(rows)
        of = (
            attempt.c.rollout_id == situation.row.id,
            attempt.c.host_id.in_([r.host_id for r in rows]),
        )
        values = {"since_ms": situation.now_ms, "updated_ms": situation.now_ms}
        self._connection.execute(update(attempt).where(*of).values(**values))
        # the others wait for the proof of who has them
        self._connection.execute(
            update(attempt).where(of[0], attempt.c.host_id.in_(told)).values(generation=generation)
        )

    def _give_back(self, rows: Sequence[AnyRow]) -> tuple[int, set[int]]:
        situation = self._situation
        self.wrote = True
        return give_back(
            self._connection, situation.row.id, situation.directive_kind, situation.run, rows,
            situation.plan.policy, situation.now_ms,
        )  # fmt: skip

    def _end(self, rows: Sequence[AnyRow], decision: Decision | None) -> None:
        """Take hosts in flight back; *decision* says why, None: they took too long."""
        connection, situation = self._connection, self._situation
        ends = [self._end_of(row, decision) for row in rows]
        generation, told = 0, set[int]()
        if situation.kind is Kind.SCRIPT:
            hosts = [r.host_id for r in rows]
            drop_directives(connection, situation.directive_kind, situation.run, hosts)
            self.wrote = True
        else:
            generation, told = self._give_back(rows)
        moves = []
        for row, (act, code, text) in zip(rows, ends, strict=True):
            before = AttemptState(row.state)
            after = attempt_step(before, act)
            assert after is not None, (before, act)
            goes_back = act is AttemptAct.TAKE_BACK and row.host_id in told
            extra = {"generation": generation} if goes_back else None
            moves.append(Move(situation.row.id, row.host_id, before, after, code, text, 0, extra))
        apply_moves(connection, moves, situation.now_ms)

    def _end_of(self, row: AnyRow, decision: Decision | None) -> tuple[AttemptAct, str, str]:
        """How a host in flight ends: the act, the code and the sentence of why."""
        state, act = AttemptState(row.state), AttemptAct.TAKE_BACK
        if decision is not None:
            code, text = decision.code, decision.sentence
        elif self._situation.is_up(row.host):
            code, text = "stuck", f"it was {state.value} for too long (policy.patience_s)"
        else:
            code, text = "silent", f"it fell silent when it was {state.value}"
            if attempt_step(state, AttemptAct.SKIP) is not None:
                act, code, text = AttemptAct.SKIP, "offline", f"it was away when {state.value}"
        if self._situation.kind is Kind.SCRIPT and act is AttemptAct.TAKE_BACK:
            act = AttemptAct.LEAVE
        return act, code, text

    def take_back(self, decision: Decision) -> bool:
        """Hosts that have it are told to go back, as many at once as may be in flight."""
        connection, situation = self._connection, self._situation
        if situation.kind is Kind.RULES:
            return self._take_back_rules()
        row = situation.row
        if decision.event is not Event.TAKE_BACK:
            decision = Decision(None, row.reason_code, row.reason)
        changed = False
        if situation.in_flight:
            # what was told in this very step is there already; read again
            rows = list(
                connection.execute(
                    select(attempt).where(
                        attempt.c.rollout_id == row.id,
                        attempt.c.state.in_([r.state for r in situation.in_flight]),
                    )
                )
            )
            if rows:
                self._end(rows, decision)
                changed = True
        if situation.kind is Kind.SCRIPT:
            return changed
        busy = len(situation.in_flight) + sum(situation.is_up(r.host) for r in situation.reverting)
        room = min(situation.plan.policy.max_in_flight - busy, limits.OFFERS_PER_STEP_MAX)
        found = provens(connection, situation, *TAKES)[:room] if room > 0 else []
        if not found:
            return changed
        generation, _ = self._give_back(found)
        moves = [
            Move(row.id, r.host_id, AttemptState.PROVEN, AttemptState.REVERTING, decision.code,
                 decision.sentence, 0, {"generation": generation})
            for r in found
        ]  # fmt: skip
        apply_moves(connection, moves, situation.now_ms)
        return True

    def _take_back_rules(self) -> bool:
        situation = self._situation
        rows = self._connection.execute(
            select(attempt).where(
                attempt.c.rollout_id == situation.row.id,
                attempt.c.state.in_([s.value for s in (*IN_FLIGHT, AttemptState.PROVEN)]),
            )
        ).all()
        moves = [
            Move(situation.row.id, r.host_id, AttemptState(r.state), AttemptState.REVERTING,
                 situation.row.reason_code, situation.row.reason)
            for r in rows
        ]  # fmt: skip
        return apply_moves(self._connection, moves, situation.now_ms) > 0


def provens(connection: Connection, situation: Situation, *wanted: Claim) -> list[AnyRow]:
    """Attempts of hosts that run it by this rollout, of which it has one of these claims."""
    rows = list(
        connection.execute(
            select(attempt).where(
                attempt.c.rollout_id == situation.row.id,
                attempt.c.state == AttemptState.PROVEN.value,
            )
        )
    )
    if situation.kind is Kind.RULES:
        return rows
    found = claims(
        connection, situation.row.id, situation.directive_kind, situation.run,
        [r.host_id for r in rows],
    )  # fmt: skip
    return [r for r in rows if found[r.host_id][0] in wanted]


def directive_detail(change_row: AnyRow, policy: Policy) -> dict[str, Any]:
    """What a directive says besides the version."""
    detail: dict[str, Any] = {}
    if policy.forced:
        detail["forced"] = True
    if policy.watch_s and change_row.kind != Kind.SCRIPT.value:
        detail["watch_s"] = policy.watch_s
    if change_row.kind == Kind.SCRIPT.value:
        detail["params"] = dict(change_row.params)
        detail["dry_run"] = policy.dry_run
    return detail
