"""Ways back that meet: which rollout takes a host back, to what, and watched for how long."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
from sqlalchemy import select
from tests.unit.delivery.rolling import (
    attempts,
    directives,
    report_running,
    rollout_of,
    start,
    state_of,
)

from vezha.delivery.back import TABLE, TAKES, Holder, Way, claim
from vezha.delivery.desk import wish
from vezha.ledger import Ledger
from vezha.ledger.tables import attempt
from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.field import OLD, OLD_TARGET, Field

WATCH_S = 7
WAVES = ({"name": "all", "bake_s": 1},)
POLICY = {"max_in_flight": 5, "max_unavailable": 0.9, "watch_s": WATCH_S}


def over(field: Field, *rollouts: int) -> bool:
    return all(state_of(field, id_) in ("done", "reverted", "aborted") for id_ in rollouts)


def over_back(field: Field, id_: int) -> bool:
    return state_of(field, id_) == "reverted"


def revert(field: Field, id_: int) -> None:
    with field.ledger.begin() as connection:
        wish(connection, id_, "revert", "ann", field.now_ms)


def delivered(field: Field, version: str, **options: object) -> tuple[int, str]:
    """A rollout of that version that is done, and its target."""
    target = field.publish(version)
    id_ = start(field, target, waves=WAVES, policy={**POLICY, **options})
    assert field.run(field.loop(), 300, until=lambda: over(field, id_))
    report_running(field)
    return id_, target


@pytest.mark.parametrize(("holder", "way"), list(itertools.product(Holder, Way)))
def test_each_case_has_one_answer(holder: Holder, way: Way) -> None:
    rows = [row for row in TABLE if row.holder is holder and row.way in (None, way)]
    assert len(rows) == 1
    # nobody is taken from a rollout that is not being taken back
    takes = claim(holder, way) in TAKES
    assert takes == (holder is Holder.OURS or (holder, way) == (Holder.NEWER, Way.TO_OURS))


def test_the_way_back_is_watched_as_long_as_the_policy_says(ledger: Ledger) -> None:
    field = Field(ledger, 3)
    id_, _ = delivered(field, "2.0")
    revert(field, id_)
    assert field.run(field.loop(), 300, until=lambda: state_of(field, id_) == "reverted")
    told = directives(field).values()
    assert {d.target for d in told} == {OLD_TARGET}
    assert all(d.detail == {"forced": True, "watch_s": WATCH_S} for d in told)


def test_also_when_a_host_went_back_by_itself(ledger: Ledger) -> None:
    field = Field(ledger, 3)
    id_ = start(field, field.publish("2.0", Behaviour("reverted", "crashed")), policy=POLICY)
    assert field.run(field.loop(), 300, until=lambda: over(field, id_))
    assert [d.detail.get("watch_s") for d in directives(field).values()] == [WATCH_S]


def test_and_late_hosts_are_watched_as_the_others_were(ledger: Ledger) -> None:
    field = Field(ledger, 3)
    id_ = start(field, field.publish("2.0"), selector='role="web"', waves=WAVES, policy=POLICY)
    loop = field.loop()
    assert field.run(loop, 300, until=lambda: over(field, id_))
    late = field.add_host("late", {"role": "web"})
    field.run(loop, 60)
    assert directives(field)[late].detail["watch_s"] == WATCH_S


def test_both_are_taken_back_at_the_same_time(ledger: Ledger) -> None:
    """The older one is taken back while its hosts are on their way back to it from the newer."""
    field = Field(ledger, 4)
    first, _ = delivered(field, "2.0")
    second, _ = delivered(field, "3.0")
    loop = field.loop()
    revert(field, second)
    assert field.run(loop, 60, until=lambda: state_of(field, second) == "reverting")
    revert(field, first)
    assert field.run(loop, 300, until=lambda: over(field, first, second))
    for id_ in (first, second):
        assert state_of(field, id_) == "reverted"
        assert {a.state for a in attempts(field, id_).values()} == {"reverted"}
    assert {agent.running for agent in field.agents.values()} == {OLD}
    assert {d.target for d in directives(field).values()} == {OLD_TARGET}


@pytest.mark.parametrize("apart_s", [0, 3, 8])
def test_in_either_order_and_at_any_distance(ledger: Ledger, apart_s: int) -> None:
    field = Field(ledger, 6)
    first, _ = delivered(field, "2.0", max_in_flight=2)
    second, _ = delivered(field, "3.0", max_in_flight=2)
    loop = field.loop()
    for id_ in (first, second) if apart_s % 2 else (second, first):
        revert(field, id_)
        field.run(loop, apart_s)
    assert field.run(loop, 400, until=lambda: over(field, first, second))
    field.run(loop, 60)
    assert {agent.running for agent in field.agents.values()} == {OLD}
    for id_ in (first, second):
        assert {a.state for a in attempts(field, id_).values()} == {"reverted"}


def test_what_was_taken_back_is_not_brought_back_by_the_newer_one(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    first, _ = delivered(field, "2.0")
    second, _ = delivered(field, "3.0")
    third, newest = delivered(field, "4.0")
    loop = field.loop()
    for id_ in (first, second):
        revert(field, id_)
        assert field.run(loop, 300, until=partial(over_back, field, id_))
        assert {d.target for d in directives(field).values()} == {newest}
    revert(field, third)
    assert field.run(loop, 300, until=lambda: state_of(field, third) == "reverted")
    assert {agent.running for agent in field.agents.values()} == {OLD}
    for id_ in (first, second, third):
        assert {a.state for a in attempts(field, id_).values()} == {"reverted"}


def test_what_came_again_after_it_was_taken_back_counts(ledger: Ledger) -> None:
    field = Field(ledger, 3)
    first, target = delivered(field, "2.0")
    revert(field, first)
    assert field.run(field.loop(), 300, until=lambda: state_of(field, first) == "reverted")
    report_running(field)
    again = start(field, target, waves=WAVES, policy=POLICY)
    assert field.run(field.loop(), 300, until=lambda: over(field, again))
    report_running(field)
    newest, _ = delivered(field, "3.0")
    revert(field, newest)
    assert field.run(field.loop(), 300, until=lambda: state_of(field, newest) == "reverted")
    assert {d.target for d in directives(field).values()} == {target}


def test_a_host_that_is_away_when_the_two_meet_ends_both_when_it_returns(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    away = next(iter(field.agents))
    first, _ = delivered(field, "2.0")
    second, _ = delivered(field, "3.0")
    loop = field.loop()
    field.away = {away}
    revert(field, second)
    field.run(loop, 5)
    revert(field, first)
    assert field.run(loop, 300, until=lambda: over(field, first, second))
    assert len(stranded(field)) == 2  # one host, in both
    field.away.clear()
    field.run(loop, 30)
    assert not stranded(field)
    assert field.agents[away].running == OLD
    assert "a newer rollout has" not in rollout_of(field, first).reason


def test_a_lost_proof_does_not_strand_who_was_taken_over(ledger: Ledger) -> None:
    field = Field(ledger, 3)
    first, _ = delivered(field, "2.0")
    second, _ = delivered(field, "3.0")
    loop = field.loop()
    revert(field, second)
    field.run(loop, 1)
    revert(field, first)
    for _ in range(40):  # what agents tell of this is lost with their disks
        field.pass_messages()
        for agent in field.agents.values():
            agent.told.clear()
        loop.step()
        field.clock.now_s += 1
    report_running(field)
    field.run(loop, 60)
    assert over(field, first, second)
    assert not stranded(field)


def stranded(field: Field) -> list[str]:
    """Hosts that are on a way back still."""
    with field.ledger.read() as connection:
        return list(
            connection.execute(
                select(attempt.c.host).where(attempt.c.state == "reverting")
            ).scalars()
        )
