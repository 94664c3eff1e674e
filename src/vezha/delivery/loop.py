"""`Delivery`: takes rollouts on, one small transaction after the other.

A step reads what there is, asks gates outside of any transaction, decides (`decide`, pure) and
writes the decision with its history in one transaction. It has no memory that matters: killed
anywhere and started again it goes on from the rows. Only one such loop acts at a time on a
rollout, since it locks the row and looks whether it is still as it was when it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, or_, select, update

from vezha.delivery import limits
from vezha.delivery.attempt import State as AttemptState
from vezha.delivery.back import TAKES, Claim
from vezha.delivery.change import Kind
from vezha.delivery.decide import Decision, View, decide
from vezha.delivery.flight import Flight, provens
from vezha.delivery.follow import CURSOR, follow
from vezha.delivery.freeze import Kept, keeps, read_windows
from vezha.delivery.offer import Bounds, Candidate, Choice, choose
from vezha.delivery.outside import NoOutside, Outside
from vezha.delivery.pace import Pace
from vezha.delivery.rollout import OPEN, Phase, State
from vezha.delivery.rows import lock_delivery, read_change, read_cursor, read_plan, read_rollout
from vezha.delivery.server_rules import NoRules, ServerRules, advance_rules
from vezha.delivery.signals import NoStore, Signals
from vezha.delivery.situation import (
    PlanView,
    Situation,
    approval_lacking,
    read_plan_view,
    read_situation,
    silent_fault,
)
from vezha.delivery.spec import Policy
from vezha.delivery.tend import tend
from vezha.delivery.transition import transit
from vezha.delivery.verdict import Judged, Verdicts, write_verdicts
from vezha.ledger import Ledger
from vezha.ledger.tables import host, progress, rollout
from vezha.world import World


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
        self._verdicts = Verdicts(ledger, self._signals, outside or NoOutside())
        self._metadata = metadata
        self._on_directives = on_directives
        self._settled_s = world.clock.monotonic() + settle_ms / 1000
        self._plans: dict[int, PlanView] = {}
        self._labels: tuple[int, dict[int, Mapping[str, str]]] = (0, {})
        self._recent: dict[str, int] = {}
        self._up: tuple[int, Mapping[str, bool] | None, str] = (0, None, "")
        # a start of ours is a fault of ours
        self._fault_ms = self.now_ms() if settle_ms else 0
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
            lock_delivery(connection)
            moved = tend(connection, self._plan, up, self._fault_ms, now_ms)
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
            self._ask_up(self.now_ms())  # whether it may be our own doing, what they tell
            with self._ledger.begin() as connection:
                lock_delivery(connection)
                new, moved = follow(connection, self._policy, self._fault_ms, self.now_ms())
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
        self._verdicts.forget_all_but(found)
        return found

    def _plan(self, connection: Connection, plan_id: int) -> PlanView:
        found = self._plans.get(plan_id)
        if found is None:
            self._plans[plan_id] = found = read_plan_view(read_plan(connection, plan_id))
        return found

    def _policy(self, connection: Connection, plan_id: int) -> Policy:
        return self._plan(connection, plan_id).policy

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
        situation.up, situation.strain = self._ask_up(now_ms), self._up[2]
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
            self._up = (now_ms, self._signals.up(now_ms), self._signals.strain(now_ms))
            if self._up[2]:
                self._fault_ms = now_ms
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
        if fault:
            self._fault_ms = situation.now_ms
        judged = self._verdicts.ask(situation, fault)
        paced = self._verdicts.pace(situation)
        choice = self._choose(situation)
        view = self._view(situation, judged, paced, choice, fault, lacking)
        decision = decide(view)
        with self._ledger.begin() as connection:
            lock_delivery(connection)
            row = read_rollout(connection, id_, lock=True)
            if row.revision != situation.row.revision:
                return False  # somebody wished something else meanwhile: look again
            return self._act(connection, situation, view, decision, judged, choice)

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
            Candidate(
                r.host_id,
                r.host,
                labels.get(r.host_id, {}),
                situation.is_up(r.host),
                0 if r.generation is None else r.since_ms + limits.EXCUSED_WAIT_MS,
            )
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
        self, situation: Situation, judged: Judged, paced: Pace, choice: Choice, fault: str,
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
            situation.excused,
            paced
            if not situation.is_last or situation.phase is Phase.OPENING
            else Pace(factor, ""),
            judged.judgements,
            leaves_nothing=situation.kind is Kind.SCRIPT,
        )

    def _still_to_go_back(self, situation: Situation) -> int:
        if situation.kind is Kind.SCRIPT:
            return 0
        with self._ledger.read() as connection:
            return len(provens(connection, situation, *TAKES, Claim.WAIT))

    # Acting

    def _act(
        self, connection: Connection, situation: Situation, view: View, decision: Decision,
        judged: Judged, choice: Choice,
    ) -> bool:  # fmt: skip
        row, now_ms = situation.row, situation.now_ms
        values: dict[str, Any] = {}
        flight = Flight(connection, situation)
        write_verdicts(connection, situation, judged)
        changed = False
        if not view.control_plane and situation.directive_kind:
            changed = flight.lose_patience(self._fault_ms) or changed
        if decision.event is not None:
            changed = transit(connection, situation, decision, values) or changed
        state = State(values.get("state", row.state))
        phase = Phase(values.get("phase", row.phase))
        if state is State.RUNNING and phase is Phase.ROLLING and situation.phase is Phase.ROLLING:
            changed = flight.offer(choice) or changed
        if state is State.REVERTING:
            changed = flight.take_back(decision) or changed
        self._wrote = self._wrote or flight.wrote
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


def _members(plan: PlanView) -> list[tuple[int, str]]:
    return [member for wave in plan.members for member in wave]


def _has_progress(connection: Connection) -> bool:
    after = read_cursor(connection, CURSOR)
    return (
        connection.execute(select(progress.c.id).where(progress.c.id > after).limit(1)).first()
        is not None
    )
