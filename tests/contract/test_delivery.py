"""Rollouts from plan to end with the ledger on PostgreSQL; on SQLite they are tested in `unit`."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select
from tests.databases import make_empty
from tests.unit.delivery.rolling import (
    attempts,
    change_of,
    directives,
    report_running,
    rollout_of,
    start,
    state_of,
)

from vezha.delivery.desk import wish
from vezha.ledger import Ledger
from vezha.ledger.tables import attempt_event, quarantine
from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.field import OLD, Field

ENDS = ("done", "reverted", "aborted")


@pytest.fixture(scope="module")
def migrated(postgresql: str) -> Iterator[Ledger]:
    opened = Ledger.open(postgresql)
    make_empty(opened)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def field(migrated: Ledger) -> Field:
    """A fleet of its own, on a ledger that is empty again."""
    make_empty(migrated)
    migrated.migrate()
    return Field(migrated, 6)


def over(field: Field, *rollouts: int) -> bool:
    return all(state_of(field, id_) in ENDS for id_ in rollouts)


def revert(field: Field, id_: int) -> None:
    with field.ledger.begin() as connection:
        wish(connection, id_, "revert", "ann", field.now_ms)


def test_a_good_release_from_plan_to_done(field: Field) -> None:
    assert field.ledger.kind == "postgresql"
    id_ = start(field, field.publish("2.0"))
    assert field.run(field.loop(), 300, until=lambda: over(field, id_))
    assert state_of(field, id_) == "done"
    assert {a.state for a in attempts(field, id_).values()} == {"proven"}
    assert (change_of(field, id_).state, change_of(field, id_).outcome) == ("done", "success")


def test_a_bad_release_stops_at_the_canary(field: Field) -> None:
    id_ = start(field, field.publish("2.0", Behaviour("reverted", "cpu")))
    assert field.run(field.loop(), 300, until=lambda: over(field, id_))
    assert state_of(field, id_) == "reverted"
    assert "(cpu)" in rollout_of(field, id_).reason
    states = sorted(a.state for a in attempts(field, id_).values())
    assert states == ["reverted", *["skipped"] * 5]
    assert {agent.running for agent in field.agents.values()} == {OLD}
    with field.ledger.read() as connection:
        assert len(connection.execute(select(quarantine)).all()) == 2


def test_ways_back_that_meet_leave_nobody_behind(field: Field) -> None:
    rollouts = []
    for version in ("2.0", "3.0"):
        rollouts.append(start(field, field.publish(version)))
        assert field.run(field.loop(), 300, until=lambda: over(field, *rollouts))
        report_running(field)
    loop = field.loop()
    revert(field, rollouts[1])
    field.run(loop, 1)
    revert(field, rollouts[0])
    assert field.run(loop, 300, until=lambda: over(field, *rollouts))
    field.run(loop, 30)
    assert {agent.running for agent in field.agents.values()} == {OLD}
    for id_ in rollouts:
        assert {a.state for a in attempts(field, id_).values()} == {"reverted"}


def test_a_script_runs_once_on_each_host(field: Field) -> None:
    id_ = start(field, field.publish("1", kind="script"), kind="script")
    assert field.run(field.loop(), 300, until=lambda: over(field, id_))
    assert state_of(field, id_) == "done"
    assert all(agent.runs == {f"r{id_}": 1} for agent in field.agents.values())


def test_two_loops_at_once_do_no_step_twice(field: Field) -> None:
    """Two servers by mistake: rows are locked, and each step is taken by one of them."""
    id_ = start(field, field.publish("2.0"))
    loops = [field.loop(), field.loop()]
    faults: list[BaseException] = []

    def step(which: int) -> None:
        try:
            loops[which].step()
        except BaseException as fault:
            faults.append(fault)

    for _ in range(120):
        field.pass_messages()
        threads = [threading.Thread(target=step, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        if over(field, id_):
            break
        field.clock.now_s += 1
    assert faults == []
    assert state_of(field, id_) == "done"
    assert len(directives(field)) == 6
    with field.ledger.read() as connection:
        counted = connection.execute(
            select(attempt_event.c.to_state, func.count()).group_by(attempt_event.c.to_state)
        ).all()
    assert {row[0]: row[1] for row in counted} == dict.fromkeys(
        ("offered", "downloaded", "staged", "started", "proven"), 6
    )
