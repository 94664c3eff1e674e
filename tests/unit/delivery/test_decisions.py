"""Plans, offers, pace, gates, windows: decided by pure functions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vezha
from vezha.delivery import attempt, change, reason, rollout
from vezha.delivery.change import Kind, lacking
from vezha.delivery.engine_signals import EngineSignals
from vezha.delivery.errors import SpecError
from vezha.delivery.evidence import Scope, Touched, gather, service_level
from vezha.delivery.freeze import Window, keeps
from vezha.delivery.gate import E_STOP, failures_allowed, judge
from vezha.delivery.pace import SLOWEST, budget_left, pace
from vezha.delivery.plan import HostFacts, Version, Wanted, digest, make_plan, plan_text
from vezha.delivery.selector import parse_selector
from vezha.delivery.spec import Gate, Policy, read_gates, read_policy, read_waves
from vezha.delivery.wave import Member, assign
from vezha.gateway.strain import REASONS
from vezha.model.labels import metric
from vezha.model.recurrence import make_recurrence
from vezha.query import Engine
from vezha.query.memory import MemorySource

NEW = Version("2.0", "agent/vezha/2.0/file", "ab" * 32, 100)
OLD = Version("1.0", "agent/vezha/1.0/file", "cd" * 32, 90)


def hosts(count: int) -> list[HostFacts]:
    return [
        HostFacts(i, f"h{i:03}", {"role": "web", "zone": f"z{i % 3}"}, {"python": "3.11.2"}, True,
                  OLD, frozenset({"release"}))
        for i in range(1, count + 1)
    ]  # fmt: skip


def wanted(**changed: object) -> Wanted:
    base = {
        "change_id": 1, "kind": Kind.AGENT, "selector": "", "waves": read_waves([]),
        "gates": (Gate("proof"),), "policy": Policy(), "to": NEW,
    }  # fmt: skip
    return Wanted(**{**base, **changed})  # type: ignore[arg-type]


def test_a_plan_says_who_is_left_out_and_why() -> None:
    fleet = hosts(10)
    fleet[0] = HostFacts(1, "h001", {}, {}, True, OLD, frozenset({"release"}))
    fleet[1] = HostFacts(2, "h002", {"role": "web"}, {}, False, OLD, frozenset({"release"}))
    fleet[2] = HostFacts(3, "h003", {"role": "web"}, {}, True, OLD, frozenset())
    fleet[3] = HostFacts(4, "h004", {"role": "web"}, {"python": "3.8.1"}, True, OLD,
                         frozenset({"release"}))  # fmt: skip
    fleet[4] = HostFacts(5, "h005", {"role": "web"}, {}, True, NEW, frozenset({"release"}))
    fleet[5] = HostFacts(6, "h006", {"role": "web"}, {}, True, OLD, frozenset({"release"}), 7)
    fleet[6] = HostFacts(7, "h007", {"role": "web"}, {}, True, OLD, frozenset({"release"}), None,
                         frozenset({NEW.sha256}))  # fmt: skip
    plan = make_plan(wanted(custom={"interpreter": ">=3.10"}), fleet, [], 0)
    why = {name: code for _, name, code, _ in plan["excluded"]}
    assert why == {
        "h001": "no_group", "h002": "offline", "h003": "no_capability", "h004": "incompatible",
        "h005": "same", "h006": "held", "h007": "quarantined",
    }  # fmt: skip
    text = plan_text(1, plan)
    assert "- 1.0" in text
    assert "+ 2.0" in text
    assert "rollout 7 has it" in text
    assert digest(plan) == digest(make_plan(wanted(custom={"interpreter": ">=3.10"}), fleet, [], 0))
    with pytest.raises(SpecError, match="in quarantine"):
        make_plan(wanted(quarantined=frozenset({NEW.sha256})), fleet, [], 0)
    with pytest.raises(SpecError, match="no hosts"):
        make_plan(wanted(selector='role="web"'), fleet[1:2], [], 0)


@given(
    st.integers(1, 400),
    st.lists(st.sampled_from([1, 2, 5, 10, 25, 50, 80, 100]), unique=True, max_size=5),
)
def test_waves_take_each_host_once_and_as_many_as_said(count: int, percents: list[int]) -> None:
    members = [Member(i, f"h{i}", {"role": "web"}) for i in range(count)]
    waves = read_waves(
        [{"name": f"w{p}", "percent": p} for p in sorted(percents)] + [{"name": "x"}]
    )
    taken, left = assign(waves, members, 3)
    assert left == []
    ids = [m.id for wave in taken for m in wave]
    assert sorted(ids) == list(range(count))
    so_far = 0
    for wave, spec in zip(taken, waves, strict=True):
        so_far += len(wave)
        if spec.percent is not None:
            assert so_far == max(int(count * spec.percent / 100), 1)


def test_another_change_has_other_canaries() -> None:
    members = [Member(i, f"h{i}", {"role": "web"}) for i in range(100)]
    waves = read_waves([{"name": "canary", "count": 3}, {"name": "all"}])
    first = {tuple(m.id for m in assign(waves, members, seed)[0][0]) for seed in range(20)}
    assert len(first) > 15


@given(
    st.one_of(st.none(), st.floats(-5, 1)), st.one_of(st.none(), st.floats(0, 1)),
    st.floats(0.1, 1),
)  # fmt: skip
def test_the_pace_follows_reliability(left: float | None, load: float | None, least: float) -> None:
    found = pace(left, load, least)
    assert found.sentence
    if found.factor is None:
        assert (left is not None and left <= 0) or (load is not None and load <= 0.3)
        return
    assert least - 1e-9 <= found.factor <= SLOWEST
    if left is not None and left >= 0.5 and load is not None and load >= 0.8:
        assert found.factor == pytest.approx(least)
    # better never makes it slower
    better = pace(None if left is None else min(1, left + 0.1), load, least)
    assert better.factor is not None
    assert better.factor <= found.factor + 1e-9


def test_the_budget_is_that_of_the_whole_window() -> None:
    source = MemorySource()
    for i in range(100):
        series = (("__name__", "up"), ("instance", "a"), ("job", "node"))
        source.append(series, 1_000_000 + i * 1000, 0.0 if i in (50, 51) else 1.0)
    signals = EngineSignals(Engine(source))
    good, _ = service_level("", 86_400.0, ["a"], 1_099_000, signals)
    assert good == pytest.approx(1 - 2 / 86_400)
    assert budget_left(good or 0.0, 0.999) == pytest.approx(1 - 2 / 86.4)


def test_a_budget_gate_asks_of_the_budget_that_steers_the_pace() -> None:
    asked: list[str] = []

    class Asked:
        def vector(self, expr: str, at_ms: int) -> Any:
            asked.append(expr)
            return [((), 0.9999)]

    policy = read_policy(
        {"budget": {"objective": 0.99, "window_s": 7_200, "expr": "rate(good[$window])"}}
    )
    scope = Scope(1_000_000, 0, names=("a",), policy=policy)
    found = gather(Gate("budget"), scope, Asked())  # type: ignore[arg-type]
    assert asked == ["rate(good[7200s])"]
    assert (found["objective"], found["window_s"]) == (0.99, 7_200)
    assert judge(Gate("budget"), found).sentence == "99% of the error budget of 2 h is left"
    own = Gate("budget", objective=0.9, window_s=60.0, expr="rate(mine[$window])")
    found = gather(own, scope, Asked())  # type: ignore[arg-type]
    assert asked[-1] == "rate(mine[60s])"
    assert (found["objective"], found["window_s"]) == (0.9, 60.0)


def test_why_the_server_keeps_agents_waiting_is_read_from_its_own_series() -> None:
    source, own = MemorySource(), {"instance": "vezha-server", "job": "vezha"}
    signals = EngineSignals(Engine(source))
    assert signals.strain(1_000_000) == "the server tells nothing of itself"
    for second in range(0, 60, 5):
        at_ms = 1_000_000 + 1000 * second
        source.append(metric("vezha_gateway_connected_agents", **own), at_ms, 3.0)
        for code in REASONS:
            slowed = code == "commits" and second >= 30
            source.append(metric("vezha_gateway_slowed", reason=code, **own), at_ms, float(slowed))
    assert signals.strain(1_026_000) == ""
    assert signals.strain(1_031_000) == REASONS["commits"]
    assert signals.strain(1_090_000) == "the server has stored nothing of its own for 35 s"


def test_how_many_may_fail() -> None:
    gate = Gate("proof")
    assert failures_allowed(gate, 10, first=True) == 0
    assert [failures_allowed(gate, n, first=False) + 1 for n in (10, 50, 100)] == [3, 6, 9]
    # at the tolerated share no more than one run in twenty is ever stopped
    rng = np.random.default_rng(7)
    stops = [failures_allowed(gate, n, first=False) for n in range(1, 301)]
    false = sum(
        any(np.cumsum(run)[n] > stops[n] for n in range(300))
        for run in rng.random((400, 300)) < 0.02
    )
    assert false / 400 <= 1 / E_STOP


def test_gates_have_three_answers() -> None:
    proof = {"first": True, "proven": 1, "open": 0, "bad": [], "failures": 0}
    assert judge(Gate("proof"), proof).result == "pass"
    assert judge(Gate("proof"), {**proof, "open": 1}).result == "no_evidence"
    assert judge(Gate("proof"), {**proof, "failures": 1, "bad": [["a", "x"]]}).result == "fail"
    assert judge(Gate("proof"), {**proof, "control_plane": "we restarted"}).result == "no_evidence"
    health = {"alerts": [], "down": [], "completeness": {"a": [1.0, 1.0]}, "seen": 1}
    assert judge(Gate("health"), health).result == "pass"
    assert judge(Gate("health"), {**health, "down": ["a"]}).result == "fail"
    assert judge(Gate("health"), {**health, "completeness": {"a": [1.0, 0.8]}}).result == "fail"
    # what was incomplete before is not the release's doing
    assert judge(Gate("health"), {**health, "completeness": {"a": [0.8, 0.8]}}).result == "pass"
    assert judge(Gate("budget"), {"good": None}).result == "no_evidence"
    of_a_day = {"objective": 0.999, "window_s": 86_400.0}
    assert judge(Gate("budget"), {"good": 0.99, **of_a_day}).result == "fail"
    kept = judge(Gate("budget"), {"good": 0.9995, **of_a_day})
    assert (kept.result, kept.sentence) == ("pass", "50% of the error budget of 1 d is left")
    assert judge(Gate("predictability"), {"values": {"a": 0.9, "b": 0.7}}).result == "pass"
    assert judge(Gate("predictability"), {"values": {}}).result == "no_evidence"
    yes = {"answers": [["bob", "approved"]]}
    assert judge(Gate("approval"), yes).result == "pass"
    assert judge(Gate("approval", count=2), yes).result == "no_evidence"
    assert judge(Gate("approval"), {"answers": [["bob", "rejected"]]}).result == "fail"
    assert judge(Gate("webhook"), {"answer": {"result": "fail"}}).result == "fail"
    assert judge(Gate("webhook"), {"answer": {"result": "maybe"}}).result == "no_evidence"


def test_canaries_are_compared_with_the_others_by_host() -> None:
    source = MemorySource()
    rng = np.random.default_rng(3)
    began = 2_000_000
    for h in range(20):
        for i in range(-300, 400):
            canary_after = h < 5 and i >= 0
            value = float(100 * (1 + 0.05 * rng.standard_normal()) * (1.5 if canary_after else 1.0))
            series = (("__name__", "cost"), ("instance", f"h{h:02}"))
            source.append(series, began + i * 1000, value)
    touched = tuple(Touched(f"h{h:02}", began, True, began) for h in range(5))
    controls = tuple(f"h{h:02}" for h in range(5, 20))
    scope = Scope(began + 399_000, 0, touched, controls)
    gate = Gate("canary", expr="cost", window_s=240.0)
    evidence = gather(gate, scope, EngineSignals(Engine(source)))
    found = judge(gate, evidence)
    assert found.result == "fail", found.sentence
    assert found.measured == pytest.approx(0.5, abs=0.1)
    assert judge(gate, evidence) == found


def test_windows_know_their_zone() -> None:
    every = parse_selector("")
    night = make_recurrence(["sun"], "02:00", 120, "Europe/Kyiv")
    window = Window(1, "maintenance", "night", every, 0, 4_000_000_000_000, night, "Europe/Kyiv",
                    "finish", "", "ann", 0)  # fmt: skip
    inside = 1_795_910_400_000  # Sunday 2026-11-29 02:00 in Kyiv
    assert keeps([window], "a", {}, inside) is None
    kept = keeps([window], "a", {}, inside - 60_000)
    assert kept is not None
    assert "opens 2026-11-29 02:00 Europe/Kyiv" in kept.sentence
    freeze = Window(2, "freeze", "", every, 0, inside + 1, None, "UTC", "hold", "", "ann", 0)
    assert keeps([window, freeze], "a", {}, inside) is not None


def test_what_is_written_wrong_is_told_with_the_way_out() -> None:
    for bad, words in (
        ([{"name": "a", "percent": 50}, {"name": "b", "percent": 20}], "must be over 50"),
        ([{"name": "a"}, {"name": "a"}], "same name"),
        ([{"name": "a", "count": 1, "percent": 3}], "leave one away"),
        ([{"name": "a", "selector": "role=db"}], "is not a selector"),
        ([{"nam": "a"}], "nam"),
    ):
        with pytest.raises(SpecError, match=words):
            read_waves(bad)
    waves = read_waves([])
    for gate, words in (
        ({"kind": "promql", "expr": "up"}, "needs threshold"),
        ({"kind": "canary", "expr": "up["}, "not PromQL"),
        ({"kind": "proof", "waves": ["x"]}, "there is none"),
        ({"kind": "webhook", "url": "ftp://x"}, "https://"),
    ):
        with pytest.raises(SpecError, match=words):
            read_gates([gate], waves)
    with pytest.raises(SpecError, match="policy"):
        read_policy({"max_in_flight": 0})
    assert len(lacking("", "", "", [])) == 4


def test_tables_have_no_dead_ends_and_no_doubles() -> None:
    for table in (change.TABLE, attempt.TABLE):
        keys = [(row.state, row.act) for row in table]
        assert len(set(keys)) == len(keys)
    for state in attempt.State:
        reach, todo = {state}, [state]
        while todo:
            at = todo.pop()
            for row in attempt.TABLE:
                if row.state is at and row.to not in reach:
                    reach.add(row.to)
                    todo.append(row.to)
        assert reach & set(attempt.ENDED), f"{state} never ends"
    assert "stateDiagram" in change.diagram() + attempt.diagram() + rollout.diagram()


def test_the_server_knows_each_reason_that_agents_tell() -> None:
    folder = Path(vezha.__file__).parent / "agent" / "launcher"
    launcher = "".join(path.read_text() for path in folder.glob("*.py"))
    told = set(re.findall(r'_go_back\("([a-z_]+)"', launcher))
    told |= set(re.findall(r'return (?:"fail", )?"([a-z_]+)", f?"', launcher))
    assert {"cpu", "collector", "crashed", "no_telemetry", "slowed_down"} <= told
    assert told <= set(reason.AGENT)
