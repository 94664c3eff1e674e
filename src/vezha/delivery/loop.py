"""`Delivery`: takes rollouts on, one small transaction after the other.

A step reads what there is, asks gates outside of any transaction, decides (`decide`, pure) and
writes the decision with its history in one transaction. It has no memory that matters: killed
anywhere and started again it goes on from the rows. Only one such loop acts at a time on a
rollout, since it locks the row and looks whether it is still as it was when it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, or_, select, update

from vezha.delivery import change as change_states
from vezha.delivery import limits
from vezha.delivery.attempt import Act as AttemptAct
from vezha.delivery.attempt import State as AttemptState
from vezha.delivery.attempt import step as attempt_step
from vezha.delivery.back import give_back, owned
from vezha.delivery.change import Kind
from vezha.delivery.decide import Decision, View, decide
from vezha.delivery.errors import NoSignals
from vezha.delivery.evidence import gather, predictability, service_level
from vezha.delivery.follow import CURSOR, follow
from vezha.delivery.freeze import Kept, keeps, read_windows
from vezha.delivery.gate import PHASES, Judgement, judge
from vezha.delivery.offer import Bounds, Candidate, Choice, choose
from vezha.delivery.outside import NoOutside, Outside
from vezha.delivery.pace import Pace, budget_left, pace
from vezha.delivery.rollout import OPEN, Event, Phase, State
from vezha.delivery.rollout import step as rollout_step
from vezha.delivery.rows import (
    BY_SYSTEM,
    Move,
    add_event,
    add_quarantine,
    apply_moves,
    drop_directives,
    move_change,
    next_generation,
    read_change,
    read_cursor,
    read_plan,
    read_rollout,
    write_directives,
)
from vezha.delivery.server_rules import NoRules, ServerRules, advance_rules
from vezha.delivery.signals import NoStore, Signals
from vezha.delivery.situation import (
    PlanView,
    Situation,
    approval_lacking,
    read_plan_view,
    read_scope,
    read_situation,
    silent_fault,
)
from vezha.delivery.spec import Gate
from vezha.delivery.tend import tend
from vezha.ledger import AnyRow, Ledger
from vezha.ledger.tables import attempt, host, progress, rollout, verdict
from vezha.world import World

_CHANGE_ACTS = {
    Event.HOLD: change_states.Act.HOLD,
    Event.GO_ON: change_states.Act.RESUME,
    Event.FINISHED: change_states.Act.FINISH,
    Event.TAKE_BACK: change_states.Act.TAKE_BACK,
    Event.TAKEN_BACK: change_states.Act.TAKEN_BACK,
    Event.ABORT: change_states.Act.CANCEL,
}
_OUTCOMES = {Event.FINISHED: "success", Event.TAKEN_BACK: "reverted", Event.ABORT: "cancelled"}


@dataclass(slots=True)
class _Judged:
    """What the gates said last of one wave in one phase."""

    key: tuple[int, str]
    at_ms: int = 0
    judgements: list[tuple[Gate, Judgement]] = field(default_factory=list)
    told: dict[str, tuple[str, int]] = field(default_factory=dict)
    fresh: list[tuple[Gate, Judgement, dict[str, Any]]] = field(default_factory=list)


class Delivery:
    """The delivery loop over one ledger. `step` blocks; call it from one thread."""

    def __init__(
        self,
        ledger: Ledger,
        world: World,
        signals: Signals | None = None,
        *,
        rules: ServerRules | None = None,
        outside: Outside | None = None,
        metadata: Callable[[], str] = str,
        on_directives: Callable[[], None] = lambda: None,
        settle_ms: int = limits.SETTLE_AFTER_START_MS,
    ) -> None:
        """*metadata* says why signed metadata keeps changes from going on (empty: it does not);
        *on_directives* is called after directives were written."""
        self._ledger = ledger
        self._world = world
        self._signals: Signals = signals or NoStore()
        self._rules: ServerRules = rules or NoRules()
        self._outside: Outside = outside or NoOutside()
        self._metadata = metadata
        self._on_directives = on_directives
        self._settled_s = world.clock.monotonic() + settle_ms / 1000
        self._plans: dict[int, PlanView] = {}
        self._judged: dict[int, _Judged] = {}
        self._paces: dict[int, tuple[int, Pace]] = {}
        self._labels: tuple[int, dict[int, Mapping[str, str]]] = (0, {})
        self._recent: dict[str, int] = {}
        self._up: tuple[int, Mapping[str, bool] | None] = (0, None)
        self._wrote = False
        self._tended_ms = 0

    def step(self) -> bool:
        """Take in what agents told and take each rollout on; whether anything changed."""
        changed = self._follow()
        for id_ in self._open():
            changed = self._advance(id_) or changed
        changed = self._tend() or changed
        if self._wrote:
            self._wrote = False
            self._on_directives()
        return changed

    def _tend(self) -> bool:
        now_ms = self.now_ms()
        if 0 <= now_ms - self._tended_ms < limits.TEND_EVERY_MS:
            return False
        self._tended_ms = now_ms
        up = self._ask_up(now_ms)
        if self._world.clock.monotonic() < self._settled_s:
            return False
        with self._ledger.begin() as connection:
            moved = tend(connection, self._plan, up, now_ms)
        self._wrote = self._wrote or moved > 0
        return moved > 0

    # Reading

    def now_ms(self) -> int:
        """The time of day in ms since the epoch."""
        return int(self._world.clock.now() * 1000)

    def _follow(self) -> bool:
        changed = False
        while True:
            with self._ledger.read() as connection:
                if not _has_progress(connection):
                    return changed
            with self._ledger.begin() as connection:
                new, moved = follow(connection, self.now_ms())
            changed = changed or moved > 0
            self._wrote = self._wrote or moved > 0
            if new < limits.PROGRESS_PER_STEP_MAX:
                return changed

    def _open(self) -> list[int]:
        with self._ledger.read() as connection:
            found = list(
                connection.execute(
                    select(rollout.c.id)
                    .where(
                        or_(
                            rollout.c.state.in_([s.value for s in OPEN]),
                            (rollout.c.state == State.DONE.value) & (rollout.c.wish == "revert"),
                        )
                    )
                    .order_by(rollout.c.id)
                ).scalars()
            )
        for known in (self._judged, self._paces):
            for id_ in [i for i in known if i not in found]:
                known.pop(id_)
        return found

    def _plan(self, connection: Connection, plan_id: int) -> PlanView:
        found = self._plans.get(plan_id)
        if found is None:
            self._plans[plan_id] = found = read_plan_view(read_plan(connection, plan_id))
        return found

    def _read(self, id_: int) -> tuple[Situation, str]:
        """The situation and why the plan is not approved."""
        now_ms = self.now_ms()
        with self._ledger.read() as connection:
            row = read_rollout(connection, id_)
            change_row = read_change(connection, row.change_id)
            plan = self._plan(connection, row.plan_id)
            situation = read_situation(connection, row, change_row, plan, now_ms)
            situation.windows = read_windows(connection, now_ms)
            lacking = ""
            if situation.phase is Phase.OPENING:
                lacking = approval_lacking(connection, situation)
            if now_ms - self._labels[0] >= limits.LABELS_EVERY_MS or not self._labels[1]:
                self._read_labels(connection, now_ms)
        situation.up = self._ask_up(now_ms)
        return situation, lacking

    def _read_labels(self, connection: Connection, now_ms: int) -> None:
        labels: dict[int, Mapping[str, str]] = {}
        recent: dict[str, int] = {}
        for row in connection.execute(
            select(host.c.id, host.c.name, host.c.labels, host.c.last_seen_ms)
        ):
            labels[row.id] = dict(row.labels)
            if row.last_seen_ms is not None and now_ms - row.last_seen_ms < limits.RECENT_MS:
                recent[row.name] = row.last_seen_ms
        self._labels, self._recent = (now_ms, labels), recent

    def _ask_up(self, now_ms: int) -> Mapping[str, bool] | None:
        if self._up[0] == 0 or not 0 <= now_ms - self._up[0] < limits.UP_EVERY_MS:
            self._up = (now_ms, self._signals.up(now_ms))
        return self._up[1]

    # Deciding

    def _advance(self, id_: int) -> bool:
        situation, lacking = self._read(id_)
        if situation.kind is Kind.RULES and advance_rules(self._ledger, self._rules, situation):
            return True
        settling = self._world.clock.monotonic() < self._settled_s
        fault = ""
        if situation.kind is not Kind.RULES:
            fault = silent_fault(situation, self._recent, settling)
        judged = self._judge(situation, fault)
        paced = self._pace(situation)
        choice = self._choose(situation)
        view = self._view(situation, judged, paced, choice, fault, lacking)
        decision = decide(view)
        with self._ledger.begin() as connection:
            row = read_rollout(connection, id_, lock=True)
            if row.revision != situation.row.revision:
                return False  # somebody wished something else meanwhile: look again
            return self._act(connection, situation, view, decision, judged, choice)

    def _judge(self, situation: Situation, fault: str) -> _Judged:
        row, now_ms = situation.row, situation.now_ms
        key = (row.wave, row.phase)
        judged = self._judged.get(row.id)
        if judged is None or judged.key != key:
            told = judged.told if judged is not None else {}
            judged = self._judged[row.id] = _Judged(key, told=told)
        if situation.state not in (State.RUNNING, State.HELD):
            judged.judgements, judged.fresh = [], []
            return judged
        gates = [
            g for g in situation.plan.gates
            if g.guards(situation.wave.name) and situation.phase in PHASES[g.kind]
        ]  # fmt: skip
        due = not 0 <= now_ms - judged.at_ms < limits.GATES_EVERY_MS
        # the proof is made of rows that are at hand; the others ask the store
        wanted = gates if due else [g for g in gates if g.kind == "proof"]
        needs = any(g.kind not in ("proof", "approval", "webhook") for g in wanted)
        outside = {}
        for gate in gates:
            if gate.kind == "webhook":
                found = self._outside.ask(f"{row.id}/{row.wave}/{gate.title}", gate.url,
                                          self._document(situation), now_ms)  # fmt: skip
                if found is not None:
                    outside[gate.title] = found
        with self._ledger.read() as connection:
            scope = read_scope(connection, situation, fault, outside, needs_hosts=needs)
        kept = {g.title: j for g, j in judged.judgements}
        judged.fresh = []
        for gate in wanted:
            evidence = gather(gate, scope, self._signals)
            found_judgement = judge(gate, evidence)
            kept[gate.title] = found_judgement
            judged.fresh.append((gate, found_judgement, evidence))
        judged.judgements = [(g, kept[g.title]) for g in gates if g.title in kept]
        if due:
            judged.at_ms = now_ms
        return judged

    def _document(self, situation: Situation) -> dict[str, Any]:
        """What a web hook is told."""
        row = situation.row
        return {
            "change": row.change_id, "rollout": row.id, "kind": situation.change.kind,
            "target": situation.plan.to.target, "sha256": situation.plan.to.sha256,
            "wave": situation.wave.name, "phase": row.phase, "counts": situation.flat_counts,
        }  # fmt: skip

    def _pace(self, situation: Situation) -> Pace:
        policy, now_ms, row = situation.plan.policy, situation.now_ms, situation.row
        if not policy.pace or situation.kind is Kind.RULES:
            return Pace(1.0, "the pace is fixed (policy.pace)")
        kept = self._paces.get(row.id)
        if kept is not None and 0 <= now_ms - kept[0] < limits.PACE_EVERY_MS:
            return kept[1]
        names = situation.plan.names
        left, predictable = None, None
        try:
            good, _ = service_level(
                policy.budget.expr, policy.budget.window_s, names, now_ms, self._signals
            )
            if good is not None:
                left = budget_left(good, policy.budget.objective)
            predictable = _middle(predictability("", names, now_ms, self._signals))
        except NoSignals:
            pass
        wave = situation.wave
        least = wave.least_s / wave.bake_s if wave.bake_s else 1.0
        made = pace(left, predictable, least)
        self._paces[row.id] = (now_ms, made)
        return made

    def _choose(self, situation: Situation) -> Choice:
        if not situation.waiting:
            return Choice()
        plan, row, now_ms = situation.plan, situation.row, situation.now_ms
        labels = self._labels[1]
        silent = [r for r in situation.reverting if situation.is_up(r.host)]
        busy_ids = [r.host_id for r in (*situation.in_flight, *silent)]
        away = sum(1 for id_, name in _members(plan) if not situation.is_up(name))
        away -= sum(1 for r in situation.in_flight if not situation.is_up(r.host))
        waiting = [
            Candidate(r.host_id, r.host, labels.get(r.host_id, {}), situation.is_up(r.host))
            for r in situation.waiting
        ]
        broken = row.break_glass_until_ms is not None and now_ms < row.break_glass_until_ms

        def kept_by(candidate: Candidate) -> Kept | None:
            if broken:
                return None
            return keeps(situation.windows, candidate.name, candidate.labels, now_ms)

        in_flight = len(situation.in_flight) + len(silent)
        return choose(
            waiting,
            Bounds(
                situation.wave.max_in_flight or plan.policy.max_in_flight,
                in_flight,
                # hosts that wait and are not there stay as they are: they are not away by us
                max(0, away - sum(not w.up for w in waiting)),
                plan.hosts,
                tuple(labels.get(i, {}) for i in busy_ids),
            ),
            plan.policy,
            since_ms=row.phase_since_ms,
            now_ms=now_ms,
            seed=row.change_id,
            keeps=kept_by,
            begun=situation.phase is Phase.ROLLING
            and len(situation.waiting) < len(plan.members[row.wave]),
            limit=limits.OFFERS_PER_STEP_MAX,
        )

    def _view(
        self, situation: Situation, judged: _Judged, paced: Pace, choice: Choice, fault: str,
        lacking: str,
    ) -> View:  # fmt: skip
        row = situation.row
        back = sum(1 for r in situation.reverting if situation.is_up(r.host))
        keeping = 0
        if situation.state is State.REVERTING:
            still = self._still_to_go_back(situation)
            back += still
            keeping = situation.total(AttemptState.PROVEN) - still
        factor = 1.0 if paced.factor is None else paced.factor
        bake_ms = int(situation.wave.bake_s * 1000 * factor)
        return View(
            situation.state,
            situation.phase,
            situation.is_last,
            situation.now_ms,
            row.phase_since_ms + bake_ms + row.bake_credit_ms,
            len(situation.waiting),
            len(situation.in_flight),
            keeping,
            back,
            row.wish,
            row.wish_by,
            fault,
            choice.all_kept,
            lacking,
            self._metadata() if situation.directive_kind else "",
            paced
            if not situation.is_last or situation.phase is Phase.OPENING
            else Pace(factor, ""),
            judged.judgements,
        )

    def _still_to_go_back(self, situation: Situation) -> int:
        if situation.kind is Kind.SCRIPT:
            return 0
        with self._ledger.read() as connection:
            return len(self._provens(connection, situation))

    def _provens(self, connection: Connection, situation: Situation) -> list[AnyRow]:
        """Hosts that run it by this rollout."""
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
        ours = owned(
            connection, situation.row.id, situation.directive_kind, situation.run,
            [r.host_id for r in rows],
        )  # fmt: skip
        return [r for r in rows if r.host_id in ours]

    # Acting

    def _act(
        self, connection: Connection, situation: Situation, view: View, decision: Decision,
        judged: _Judged, choice: Choice,
    ) -> bool:  # fmt: skip
        row, now_ms = situation.row, situation.now_ms
        values: dict[str, Any] = {}
        self._write_verdicts(connection, situation, judged)
        changed = False
        if not view.control_plane and situation.directive_kind:
            changed = self._lose_patience(connection, situation) or changed
        if decision.event is not None:
            done = self._transit(connection, situation, decision, values)
            changed = done or changed
        state = State(values.get("state", row.state))
        phase = Phase(values.get("phase", row.phase))
        if state is State.RUNNING and phase is Phase.ROLLING and situation.phase is Phase.ROLLING:
            changed = self._offer(connection, situation, choice) or changed
        if state is State.REVERTING:
            changed = self._take_back(connection, situation, decision) or changed
        if view.pace.factor != row.pace and state in (State.RUNNING, State.HELD):
            values["pace"] = view.pace.factor
        counts = situation.flat_counts
        if counts != row.counts:
            values["counts"] = counts
        if values or changed:
            connection.execute(
                update(rollout)
                .where(rollout.c.id == row.id)
                .values(**values, updated_ms=now_ms, revision=rollout.c.revision + 1)
            )
        return changed

    def _transit(
        self, connection: Connection, situation: Situation, decision: Decision,
        values: dict[str, Any],
    ) -> bool:  # fmt: skip
        row, now_ms, event = situation.row, situation.now_ms, decision.event
        assert event is not None
        if event is Event.HOLD and situation.state is State.HELD:
            # held already: only another reason is news
            if (row.reason_code, row.reason) == (decision.code, decision.sentence):
                return False
            values.update(reason_code=decision.code, reason=decision.sentence)
            if row.reason_code != decision.code:
                self._credit(row, now_ms, values, held_ms=now_ms)
                self._note(connection, situation, event, decision)
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
            self._credit(row, now_ms, values, held_ms=None)
        if event in _OUTCOMES:
            values["ended_ms"] = now_ms
        if event in (Event.TAKE_BACK, Event.ABORT):
            values.update(wish="run", wish_by="")
            self._end_waiting(connection, situation, decision)
        if event is Event.TAKE_BACK and decision.code != "by_hand":
            add_quarantine(
                connection, sha256=situation.plan.to.sha256, host_id=0, kind=situation.change.kind,
                target=situation.plan.to.target, reason=decision.code, detail=decision.sentence,
                rollout_id=row.id, now_ms=now_ms,
            )  # fmt: skip
        self._note(connection, situation, event, decision)
        return True

    def _credit(
        self, row: AnyRow, now_ms: int, values: dict[str, Any], *, held_ms: int | None
    ) -> None:
        """A hold ends or changes: while the fault was ours, nothing was watched."""
        if row.reason_code == "control_plane" and row.held_ms is not None:
            credit = values.get("bake_credit_ms", row.bake_credit_ms)
            values["bake_credit_ms"] = credit + max(0, now_ms - row.held_ms)
        values["held_ms"] = held_ms

    def _note(
        self, connection: Connection, situation: Situation, event: Event, decision: Decision
    ) -> None:
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
            add_event(
                connection, situation.change.id, "wave", BY_SYSTEM, words[event], now_ms, data
            )
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

    def _end_waiting(
        self, connection: Connection, situation: Situation, decision: Decision
    ) -> None:
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

    def _offer(self, connection: Connection, situation: Situation, choice: Choice) -> bool:
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
            detail = directive_detail(situation.change, plan)
            rows = [(id_, generations[id_], plan.to, detail) for id_ in choice.take]
            write_directives(
                connection, situation.directive_kind, situation.run, rows, row.id, now_ms
            )
            self._wrote = True
        return True

    def _lose_patience(self, connection: Connection, situation: Situation) -> bool:
        """Hosts that take too long are taken back, or left where they were before it began."""
        patience_ms = int(situation.plan.policy.patience_s * 1000)
        late = [
            r for r in situation.in_flight
            if situation.now_ms - (r.offered_ms or r.since_ms) > patience_ms
        ]  # fmt: skip
        if late:
            self._end_flight(connection, situation, late, None)
        stays = [
            r for r in situation.reverting
            if situation.now_ms - r.since_ms > patience_ms and situation.is_up(r.host)
        ]  # fmt: skip
        if stays:
            self._ask_again(connection, situation, stays)
        return bool(late or stays)

    def _ask_again(
        self, connection: Connection, situation: Situation, rows: Sequence[AnyRow]
    ) -> None:
        """Hosts that are there and do not go back are told so again, under a newer generation."""
        generation = give_back(
            connection, situation.row.id, situation.directive_kind, situation.run, rows,
            situation.now_ms,
        )  # fmt: skip
        self._wrote = True
        connection.execute(
            update(attempt)
            .where(
                attempt.c.rollout_id == situation.row.id,
                attempt.c.host_id.in_([r.host_id for r in rows]),
            )
            .values(generation=generation, since_ms=situation.now_ms, updated_ms=situation.now_ms)
        )

    def _end_flight(
        self, connection: Connection, situation: Situation, rows: Sequence[AnyRow],
        decision: Decision | None,
    ) -> None:  # fmt: skip
        """Take hosts in flight back; *decision* says why, None: they took too long."""
        now_ms, id_ = situation.now_ms, situation.row.id
        moves, back = [], []
        for row in rows:
            state, up = AttemptState(row.state), situation.is_up(row.host)
            act = AttemptAct.TAKE_BACK
            if decision is not None:
                code, text = decision.code, decision.sentence
            elif up:
                code, text = "stuck", f"it was {state.value} for too long (policy.patience_s)"
            else:
                code, text = "silent", f"it fell silent when it was {state.value}"
                if attempt_step(state, AttemptAct.SKIP) is not None:
                    act, code, text = AttemptAct.SKIP, "offline", f"it was away when {state.value}"
            if situation.kind is Kind.SCRIPT and act is AttemptAct.TAKE_BACK:
                act = AttemptAct.LEAVE
            after = attempt_step(state, act)
            assert after is not None, (state, act)
            moves.append((row, act, Move(id_, row.host_id, state, after, code, text)))
            back.append(row)
        if situation.kind is Kind.SCRIPT:
            drop_directives(
                connection, situation.directive_kind, situation.run, [r.host_id for r in back]
            )
            generation = None
        else:
            generation = give_back(
                connection, id_, situation.directive_kind, situation.run, back, now_ms
            )
        self._wrote = True
        done = []
        for _, act, move in moves:
            extra = {"generation": generation} if act is AttemptAct.TAKE_BACK else None
            done.append(Move(move.rollout_id, move.host_id, move.before, move.after, move.reason,
                             move.detail, 0, extra))  # fmt: skip
        apply_moves(connection, done, now_ms)

    def _take_back(self, connection: Connection, situation: Situation, decision: Decision) -> bool:
        """Hosts that have it are told to go back, as many at once as may be in flight."""
        if situation.kind is Kind.RULES:
            return self._take_back_rules(connection, situation)
        row = situation.row
        if decision.event is not Event.TAKE_BACK:
            code, text = row.reason_code, row.reason
            decision = Decision(None, code, text)
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
                self._end_flight(connection, situation, rows, decision)
                changed = True
        if situation.kind is Kind.SCRIPT:
            return changed
        busy = len(situation.in_flight) + sum(situation.is_up(r.host) for r in situation.reverting)
        room = min(situation.plan.policy.max_in_flight - busy, limits.OFFERS_PER_STEP_MAX)
        if room <= 0:
            return changed
        provens = self._provens(connection, situation)[:room]
        if not provens:
            return changed
        generation = give_back(
            connection, row.id, situation.directive_kind, situation.run, provens, situation.now_ms
        )
        self._wrote = True
        moves = [
            Move(row.id, r.host_id, AttemptState.PROVEN, AttemptState.REVERTING, decision.code,
                 decision.sentence, 0, {"generation": generation})
            for r in provens
        ]  # fmt: skip
        apply_moves(connection, moves, situation.now_ms)
        return True

    def _take_back_rules(self, connection: Connection, situation: Situation) -> bool:
        rows = connection.execute(
            select(attempt).where(
                attempt.c.rollout_id == situation.row.id,
                attempt.c.state.in_(
                    [s.value for s in (AttemptState.OFFERED, AttemptState.DOWNLOADED,
                                       AttemptState.STAGED, AttemptState.STARTED,
                                       AttemptState.PROVEN)]
                ),
            )
        ).all()  # fmt: skip
        moves = [
            Move(situation.row.id, r.host_id, AttemptState(r.state), AttemptState.REVERTING,
                 situation.row.reason_code, situation.row.reason)
            for r in rows
        ]  # fmt: skip
        return apply_moves(connection, moves, situation.now_ms) > 0

    def _write_verdicts(
        self, connection: Connection, situation: Situation, judged: _Judged
    ) -> None:
        """Keep what is news: another answer, or the same a good while later."""
        now_ms, row = situation.now_ms, situation.row
        rows = []
        for gate, judgement, evidence in judged.fresh:
            key = f"{row.wave}/{gate.title}"
            before = judged.told.get(key)
            same = before is not None and before[0] == judgement.result
            recent = before is not None and now_ms - before[1] < limits.VERDICT_AGAIN_MS
            if same and (gate.kind == "proof" or recent):
                continue
            judged.told[key] = (judgement.result, now_ms)
            rows.append(verdict_row(situation, gate, judgement, evidence))
        if rows:
            connection.execute(insert(verdict), rows)


def verdict_row(
    situation: Situation, gate: Gate, judgement: Judgement, evidence: Mapping[str, Any]
) -> dict[str, Any]:
    """A row of `verdict`."""
    return {
        "rollout_id": situation.row.id,
        "wave": situation.row.wave,
        "gate": gate.title,
        "kind": gate.kind,
        "spec": msgspec.to_builtins(gate),
        "shadow": gate.shadow,
        "result": judgement.result,
        "sentence": judgement.sentence,
        "measured": judgement.measured,
        "allowed": judgement.allowed,
        "samples": dict(evidence),
        "at_ms": situation.now_ms,
    }


def directive_detail(change_row: AnyRow, plan: PlanView) -> dict[str, Any]:
    """What a directive says besides the version."""
    detail: dict[str, Any] = {}
    if plan.policy.forced:
        detail["forced"] = True
    if plan.policy.watch_s and change_row.kind != Kind.SCRIPT.value:
        detail["watch_s"] = plan.policy.watch_s
    if change_row.kind == Kind.SCRIPT.value:
        detail["params"] = dict(change_row.params)
        detail["dry_run"] = plan.policy.dry_run
    return detail


def _members(plan: PlanView) -> list[tuple[int, str]]:
    return [member for wave in plan.members for member in wave]


def _middle(values: Mapping[str, float | None]) -> float | None:
    found = sorted(v for v in values.values() if v is not None)
    return found[len(found) // 2] if found else None


def _has_progress(connection: Connection) -> bool:
    after = read_cursor(connection, CURSOR)
    return (
        connection.execute(select(progress.c.id).where(progress.c.id > after).limit(1)).first()
        is not None
    )
