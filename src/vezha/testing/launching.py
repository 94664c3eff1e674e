"""A machine in memory for the launcher: agents that behave as told, time that jumps, and a kill at
any step. From it the matrix in the docs is made."""

from __future__ import annotations

import copy
import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vezha.agent.launcher.keeper import Launcher
from vezha.agent.launcher.limits import FACTORY, PROBE_NO, PROBE_SLOW, Json

TURN_S = 0.5
WATCH_S = 10.0

BEHAVIOURS = {
    "good": "does what it should",
    "no start": "ends before it is ready",
    "crash": "ends two seconds after the switch, each time",
    "one crash": "ends once, then stays",
    "hang": "never says that it is ready",
    "mute": "runs, but sends no telemetry",
    "gap": "its frames are acknowledged with a gap",
    "busy": "uses a whole core",
    "fat": "takes 500 MiB",
    "collector": "a collector that worked fails now",
    "other build": "says that it is another build",
}
"""What an agent's file may do, by name."""
BAD = frozenset(BEHAVIOURS) - {"good", "one crash"}


class Killed(BaseException):
    """kill -9, or the power went."""


@dataclass
class TwinAgent:
    """One running agent. It is at work once it holds the lock of the folder."""

    machine: TwinMachine
    pair: Json
    behaviour: str
    pid: int
    is_trial: bool
    began_s: float
    at_work_s: float | None = None
    code: int | None = None
    is_ready: bool = False

    def fileno(self) -> int:
        return -1

    def hear(self) -> None:
        if self.behaviour == "no start":
            self.die(1)
        elif self.code is None and self.behaviour != "hang":
            self.is_ready = True

    def exit_code(self) -> int | None:
        return self.code

    def die(self, code: int) -> None:
        self.code = code if self.code is None else self.code
        if self in self.machine.agents:
            self.machine.agents.remove(self)

    def end(self, wait_s: float = 0.0) -> None:
        self.machine.step("stop the agent in " + self.pair["slot"])
        self.die(0)

    def cpu_s(self) -> tuple[float, float] | None:
        lived_s = self.machine.monotonic() - self.began_s
        share = 1.0 if self.behaviour == "busy" else 0.01
        return lived_s * share, lived_s * share

    def memory_bytes(self) -> int | None:
        return (500 if self.behaviour == "fat" else 40) << 20


@dataclass
class TwinProbe:
    """A probe that knows its answer at once."""

    code: int

    def poll(self) -> int | None:
        return self.code

    def kill(self) -> None:
        """It has ended."""

    def wait(self) -> int:
        return 0


