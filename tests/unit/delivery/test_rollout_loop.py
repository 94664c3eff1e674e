"""The delivery loop over a real ledger, with simulated agents that speak the real messages."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import select
from tests.unit.delivery.conftest import OpenLedger
from tests.unit.delivery.rolling import (
    GATES,
    attempts,
    change_of,
    directives,
    history,
    report_running,
    rollout_of,
    start,
    state_of,
    verdicts,
)

from vezha.access.subject import Role
from vezha.delivery.desk import answer_plan, break_glass, lift_quarantine, wish
from vezha.delivery.errors import SpecError, WrongState
from vezha.delivery.freeze import add_window, end_window
from vezha.delivery.gate import judge
from vezha.delivery.spec import Gate
from vezha.ledger import Ledger
from vezha.ledger.tables import change_event, quarantine
from vezha.model.labels import labels_of
from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.field import OLD, OLD_TARGET, Field

BAD = Behaviour("reverted", "crashed")


def over(field: Field, id_: int) -> bool:
    return state_of(field, id_) in ("done", "reverted", "aborted")


def test_a_good_release_reaches_everybody(ledger: Ledger) -> None:
    field = Field(ledger, 12)
    id_ = start(field, field.publish("2.0"))
    most = 0

    def look() -> None:
        nonlocal most
        flying = [a for a in attempts(field, id_).values() if a.state in ("offered", "downloaded", "staged", "started")]  # fmt: skip
        most = max(most, len(flying))

    assert field.run(field.loop(), 600, until=lambda: over(field, id_), each=look)
    assert state_of(field, id_) == "done"
    assert {a.state for a in attempts(field, id_).values()} == {"proven"}
    assert all(agent.running != OLD for agent in field.agents.values())
    assert most == 5  # max_in_flight is used, and never exceeded
    row = change_of(field, id_)
    assert (row.state, row.outcome) == ("done", "success")
    first = next(iter(attempts(field, id_).values()))
    assert history(field, id_, first.host_id) == [
        "offered", "downloaded", "staged", "started", "proven",
    ]  # fmt: skip


def test_a_release_that_crashes_stops_at_the_canary(ledger: Ledger) -> None:
    field = Field(ledger, 12)
    target = field.publish("2.0", BAD)
    id_ = start(field, target)
    assert field.run(field.loop(), 600, until=lambda: over(field, id_))
    row = rollout_of(field, id_)
    assert row.state == "reverted"
    assert "did not prove it" in row.reason
    states = [a.state for a in attempts(field, id_).values()]
    assert states.count("reverted") == 1
    assert states.count("skipped") == 11
    assert {agent.running for agent in field.agents.values()} == {OLD}
    # no directive says to run it any more
    assert {d.target for d in directives(field).values()} == {OLD_TARGET}
    with ledger.read() as connection:
        hosts = set(connection.execute(select(quarantine.c.host_id)).scalars())
    assert 0 in hosts
    assert len(hosts) == 2
    # and it is not offered again, unless a person says so
    with pytest.raises(SpecError, match="in quarantine"):
        start(field, target)
    with ledger.begin() as connection:
        lift_quarantine(connection, change_of(field, id_).sha256, 0, "ann", "was the disk", 0)
    start(field, target)


def test_a_bad_signal_takes_back_what_was_proven(ledger: Ledger) -> None:
    field = Field(ledger, 8)
    gate = {"kind": "promql", "name": "errors", "expr": "errors", "threshold": 5}
    field.signals.vectors["errors"] = lambda _at_ms: [
        (labels_of({"instance": a.agent_id}), 9.0 if a.running != OLD else 1.0)
        for a in field.agents.values()
    ]
    id_ = start(field, field.publish("2.0"), gates=[*GATES, gate])
    assert field.run(field.loop(), 600, until=lambda: over(field, id_))
    row = rollout_of(field, id_)
    assert row.state == "reverted"
    assert "gate errors: 9 is not < 5" in row.reason
    assert {agent.running for agent in field.agents.values()} == {OLD}
    told = [v for v in verdicts(field, id_) if v.gate == "errors" and v.result == "fail"]
    # the verdict can be made again out of what was kept
    again = judge(msgspec.convert(told[0].spec, Gate), told[0].samples)
    assert (again.result, again.sentence) == (told[0].result, told[0].sentence)


def test_a_gate_in_shadow_says_and_decides_nothing(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    gate = {"kind": "promql", "name": "errors", "expr": "errors", "threshold": 5, "shadow": True}
    field.signals.vectors["errors"] = [
        (labels_of({"instance": f"h{i:05d}"}), 9.0) for i in range(4)
    ]
    id_ = start(field, field.publish("2.0"), gates=[*GATES, gate])
    assert field.run(field.loop(), 600, until=lambda: over(field, id_))
    assert state_of(field, id_) == "done"
    assert any(v.shadow and v.result == "fail" for v in verdicts(field, id_))


def test_without_evidence_it_holds_and_goes_on_when_there_is_some(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    gate = {"kind": "promql", "name": "latency", "expr": "latency", "threshold": 5}
    id_ = start(field, field.publish("2.0"), gates=[*GATES, gate])
    loop = field.loop()
    assert field.run(loop, 600, until=lambda: state_of(field, id_) == "held")
    row = rollout_of(field, id_)
    assert row.reason_code == "no_evidence"
    assert change_of(field, id_).state == "held"
    assert sum(a.state == "proven" for a in attempts(field, id_).values()) == 1
    field.signals.vectors["latency"] = [
        (labels_of({"instance": f"h{i:05d}"}), 1.0) for i in range(4)
    ]
    assert field.run(loop, 600, until=lambda: over(field, id_))
    assert state_of(field, id_) == "done"


def test_the_fleet_cut_off_is_not_the_release_s_fault(ledger: Ledger) -> None:
    field = Field(ledger, 10)
    gate = {"kind": "health"}
    id_ = start(field, field.publish("2.0"), gates=[*GATES, gate],
                policy={"max_in_flight": 2, "max_unavailable": 0.5, "patience_s": 20})  # fmt: skip
    loop = field.loop()
    assert field.run(loop, 600, until=lambda: rollout_of(field, id_).phase == "rolling")
    field.run(loop, 3)
    field.away = set(field.agents)
    assert field.run(loop, 60, until=lambda: state_of(field, id_) == "held")
    assert rollout_of(field, id_).reason_code == "control_plane"
    field.run(loop, 300)  # far beyond everybody's patience
    assert state_of(field, id_) == "held"
    field.away = set()
    assert field.run(loop, 900, until=lambda: over(field, id_))
    assert state_of(field, id_) == "done"


def test_after_our_own_start_nothing_is_held_against_the_release(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    id_ = start(field, field.publish("2.0", BAD))
    loop = field.loop(settle_ms=60_000)
    field.away = {max(field.agents)}  # not back yet
    field.run(loop, 40)
    assert rollout_of(field, id_).reason_code == "control_plane"
    assert {a.state for a in attempts(field, id_).values()} == {"waiting"}
    assert field.run(loop, 300, until=lambda: over(field, id_))
    assert state_of(field, id_) == "reverted"


def test_hosts_that_hang_are_taken_back(ledger: Ledger) -> None:
    field = Field(ledger, 6)
    id_ = start(field, field.publish("2.0", Behaviour("hangs")),
                policy={"max_in_flight": 2, "patience_s": 30})  # fmt: skip
    assert field.run(field.loop(), 600, until=lambda: over(field, id_))
    assert state_of(field, id_) == "reverted"
    canary = next(a for a in attempts(field, id_).values() if a.state == "reverted")
    assert canary.reason == "stuck"
    assert {agent.running for agent in field.agents.values()} == {OLD}


def test_people_pause_resume_and_revert(ledger: Ledger) -> None:
    field = Field(ledger, 6)
    id_ = start(field, field.publish("2.0"))
    loop = field.loop()
    field.run(loop, 2)
    _wish(field, id_, "pause")
    field.run(loop, 100)
    assert (state_of(field, id_), rollout_of(field, id_).reason_code) == ("held", "paused")
    _wish(field, id_, "resume")
    assert field.run(loop, 600, until=lambda: over(field, id_))
    assert state_of(field, id_) == "done"
    # also what went well may be taken back, as many at once as may be in flight
    _wish(field, id_, "revert")
    assert field.run(loop, 600, until=lambda: state_of(field, id_) == "reverted")
    assert {agent.running for agent in field.agents.values()} == {OLD}
    assert change_of(field, id_).outcome == "reverted"
    with ledger.read() as connection:
        assert not connection.execute(select(quarantine)).all()  # nobody blamed it
    with pytest.raises(WrongState, match="reverted"):
        _wish(field, id_, "pause")


def test_abort_leaves_what_there_is(ledger: Ledger) -> None:
    field = Field(ledger, 6)
    id_ = start(field, field.publish("2.0"))
    loop = field.loop()
    assert field.run(loop, 600, until=lambda: rollout_of(field, id_).phase == "baking")
    _wish(field, id_, "abort")
    field.run(loop, 30)
    assert state_of(field, id_) == "aborted"
    assert change_of(field, id_).state == "cancelled"
    assert sorted(a.state for a in attempts(field, id_).values()) == ["proven", *["skipped"] * 5]


def test_approval_is_waited_for_and_disarms_nothing(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    policy = {"max_in_flight": 5, "approvals": {"count": 1, "role": "admin"}}
    id_ = start(field, field.publish("2.0", BAD), policy=policy)
    loop = field.loop()
    field.run(loop, 20)
    assert (state_of(field, id_), rollout_of(field, id_).reason_code) == ("held", "approval")
    change_id = change_of(field, id_).id
    with ledger.begin() as connection, pytest.raises(Exception, match="somebody else"):
        answer_plan(connection, change_id, user="ann", role=Role.ADMIN, answer="approved",
                    comment="", now_ms=field.now_ms)  # fmt: skip
    for user, role in (("bob", Role.OPERATOR), ("eve", Role.ADMIN)):
        field.run(loop, 5)
        assert state_of(field, id_) == "held"
        with ledger.begin() as connection:
            answer_plan(connection, change_id, user=user, role=role, answer="approved",
                        comment="", now_ms=field.now_ms)  # fmt: skip
    assert field.run(loop, 300, until=lambda: over(field, id_))
    assert state_of(field, id_) == "reverted"


def test_a_freeze_holds_until_the_glass_is_broken(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    with ledger.begin() as connection:
        window = add_window(
            connection, kind="freeze", name="sale", selector="", starts_ms=field.now_ms - 1,
            ends_ms=field.now_ms + 86_400_000, recurs=None, time_zone="Europe/Kyiv",
            overrun="finish", comment="", author="ann", now_ms=field.now_ms,
        )  # fmt: skip
    id_ = start(field, field.publish("2.0"))
    loop = field.loop()
    field.run(loop, 30)
    row = rollout_of(field, id_)
    assert (row.state, row.reason_code) == ("held", "window")
    assert "freeze 1 (sale) keeps changes out until" in row.reason
    assert "Europe/Kyiv" in row.reason
    with ledger.begin() as connection:
        with pytest.raises(SpecError, match="reason"):
            break_glass(connection, id_, "ann", " ", 60_000, field.now_ms)
        break_glass(connection, id_, "ann", "the hole is being used", 600_000, field.now_ms)
    assert field.run(loop, 300, until=lambda: over(field, id_))
    assert state_of(field, id_) == "done"
    with ledger.begin() as connection:
        assert end_window(connection, window, "ann", field.now_ms)
        kinds = set(connection.execute(select(change_event.c.kind)).scalars())
    assert "break_glass" in kinds


def test_one_host_of_a_zone_at_a_time(ledger: Ledger) -> None:
    field = Field(ledger, 9)
    id_ = start(field, field.publish("2.0"), waves=[{"name": "all", "bake_s": 5}],
                policy={"max_in_flight": 9, "max_unavailable": 9, "one_per": ["zone"]})  # fmt: skip
    zones: list[list[str]] = []

    def look() -> None:
        zones.append(
            [f"z{int(a.host[1:]) % 3}" for a in attempts(field, id_).values()
             if a.state in ("offered", "downloaded", "staged", "started")]
        )  # fmt: skip

    assert field.run(field.loop(), 600, until=lambda: over(field, id_), each=look)
    assert all(len(set(at_once)) == len(at_once) for at_once in zones)
    assert max(map(len, zones)) == 3


def test_late_and_returning_hosts_go_straight_to_it_once_it_is_done(ledger: Ledger) -> None:
    field = Field(ledger, 5)
    late = {"role": "web"}
    away = next(iter(field.agents))
    id_ = start(field, field.publish("2.0"), selector='role="web"')
    field.away.add(away)
    loop = field.loop()
    field.run(loop, 20)
    joined = field.add_host("new", late)
    ungrouped = field.add_host("bare", {})
    field.run(loop, 15)
    # not before the rollout is done
    assert not over(field, id_)
    assert joined not in directives(field)
    assert field.run(loop, 600, until=lambda: over(field, id_))
    field.away.clear()
    field.run(loop, 120)
    new = rollout_of(field, id_)
    assert new.state == "done"
    assert field.agents[away].running != OLD
    assert field.agents[joined].running != OLD
    # a host in no group is held, never changed silently
    assert field.agents[ungrouped].running == OLD
    assert ungrouped not in directives(field)


def test_a_script_runs_once_on_each_host_and_tells(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    target = field.publish(
        "1", kind="script", dry_run=True, parameters=[{"name": "path", "type": "text"}]
    )
    id_ = start(field, target, kind="script", params={"path": "/var/tmp"},
                policy={"dry_run": True, "max_in_flight": 5})  # fmt: skip
    assert field.run(field.loop(), 300, until=lambda: over(field, id_))
    assert state_of(field, id_) == "done"
    for row in attempts(field, id_).values():
        assert row.result["exit_code"] == 0
        assert row.result["dry_run"] is True
    assert all(agent.runs == {f"r{id_}": 1} for agent in field.agents.values())
    bad = field.publish("2", Behaviour("failed", "exit_code"), kind="script")
    second = start(field, bad, kind="script")
    assert field.run(field.loop(), 300, until=lambda: over(field, second))
    assert state_of(field, second) == "reverted"
    states = sorted(a.state for a in attempts(field, second).values())
    assert states == ["failed", "skipped", "skipped", "skipped"]


def test_budget_spent_slows_then_holds(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    field.signals.good = 0.99  # of 99.9 %: spent ten times
    id_ = start(field, field.publish("2.0"))
    loop = field.loop()
    field.run(loop, 30)
    row = rollout_of(field, id_)
    assert (row.state, row.reason_code) == ("held", "pace")
    assert "0% of the error budget is left" in row.reason
    field.signals.good = 0.9998
    assert field.run(loop, 300, until=lambda: over(field, id_))
    assert state_of(field, id_) == "done"


def test_two_rollouts_do_not_take_the_same_host(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    start(field, field.publish("2.0"), selector='zone="z0"')
    second = start(field, field.publish("2.1"))
    assert {a.host for a in attempts(field, second).values()} == {"h00001", "h00002"}


def test_a_newer_rollout_keeps_its_hosts_when_an_old_one_is_taken_back(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    first = start(field, field.publish("2.0"))
    loop = field.loop()
    assert field.run(loop, 300, until=lambda: over(field, first))
    report_running(field)
    newer = field.publish("3.0")
    second = start(field, newer)
    assert field.run(loop, 300, until=lambda: over(field, second))
    _wish(field, first, "revert")
    assert field.run(loop, 300, until=lambda: state_of(field, first) == "reverted")
    assert {d.target for d in directives(field).values()} == {newer}
    assert "a newer rollout has 4 of them" in rollout_of(field, first).reason


def _wish(field: Field, id_: int, act: str) -> None:
    with field.ledger.begin() as connection:
        wish(connection, id_, act, "ann", field.now_ms)


def test_everything_is_in_the_ledger(open_ledger: OpenLedger) -> None:
    """A loop that is thrown away after each step gives the same end as one that stays."""
    ends = []
    for kept in (True, False):
        field = Field(open_ledger(), 8, seed=7)
        id_ = start(field, field.publish("2.0"))
        loop = field.loop()
        for _ in range(300):
            field.pass_messages()
            (loop if kept else field.loop()).step()
            field.clock.now_s += 1
        ends.append((state_of(field, id_), sorted(a.state for a in attempts(field, id_).values())))
    assert ends[0] == ends[1] == ("done", ["proven"] * 8)


def test_a_way_back_because_of_us_is_not_held_against_the_version(ledger: Ledger) -> None:
    field = Field(ledger, 4)
    id_ = start(field, field.publish("2.0", Behaviour("reverted", "server_away", times=1)))
    assert field.run(field.loop(), 600, until=lambda: over(field, id_))
    assert state_of(field, id_) == "done"
    for row in attempts(field, id_).values():
        assert history(field, id_, row.host_id) == [
            "offered", "downloaded", "staged", "started", "waiting",
            "offered", "downloaded", "staged", "started", "proven",
        ]  # fmt: skip
    with ledger.read() as connection:
        assert not connection.execute(select(quarantine)).all()


def test_a_newer_rollout_that_went_back_leaves_its_hosts_to_the_older_one(ledger: Ledger) -> None:
    field = Field(ledger, 2)
    loop = field.loop()
    first = start(field, field.publish("2.0"))
    assert field.run(loop, 300, until=lambda: over(field, first))
    report_running(field)
    second = start(field, field.publish("3.0", BAD))
    assert field.run(loop, 300, until=lambda: over(field, second))
    assert state_of(field, second) == "reverted"
    _wish(field, first, "revert")
    assert field.run(loop, 300, until=lambda: state_of(field, first) == "reverted")
    assert {a.state for a in attempts(field, first).values()} == {"reverted"}
    assert {agent.running for agent in field.agents.values()} == {OLD}
