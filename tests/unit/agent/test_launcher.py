"""The launcher on a machine in memory: every way that a change can go, killed at every step."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import vezha
from vezha.agent.launcher.keeper import Launcher
from vezha.agent.launcher.limits import (
    AWAY_MAX_S,
    COST_WAIT_MAX_S,
    CPU_SPAN_S,
    CPU_SUSPECT_S,
    FACTORY,
    PROBE_NO,
    PROBE_SLOW,
    QUICK_ENDS_MAX,
    RETURN_MAX_S,
)
from vezha.agent.launcher.probe import meaning
from vezha.agent.launcher.state import fresh_state, refusal
from vezha.agent.launcher.verdict import ANSWERS, AWAY, SLOW, Seen, judge
from vezha.agent.launcher_file import launcher_bytes
from vezha.agent.zipapp import members
from vezha.testing.launching import (
    BAD,
    BEHAVIOURS,
    WATCH_S,
    TwinMachine,
    attempt,
    matrix,
    outcome,
    run,
    started,
)


def test_its_file_carries_only_itself_and_the_standard_library(tmp_path: Path) -> None:
    content = launcher_bytes(members(Path(vezha.__file__).parent))
    assert content is not None
    assert content == launcher_bytes(reversed(members(Path(vezha.__file__).parent)))
    path = tmp_path / "vezha-launcher.pyz"
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        sources = {name: archive.read(name).decode() for name in archive.namelist()}
    own = {n.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for n in sources}
    for source in sources.values():
        tree = ast.parse(source, feature_version=(3, 10))
        for_types = [
            n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n)
        ]
        tree.body = [node for node in tree.body if node not in for_types]
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name in own or name.split(".")[0] in sys.stdlib_module_names, name
    # and it runs as it is installed
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "usage: --state FOLDER" in done.stderr


@pytest.mark.parametrize("behaviour", sorted(BEHAVIOURS))
def test_good_ones_are_proven_and_bad_ones_taken_back(behaviour: str) -> None:
    machine = attempt(behaviour)
    state = machine.files["state.json"]
    if behaviour in BAD:
        assert outcome(machine).startswith("back: ")
        assert "f1" in state["quarantine"]
        assert state["current"]["slot"] == FACTORY
    else:
        assert outcome(machine) == "proven"
        assert state["quarantine"] == {}
    assert machine.gaps_s == 0.0  # the hand-over itself costs nobody a sample


def test_killed_before_every_step_it_resumes_or_reverts() -> None:
    rows = matrix()
    assert len(rows) > 100
    for behaviour, step, result in rows:
        allowed = ("back: ",) if behaviour in BAD else ("proven", "back: ")
        if behaviour == "good":
            allowed = ("proven",)
        assert result.startswith(allowed), (behaviour, step, result)
        assert "quarantined" not in result, (behaviour, step, result)


def settled(machine: TwinMachine, launcher: Launcher, seconds: float = 60.0) -> dict[str, Any]:
    run(machine, launcher, seconds)
    return machine.files["state.json"]


def offered(behaviour: str = "good", **more: Any) -> tuple[TwinMachine, Launcher]:
    machine = TwinMachine()
    launcher = run(machine, started(machine), 3.0)
    machine.offer("a", "f1", behaviour, 1, **more)
    return machine, launcher


def test_a_quarantined_hash_is_refused_unless_forced() -> None:
    machine, launcher = offered("busy")
    settled(machine, launcher)
    machine.offer("a", "f1", "good", 2)
    state = settled(machine, launcher)
    assert [e["step"] for e in state["events"]][-1] == "refused"
    assert state["events"][-1]["reason"] == "quarantined"
    assert state["current"]["slot"] == FACTORY
    machine.offer("a", "f1", "good", 3, forced=True)
    state = settled(machine, launcher)
    assert state["current"]["sha256"] == "f1"
    assert state["quarantine"] == {}


def test_an_older_generation_is_refused() -> None:
    machine, launcher = offered()
    settled(machine, launcher)
    machine.offer("b", "f2", "good", 5)
    settled(machine, launcher)
    machine.offer("a", "f3", "good", 4)
    state = settled(machine, launcher)
    assert state["events"][-1]["reason"] == "older_generation"
    assert state["current"]["sha256"] == "f2"


def test_code_and_configuration_go_back_together() -> None:
    machine, launcher = offered()
    settled(machine, launcher)
    machine.offer_config("c1", "good", 1)
    state = settled(machine, launcher)
    assert state["current"] == {"slot": "a", "sha256": "f1", "config": "c1"}
    # a new build with a new configuration; the configuration breaks it
    machine.offer("b", "f2", "good", 2)
    machine.behaviours["c2"] = "collector"
    request = machine.files["request.json"]
    request["pair"]["config"] = "c2"
    request["parts"].append({"kind": "config", "generation": 2, "sha256": "c2"})
    state = settled(machine, launcher)
    assert state["current"] == {"slot": "a", "sha256": "f1", "config": "c1"}
    assert set(state["quarantine"]) == {"f2", "c2"}
    reverted = [e for e in state["events"] if e["step"] == "reverted"]
    assert {e["kind"] for e in reverted} == {"release", "config"}


def test_a_configuration_that_breaks_a_collector_goes_back() -> None:
    machine, launcher = offered()
    settled(machine, launcher)
    machine.offer_config("c1", "collector", 1)
    state = settled(machine, launcher)
    assert state["current"]["config"] == ""
    assert state["quarantine"]["c1"]["reason"] == "collector"
    # a collector that failed before is nobody's fault
    machine.offer_config("c2", "collector", 2, failing=["disk"])
    assert settled(machine, launcher)["current"]["config"] == "c2"


def test_a_server_that_is_away_extends_the_watch() -> None:
    machine, launcher = offered()
    machine.connected = machine.server_answers = False
    launcher = run(machine, launcher, 120.0)
    assert machine.files["state.json"]["trial"] is not None
    machine.connected = machine.server_answers = True
    run(machine, launcher, 10.0)
    assert outcome(machine) == "proven"


def test_a_server_that_stays_away_is_not_blamed_on_the_release() -> None:
    machine, launcher = offered()
    machine.connected = machine.server_answers = False
    run(machine, launcher, AWAY_MAX_S + 60.0)
    assert outcome(machine) == "back: server_away, not quarantined"
    machine.connected = machine.server_answers = True
    machine.offer("a", "f1", "good", 2)
    assert settled(machine, launcher)["current"]["sha256"] == "f1"


def test_a_release_that_cannot_connect_to_a_server_that_answers() -> None:
    machine, launcher = offered()
    machine.connected = False
    run(machine, launcher, 60.0)
    assert outcome(machine) == "back: not_connected"


def test_a_slot_that_was_changed_on_disk_is_not_tried() -> None:
    machine, launcher = offered()
    machine.slots["a"] = "torn"
    state = settled(machine, launcher)
    assert (state["events"][-1]["step"], state["events"][-1]["reason"]) == ("refused", "wrong_hash")
    assert state["current"]["slot"] == FACTORY


def test_a_full_disk_is_refused() -> None:
    machine, launcher = offered()
    machine.free = 1 << 20
    assert settled(machine, launcher)["events"][-1]["reason"] == "no_space"


def test_a_disk_that_runs_full_costs_no_sample_and_blames_nobody() -> None:
    for seconds in (0.0, 2.0, 6.0, 13.0):
        machine, launcher = offered()
        launcher = run(machine, launcher, seconds)
        machine.is_full = True
        machine.gaps_s = 0.0
        launcher = run(machine, launcher, 100.0)
        assert machine.gaps_s == 0.0
        machine.is_full = False
        run(machine, launcher, 120.0)
        assert outcome(machine) == "proven", seconds


def test_a_start_on_a_full_disk_measures_all_the_same() -> None:
    machine, launcher = offered("mute")
    run(machine, launcher, 4.0)  # on trial
    machine.is_full = True
    machine.kill()
    launcher = run(machine, started(machine), 60.0)
    assert [a.pair["slot"] for a in machine.agents if a.at_work_s is not None] == [FACTORY]
    machine.is_full = False
    run(machine, launcher, 120.0)
    assert outcome(machine) == "back: no_proof"
    fresh = TwinMachine(is_full=True)
    run(fresh, started(fresh), 10.0)
    assert len(fresh.agents) == 1


def test_a_damaged_file_is_never_started() -> None:
    machine, launcher = offered()
    settled(machine, launcher)
    machine.slots.update({"a": "damaged", FACTORY: "damaged too"})
    machine.behaviours.update({"damaged": "good", "damaged too": "no start"})
    state = machine.files["state.json"]
    state["factory"] = "damaged too"
    machine.kill()
    machine.steps.clear()
    run(machine, started(machine), 100.0)
    assert "start the agent in a" not in machine.steps


def test_a_damaged_file_falls_back() -> None:
    machine, launcher = offered()
    settled(machine, launcher)
    machine.slots["a"] = "damaged"
    machine.kill()
    state = settled(machine, started(machine), 5.0)
    assert state["current"]["slot"] == FACTORY
    assert state["events"][-1]["reason"] == "damaged"
    assert state["quarantine"] == {}


def test_a_proven_build_that_stops_staying_up_falls_back() -> None:
    machine, launcher = offered()
    settled(machine, launcher)
    machine.behaviours["f1"] = "crash"
    machine.agents[0].die(1)
    state = settled(machine, launcher, 120.0)
    assert state["current"]["slot"] == FACTORY
    assert state["quarantine"]["f1"]["reason"] == "boot_loop"


def test_the_factory_build_that_does_not_stay_up_is_started_again_with_pauses() -> None:
    machine = TwinMachine(behaviours={"f0": "crash"})
    launcher = started(machine)
    run(machine, launcher, 300.0)
    starts = machine.steps.count("start the agent in factory")
    assert QUICK_ENDS_MAX < starts < 60


def test_settings_of_the_operator_are_no_builds_fault() -> None:
    machine, launcher = offered()
    settled(machine, launcher)
    for _ in range(2 * QUICK_ENDS_MAX):
        machine.agents[0].die(2)
        launcher = run(machine, launcher, 40.0)
    assert machine.files["state.json"]["current"]["sha256"] == "f1"


def test_an_agent_installed_by_hand_takes_over() -> None:
    machine, launcher = offered("mute")
    run(machine, launcher, 4.0)
    machine.slots[FACTORY] = "f9"
    machine.behaviours["f9"] = "good"
    machine.kill()
    state = settled(machine, started(machine), 10.0)
    assert state["current"] == {"slot": FACTORY, "sha256": "f9", "config": ""}
    assert state["quarantine"] == {}
    assert machine.agents[0].pair["sha256"] == "f9"


def test_back_to_what_the_host_had_by_itself() -> None:
    machine, launcher = offered()
    settled(machine, launcher)
    machine.offer("a", "f1", "good", 2)
    request = machine.files["request.json"]
    request["parts"] = [{"kind": "release", "generation": 2, "sha256": ""}]
    request["pair"] = {"slot": FACTORY, "sha256": "f0", "config": ""}
    request["build"] = ""
    state = settled(machine, launcher)
    assert state["current"]["slot"] == FACTORY
    assert state["events"][-1]["step"] == "proven"


@pytest.mark.parametrize("wrong", [{}, {"parts": []}, {"parts": [{}], "pair": {}}, {"parts": 3}])
def test_a_request_that_is_none(wrong: dict[str, Any]) -> None:
    found = refusal(fresh_state("f0"), wrong)
    assert found is not None
    assert found[0] == "malformed"
    machine = TwinMachine()
    launcher = run(machine, started(machine), 2.0)
    machine.files["request.json"] = {"id": "x", **wrong}
    state = settled(machine, launcher, 5.0)
    assert "request.json" not in machine.files
    assert state["current"]["slot"] == FACTORY


TRIAL = {"watch_s": 10.0, "build": "", "failing": [], "pair": {"config": ""}}
PROOF = {"build": "", "config": "", "failing": [], "connected": True, "acked": True, "gap": False}
LITTLE = (0.01, 0.02)


def test_the_watch_is_waited_for() -> None:
    unheard = {**PROOF, "acked": False}
    assert judge(TRIAL, PROOF, Seen(9.9, LITTLE))[0] == "wait"
    assert judge(TRIAL, PROOF, Seen(10.0, LITTLE))[0] == "pass"
    assert judge(TRIAL, unheard, Seen(10.0, LITTLE, server=ANSWERS))[0] == "wait"
    assert judge(TRIAL, unheard, Seen(21.0, LITTLE, server=ANSWERS))[1] == "no_telemetry"


def test_nothing_passes_before_its_cost_is_known() -> None:
    short = {**TRIAL, "watch_s": 2.0}
    assert judge(short, PROOF, Seen(2.5, LITTLE))[0] == "wait"
    assert judge(short, PROOF, Seen(CPU_SPAN_S, LITTLE))[0] == "pass"
    # a host that does not tell costs is not waited for without end
    assert judge(short, PROOF, Seen(CPU_SPAN_S))[0] == "wait"
    assert judge(short, PROOF, Seen(COST_WAIT_MAX_S))[0] == "pass"


def test_what_eats_a_core_is_blamed_on_the_core_and_not_on_a_collector_that_it_starved() -> None:
    starved = {**PROOF, "failing": ["disk"]}
    assert judge(TRIAL, starved, Seen(2.0, (0.99, 0.99)))[0] == "wait"
    assert judge(TRIAL, starved, Seen(CPU_SPAN_S, (0.99, 0.99)))[1] == "cpu"
    assert judge(TRIAL, starved, Seen(CPU_SPAN_S, LITTLE))[1] == "collector"
    assert judge(TRIAL, starved, Seen(COST_WAIT_MAX_S))[1] == "collector"


@pytest.mark.parametrize("server", [AWAY, SLOW])
def test_a_server_with_trouble_is_waited_for_and_told_apart(server: str) -> None:
    unheard = {**PROOF, "acked": False}
    late_s = 10.0 + AWAY_MAX_S
    assert judge(TRIAL, unheard, Seen(late_s - 1, LITTLE, 1, server, late_s - 1))[0] == "wait"
    reason = judge(TRIAL, unheard, Seen(late_s, LITTLE, 1, server, late_s))[1]
    assert reason == {AWAY: "server_away", SLOW: "slowed_down"}[server]
    # the agent itself was told to come later
    told = {**PROOF, "connected": False, "sent_away": True}
    assert judge(TRIAL, told, Seen(60.0, LITTLE, 1, ANSWERS))[0] == "wait"
    assert judge(TRIAL, told, Seen(late_s, LITTLE, 1, ANSWERS))[1] == "slowed_down"


def test_when_the_server_is_well_again_agents_need_a_while_to_come_back() -> None:
    absent = {**PROOF, "connected": False}
    assert judge(TRIAL, absent, Seen(50.0, LITTLE, 1, ANSWERS, bad_s=20.0))[0] == "wait"
    late = Seen(20.0 + RETURN_MAX_S, LITTLE, 1, ANSWERS, bad_s=20.0)
    assert judge(TRIAL, absent, late)[1] == "not_connected"


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, 0), (404, 0), (401, 0), (429, PROBE_SLOW), (503, PROBE_SLOW), (502, PROBE_NO)],
)
def test_what_an_answer_means(status: int, code: int) -> None:
    assert meaning(status) == code


def test_a_server_that_slows_down_extends_the_watch_and_is_not_blamed() -> None:
    machine, launcher = offered()
    machine.server_slow = True
    launcher = run(machine, launcher, 120.0)
    assert machine.files["state.json"]["trial"] is not None
    machine.server_slow = False
    run(machine, launcher, 10.0)
    assert outcome(machine) == "proven"
    machine, launcher = offered()
    machine.server_slow = True
    run(machine, launcher, AWAY_MAX_S + 60.0)
    assert outcome(machine) == "back: slowed_down, not quarantined"


def test_what_runs_already_is_proven_without_a_start() -> None:
    machine, launcher = offered()
    settled(machine, launcher)
    machine.steps.clear()
    machine.offer("b", "f1", "good", 2)
    request = machine.files["request.json"]
    request.update(pair=dict(machine.files["state.json"]["current"]), as_is=True)
    state = settled(machine, launcher, 3.0)
    last = state["events"][-1]
    assert (last["step"], last["generation"]) == ("proven", 2)
    assert state["generations"]["release"] == 2
    assert not [step for step in machine.steps if "agent" in step]
    assert machine.gaps_s == 0.0


def test_a_damaged_part_of_what_runs_is_delivered_and_tried_again() -> None:
    machine, launcher = offered()
    settled(machine, launcher)
    machine.steps.clear()
    machine.offer("a", "f1", "good", 2)
    machine.files["request.json"]["pair"] = dict(machine.files["state.json"]["current"])
    state = settled(machine, launcher)
    assert state["events"][-1]["step"] == "proven"
    assert "start the agent in a" in machine.steps


def test_on_a_busy_host_it_counts_what_a_process_wants() -> None:
    for cpu, verdict in (
        ((0.6, 0.6), "fail"),  # half a core is too much anywhere
        ((0.15, 0.99), "wait"),  # it would take a whole one if it could get it, or it just began
        ((0.01, 0.99), "wait"),  # it only waits, as everybody there
        ((0.3, 0.5), "wait"),
    ):
        assert judge(TRIAL, None, Seen(5.0, cpu))[0] == verdict
    hungry = Seen(CPU_SUSPECT_S, (0.15, 0.99))
    assert judge(TRIAL, {**PROOF, "failing": ["disk"]}, hungry)[1] == "cpu"
    # nothing passes while it is in doubt, and nothing is blamed for it
    short, early = {**TRIAL, "watch_s": 2.0}, Seen(5.0, (0.15, 0.99))
    assert judge(short, {**PROOF, "failing": ["disk"]}, early)[0] == "wait"
    assert judge(short, PROOF, early)[0] == "wait"
    assert judge(short, PROOF, Seen(CPU_SUSPECT_S, (0.04, 0.99)))[0] == "pass"


class Delivery(RuleBasedStateMachine):
    """Any order of offers, kills, absences: one agent at work, one end for each trial, no hash that
    was taken back runs again unless forced."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = TwinMachine()
        self.launcher = started(self.machine)
        self.generation = 0
        self.forced: set[str] = set()

    @rule(behaviour=st.sampled_from(sorted(BEHAVIOURS)), forced=st.booleans(), old=st.booleans())
    def offer(self, behaviour: str, forced: bool, old: bool) -> None:
        state = self.machine.files["state.json"]
        if state["trial"] is not None or "request.json" in self.machine.files:
            return
        self.generation += 1
        slot = "b" if state["current"]["slot"] == "a" else "a"
        known = sorted(state["quarantine"])
        sha256 = known[0] if old and known else f"f-{self.generation}"
        if forced:
            self.forced.add(sha256)
        self.machine.offer(slot, sha256, behaviour, self.generation, forced=forced)

    @rule(steps=st.integers(0, 9))
    def kill_soon(self, steps: int) -> None:
        self.machine.kill_at = len(self.machine.steps) + steps

    @rule()
    def kill_now(self) -> None:
        self.machine.kill()
        self.launcher = started(self.machine)

    @rule(away=st.booleans())
    def server(self, away: bool) -> None:
        self.machine.server_answers = self.machine.connected = not away

    @rule(seconds=st.sampled_from([0.5, 3.0, WATCH_S, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.launcher = run(self.machine, self.launcher, seconds)

    @invariant()
    def history_has_one_end_for_each_attempt(self) -> None:
        state = self.machine.files["state.json"]
        numbers = [e["number"] for e in state["events"]]
        assert numbers == list(range(state["next_event"] - len(numbers), state["next_event"]))
        ends = [e["generation"] for e in state["events"] if e["step"] in ("proven", "reverted")]
        falls = [e for e in state["events"] if e["reason"] in ("boot_loop", "damaged")]
        assert len(set(ends)) >= len(ends) - len(falls)

    @invariant()
    def nothing_that_was_taken_back_runs(self) -> None:
        state = self.machine.files["state.json"]
        assert state["current"]["sha256"] not in state["quarantine"]
        assert all(
            a.pair["sha256"] not in state["quarantine"] or a.pair["sha256"] in self.forced
            for a in self.machine.agents
            if a.at_work_s is not None and state["trial"] is None and len(self.machine.agents) == 1
        )

    def teardown(self) -> None:
        self.machine.server_answers = self.machine.connected = True
        self.machine.kill_at = -1
        run(self.machine, self.launcher, 400.0)
        state = self.machine.files["state.json"]
        assert state["trial"] is None, "stranded"
        assert "request.json" not in self.machine.files


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
