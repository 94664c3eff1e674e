"""A rollout under whatever people, hosts and kills may do to it, found by Hypothesis."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import select
from tests.unit.delivery.rolling import attempts, rollout_of, start

from vezha.delivery.desk import wish
from vezha.delivery.errors import WrongState
from vezha.delivery.rollout import TABLE as ROLLOUT_TABLE
from vezha.ledger import Ledger
from vezha.ledger.tables import attempt_event, directive, quarantine
from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.field import OLD, Field
from vezha.testing.fleet.killing import KilledLedger

EMPTY: list[Path] = []
IN_FLIGHT = ("offered", "downloaded", "staged", "started")
MAX_IN_FLIGHT = 2


@pytest.fixture(scope="module", autouse=True)
def _empty(migrated: Path) -> None:
    EMPTY.append(migrated)


class RolloutMachine(RuleBasedStateMachine):
    """Four hosts, of which some may be bad for the version."""

    @initialize(
        ends=st.sampled_from(["proven", "reverted", "refused", "hangs"]),
        share=st.sampled_from([0.3, 1.0]),
        seed=st.integers(0, 50),
    )
    def begin(self, ends: str, share: float, seed: int) -> None:
        self.folder = tempfile.mkdtemp()
        path = Path(self.folder) / "ledger.db"
        shutil.copyfile(EMPTY[0], path)
        self.ledger: Ledger = KilledLedger(path)
        self.field = Field(self.ledger, 4, seed)
        self.target = self.field.publish("2.0", Behaviour(ends, "crashed", share, step_s=1.0))
        self.id = start(
            self.field, self.target,
            waves=[{"name": "canary", "count": 1, "bake_s": 3}, {"name": "all", "bake_s": 3}],
            policy={"max_in_flight": MAX_IN_FLIGHT, "max_unavailable": 4, "patience_s": 10},
        )  # fmt: skip
        self.sha256 = next(s for s in [self._sha()] if s)
        self.loop = self.field.loop()
        self.states = ["running"]

    def _sha(self) -> str:
        import hashlib

        return hashlib.sha256(self.target.encode()).hexdigest()

    @rule(seconds=st.integers(1, 15))
    def time_passes(self, seconds: int) -> None:
        self.field.run(self.loop, seconds, each=self._note)

    @rule()
    def server_is_killed(self) -> None:
        self.loop = self.field.loop()
        self.field.gateway_down()

    @rule(act=st.sampled_from(["pause", "resume", "abort", "revert"]))
    def people_wish(self, act: str) -> None:
        try:
            with self.ledger.begin() as connection:
                wish(connection, self.id, act, "ann", self.field.now_ms)
        except WrongState:
            assert rollout_of(self.field, self.id).state in (
                "done",
                "reverting",
                "reverted",
                "aborted",
            )

    @rule(which=st.integers(0, 3), away=st.booleans())
    def host_goes_or_comes(self, which: int, away: bool) -> None:
        id_ = sorted(self.field.agents)[which]
        (self.field.away.add if away else self.field.away.discard)(id_)

    def _note(self) -> None:
        state = rollout_of(self.field, self.id).state
        if state != self.states[-1]:
            self.states.append(state)

    @invariant()
    def promises_hold(self) -> None:
        rows = attempts(self.field, self.id)
        flying = [a for a in rows.values() if a.state in IN_FLIGHT]
        assert len(flying) <= MAX_IN_FLIGHT
        assert len(rows) == 4  # nobody doubled, nobody lost
        with self.ledger.read() as connection:
            bad = {
                (q.sha256, q.host_id)
                for q in connection.execute(select(quarantine)) if q.lifted_ms is None
            }  # fmt: skip
            wanted = connection.execute(select(directive)).all()
            events = connection.execute(select(attempt_event).order_by(attempt_event.c.id)).all()
        for d in wanted:
            assert (d.sha256, d.host_id) not in bad, "offered what it went back from"
        # each history is a chain
        last: dict[int, str] = {}
        for e in events:
            assert e.from_state == last.get(e.host_id, "waiting")
            last[e.host_id] = e.to_state
        for agent in self.field.agents.values():
            assert agent.starts.get(self.sha256, 0) <= 2

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        # left alone, with everybody there, it comes to an end and strands nobody
        self.field.away.clear()
        if rollout_of(self.field, self.id).wish == "pause":
            self.people_wish("resume")
        self.field.run(self.loop, 400, until=self._quiet, each=self._note)
        assert self._quiet(), (rollout_of(self.field, self.id), attempts(self.field, self.id))
        allowed = {(r.state.value, r.to.value) for r in ROLLOUT_TABLE}
        seen = list(zip(self.states, self.states[1:], strict=False))
        # what passes between two looks may be two steps of the table
        reach = allowed | {(a, d) for a, b in allowed for c, d in allowed if b == c}
        assert set(seen) <= reach
        if rollout_of(self.field, self.id).state == "reverted":
            assert {a.running for a in self.field.agents.values()} == {OLD}
        self.ledger.close()
        shutil.rmtree(self.folder)

    def _quiet(self) -> bool:
        if rollout_of(self.field, self.id).state not in ("done", "reverted", "aborted"):
            return False
        busy = (*IN_FLIGHT, "reverting")
        return not any(a.state in busy for a in attempts(self.field, self.id).values())


RolloutMachine.TestCase.settings = settings(
    max_examples=8, stateful_step_count=12, deadline=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
TestRollout = RolloutMachine.TestCase