@dataclass
class TwinMachine:
    """Files survive a kill, agents and the launcher's memory do not."""

    behaviours: dict[str, str] = field(default_factory=lambda: {"f0": "good"})
    """By hash of the agent's file, and of a configuration."""
    slots: dict[str, str] = field(default_factory=lambda: {FACTORY: "f0"})
    files: dict[str, Json] = field(default_factory=dict)
    agents: list[TwinAgent] = field(default_factory=list)
    kill_at: int = -1
    """Number of the step before which everything is killed."""
    steps: list[str] = field(default_factory=list)
    server_answers: bool = True
    server_slow: bool = False
    """Whether the server sends agents away, and stores nothing."""
    connected: bool = True
    free: int = 1 << 30
    is_full: bool = False
    """Whether the disk takes no more writes."""
    said: list[str] = field(default_factory=list)
    _now_s: float = 1000.0
    _pids: int = 100
    _crashed: set[str] = field(default_factory=set)
    gaps_s: float = 0.0
    """For how long nobody was at work."""

    def step(self, name: str) -> None:
        """Something outside changes: here a kill may come before it."""
        if len(self.steps) == self.kill_at:
            self.steps.append("killed before: " + name)
            raise Killed
        self.steps.append(name)

    # what the launcher asks ------------------------------------------------------------------------

    def now_ms(self) -> int:
        return int(self._now_s * 1000)

    def monotonic(self) -> float:
        return self._now_s

    def say(self, text: str) -> None:
        self.said.append(text)

    def sha256_of(self, slot: str) -> str:
        return self.slots.get(slot, "")

    def free_bytes(self) -> int:
        return self.free

    def read(self, name: str) -> Json | None:
        return copy.deepcopy(self.files.get(name))

    def write(self, name: str, value: Json) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        trial = value["trial"]
        what = f"trial is {trial['phase']}" if trial else "no trial"
        steps = [e["step"] for e in value["events"]]
        told = f", {steps[-1]}" if steps and not trial else ""
        self.step(f"write state: {what}{told}")
        self.files[name] = copy.deepcopy(value)

    def remove(self, name: str) -> None:
        if name in self.files:
            self.step(f"remove {name.partition('.')[0]}")
            del self.files[name]

    def start(self, pair: Json, is_trial: bool) -> TwinAgent:
        self.step("start the agent in " + pair["slot"])
        behaviour = self.behaviours.get(self.slots.get(pair["slot"], ""), "no start")
        behaviour = self.behaviours.get(pair["config"], behaviour) if pair["config"] else behaviour
        self._pids += 1
        made = TwinAgent(self, dict(pair), behaviour, self._pids, is_trial, self._now_s)
        self.agents.append(made)
        return made

    def probe(self, probe: Json) -> TwinProbe:
        if not self.server_answers:
            return TwinProbe(PROBE_NO)
        return TwinProbe(PROBE_SLOW if self.server_slow else 0)

    def wait(self, channels: list[Any], timeout_s: float) -> None:
        self.pass_time(timeout_s)

    # what goes on beside it ------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Agents live a little."""
        self._now_s += seconds
        working = [a for a in self.agents if a.at_work_s is not None]
        assert len(working) <= 1, "two agents were at work"
        if not working:
            ready = [a for a in self.agents if a.behaviour not in ("no start", "hang")]
            if ready:
                ready[0].at_work_s = self._now_s
                working = ready[:1]
            else:
                self.gaps_s += seconds
        for agent in working:
            self._live(agent)

    def _live(self, agent: TwinAgent) -> None:
        assert agent.at_work_s is not None
        lived_s = self._now_s - agent.at_work_s
        once = agent.behaviour == "one crash" and agent.pair["slot"] not in self._crashed
        if lived_s >= 2.0 and (agent.behaviour == "crash" or once):
            self._crashed.add(agent.pair["slot"])
            agent.die(1)
            return
        if agent.is_trial and agent.behaviour != "mute":
            self.files["proof.json"] = {
                "build": "x" if agent.behaviour == "other build" else agent.pair["sha256"],
                "config": agent.pair["config"],
                "pid": agent.pid,
                "monotonic_s": self._now_s,
                "connected": self.connected,
                "acked": self.connected and not self.server_slow,
                "gap": agent.behaviour == "gap",
                "failing": ["disk"] if agent.behaviour == "collector" else [],
            }

    def kill(self) -> None:
        """Everything that runs is gone; a moment later the launcher is started again."""
        self.agents.clear()
        self._now_s += 1.0
        self.kill_at = -1

    def offer(self, slot: str, sha256: str, behaviour: str, generation: int, **more: Any) -> None:
        """An agent has staged a release and asks for the switch."""
        self.slots[slot] = sha256
        self.behaviours[sha256] = behaviour
        state = self.files.get("state.json")
        config = state["current"]["config"] if state else ""
        self.files["request.json"] = {
            "id": f"release-{generation}",
            "parts": [{"kind": "release", "generation": generation, "sha256": sha256}],
            "pair": {"slot": slot, "sha256": sha256, "config": config},
            "build": sha256,
            "watch_s": WATCH_S,
            "probe": {"host": "h", "port": 1},
            **more,
        }

    def offer_config(self, sha256: str, behaviour: str, generation: int, **more: Any) -> None:
        """The same for a configuration, under the code that runs."""
        self.behaviours[sha256] = behaviour
        current = self.files["state.json"]["current"]
        self.files["request.json"] = {
            "id": f"config-{generation}",
            "parts": [{"kind": "config", "generation": generation, "sha256": sha256}],
            "pair": {**current, "config": sha256},
            "build": "",
            "watch_s": WATCH_S,
            "probe": {"host": "h", "port": 1},
            **more,
        }


def run(machine: TwinMachine, launcher: Launcher, seconds: float) -> Launcher:
    """Turn for so long; a kill is followed by a new launcher on the same files."""
    until = machine.monotonic() + seconds
    while machine.monotonic() < until:
        try:
            launcher.turn()
        except Killed:
            machine.kill()
            launcher = started(machine)
        except OSError:
            assert machine.is_full  # the launcher's own loop goes on, too
        machine.pass_time(TURN_S)
    return launcher


def started(machine: TwinMachine) -> Launcher:
    """A launcher on that machine, whatever kills it at its first write."""
    while True:
        try:
            return Launcher(machine)
        except Killed:
            machine.kill()


def outcome(machine: TwinMachine) -> str:
    """What became of the one change that was offered, in a word or two."""
    state = machine.files["state.json"]
    ends = [e for e in state["events"] if e["step"] in ("proven", "reverted", "refused")]
    if state["trial"] is not None or len(ends) != 1:
        return f"{len(ends)} ends"
    working = [a for a in machine.agents if a.at_work_s is not None]
    if len(working) != 1 or working[0].pair != state["current"]:
        return "another agent runs"
    end = ends[0]
    if end["step"] == "proven":
        return "proven" if state["current"]["sha256"] == end["sha256"] else "lost"
    if state["current"]["slot"] != FACTORY:
        return "not back"
    held = "" if end["sha256"] in state["quarantine"] else ", not quarantined"
    return f"back: {end['reason']}{held}"


def attempt(behaviour: str, kill_at: int = -1) -> TwinMachine:
    """One release of that behaviour, with one kill before step *kill_at* after it was offered."""
    machine = TwinMachine()
    launcher = run(machine, started(machine), 3.0)
    machine.offer("a", "f1", behaviour, 1)
    machine.steps.clear()
    machine.kill_at = kill_at
    run(machine, launcher, 120.0)
    return machine


def matrix(say: Callable[[str], None] = lambda _: None) -> list[tuple[str, str, str]]:
    """All kill points of all behaviours: (behaviour, before which step, outcome)."""
    rows = []
    for behaviour in BEHAVIOURS:
        quiet = attempt(behaviour)
        rows.append((behaviour, "", outcome(quiet)))
        for number, name in enumerate(quiet.steps):
            say(f"{behaviour} {number}")
            killed = attempt(behaviour, number)
            assert killed.steps[number].startswith("killed before")
            rows.append((behaviour, name, outcome(killed)))
    return rows
