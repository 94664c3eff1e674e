"""The launcher: starts the agent, watches it, and goes back by itself.

It is one file of its own (standard library, nothing of Vezha), installed beside the agent's file
and never changed by a release: what watches must not be what is being tried. It knows three places
for the agent's file: two slots, and the file that was installed (the factory's).

Rules:
1. What runs is a pair: a slot and a signed configuration. A change is tried as a new pair, and both
   go back together.
2. `state.json` is written, whole and synced, before each step; what a step leaves half done, the
   next start of the launcher takes up from there.
3. A new pair is first started beside the old one, until it says that it is ready; the old one ends
   only then, and the lock of the agent's folder hands over. What cannot start costs no sample.
4. It is proven when it was alive for the watch period, is the build and the configuration that was
   meant, is connected, and has its frames acknowledged without a gap. The agent says so in
   `proof.json`; that it lives, and what it costs, the launcher sees by itself.
5. Otherwise it goes back, also without a server, and never tries that hash again unless forced. A
   server that is away for everybody extends the watch, up to a limit, and is not blamed on the
   change: it goes back without quarantine.
6. Each start of a trial is counted, so that a reboot or a kill in the middle ends in one of the
   two ways as well. A pair that was proven and later does not stay up falls back, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

try:  # hashlib without OpenSSL's 4 MB
    from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from hashlib import sha256

if TYPE_CHECKING:  # only this file is installed
    from vezha.agent.ground import Ground, Running

Json = dict[str, Any]

PROTOCOL = 1
VARIABLE = "VEZHA_AGENT_LAUNCHED"
READY = b"R"
FACTORY = "factory"

PREPARE_S = 20.0
"""How long a new agent may take to be ready to take over."""
STOP_S = 20.0
"""How long an agent may take to stop before it is killed."""
WATCH_DEFAULT_S = 60.0
WATCH_MIN_S, WATCH_MAX_S = 2.0, 3_600.0
SETTLE_MAX_S = 15.0
"""After the watch: how long a connection or an acknowledgement may still take."""
AWAY_MAX_S = 900.0
"""How long a server that is away extends the watch."""
PROOF_FRESH_S = 5.0
TRIAL_STARTS_MAX = 2
"""One start, and one more after a crash or a reboot."""
QUICK_END_S = 10.0
"""An agent that ends sooner did not stay up."""
QUICK_ENDS_MAX = 5
BACK_OFF_MAX_S = 30.0
CPU_SHARE_MAX = 0.5
"""Of one core, over at least CPU_SPAN_S; the agent's own figure is about 0.01."""
CPU_WANTED_MAX, CPU_WANTED_SHARE_MIN = 0.8, 0.05
"""On a busy host nobody gets half a core: there it counts how much of the time a process ran or
waited for a core, if it also got more than a healthy agent ever takes."""
CPU_SPAN_S = 3.0
MEMORY_BYTES_MAX = 200 << 20
FREE_BYTES_MIN = 8 << 20
EVENTS_MAX = 64
PROBE_TIMEOUT_S = 5.0
OPERATORS_EXIT = 2
"""The agent's exit code where its own settings are wrong: no build is to blame."""
UNBLAMED = ("server_away", "replaced")
"""Reasons for going back that do not quarantine."""


# pure ---------------------------------------------------------------------------------------------


def fresh_state(factory_sha256: str) -> Json:
    """The state of a host on which nothing was ever changed."""
    pair = {"slot": FACTORY, "sha256": factory_sha256, "config": ""}
    return {
        "format": 1,
        "factory": factory_sha256,
        "current": pair,
        "previous": None,
        "trial": None,
        "generations": {},
        "last_request": "",
        "quarantine": {},
        "events": [],
        "next_event": 1,
    }


def with_event(
    state: Json, part: Json, step: str, at_ms: int, reason: str = "", text: str = ""
) -> Json:
    """*state* with one more line of history, which the agent tells the server."""
    event = {
        "number": state["next_event"],
        "kind": part["kind"],
        "generation": part["generation"],
        "sha256": part["sha256"],
        "step": step,
        "reason": reason,
        "text": text[:300],
        "time_ms": at_ms,
    }
    events = [*state["events"], event][-EVENTS_MAX:]
    return {**state, "events": events, "next_event": state["next_event"] + 1}


def refusal(state: Json, request: Json) -> tuple[str, str] | None:
    """Why *request* cannot be tried, as (reason, text), or None."""
    try:
        parts, pair = request["parts"], request["pair"]
        known = [p["sha256"] for p in parts if p["kind"] in ("release", "config")]
        complete = parts and len(known) == len(parts) and all(p["generation"] >= 1 for p in parts)
        if not complete or pair["slot"] not in ("a", "b", FACTORY) or "config" not in pair:
            raise ValueError
    except (KeyError, TypeError, ValueError):
        return "malformed", "the request is not one"
    for part in parts:
        if part["generation"] < state["generations"].get(part["kind"], 0):
            return "older_generation", f"generation {part['generation']} is behind"
        if part["sha256"] in state["quarantine"] and not request.get("forced"):
            why = state["quarantine"][part["sha256"]]
            return "quarantined", "this host went back from it before ({})".format(why["reason"])
    if pair["slot"] == state["current"]["slot"] and pair["sha256"] != state["current"]["sha256"]:
        return "malformed", "the slot is in use"
    return None


def with_trial(state: Json, request: Json, at_ms: int) -> Json:
    """*state* with the request's pair on trial."""
    watch_s = min(max(float(request.get("watch_s") or WATCH_DEFAULT_S), WATCH_MIN_S), WATCH_MAX_S)
    generations = dict(state["generations"])
    for part in request["parts"]:
        generations[part["kind"]] = part["generation"]
    trial = {
        "pair": request["pair"],
        "parts": request["parts"],
        "build": request.get("build", ""),
        "watch_s": watch_s,
        "failing": request.get("failing", []),
        "probe": request.get("probe"),
        "phase": "preparing",
        "starts": 1,
        "began_ms": at_ms,
    }
    last = str(request.get("id", ""))
    return {**state, "trial": trial, "generations": generations, "last_request": last}


def proving(state: Json, at_ms: int, starts: int) -> Json:
    """*state* with the trial's pair at work, or about to be."""
    trial = state["trial"]
    for part in trial["parts"] if trial["phase"] != "proving" else ():
        state = with_event(state, part, "started", at_ms)
    return {**state, "trial": {**trial, "phase": "proving", "starts": starts}}


def committed(state: Json, at_ms: int) -> Json:
    """*state* with the trial's pair as the one that runs."""
    trial = state["trial"]
    state = {**state, "previous": state["current"], "current": trial["pair"], "trial": None}
    for part in trial["parts"]:
        quarantine = {k: v for k, v in state["quarantine"].items() if k != part["sha256"]}
        state = with_event({**state, "quarantine": quarantine}, part, "proven", at_ms)
    return state


def reverted(state: Json, at_ms: int, reason: str, text: str) -> Json:
    """*state* without the trial; its hashes are quarantined where they are to blame."""
    trial = state["trial"]
    state = {**state, "trial": None}
    for part in trial["parts"]:
        state = with_event(state, part, "reverted", at_ms, reason, text)
        if reason not in UNBLAMED and part["sha256"]:
            state = _quarantined(state, part, at_ms, reason)
    return state


def _quarantined(state: Json, part: Json, at_ms: int, reason: str) -> Json:
    entry = {"kind": part["kind"], "reason": reason, "at_ms": at_ms}
    state = {**state, "quarantine": {**state["quarantine"], part["sha256"]: entry}}
    return with_event(state, part, "quarantined", at_ms, reason)


def fallen_back(
    state: Json, at_ms: int, reason: str, is_good: Callable[[Json], bool]
) -> Json | None:
    """*state* on the previous pair, else on the factory's file; None where it runs on that already.
    *is_good* tells whether a pair's file is whole."""
    bad = state["current"]
    own = {"slot": FACTORY, "sha256": state["factory"], "config": ""}
    for pair in (state["previous"], own):
        if pair is None or pair["sha256"] in state["quarantine"] or not is_good(pair):
            continue
        if (pair["sha256"], pair["config"]) == (bad["sha256"], bad["config"]):
            continue
        state = {**state, "current": pair, "previous": None, "trial": None}
        for kind, key in (("release", "sha256"), ("config", "config")):
            if bad[key] and bad[key] != pair[key]:
                generation = state["generations"].get(kind, 1)
                part = {"kind": kind, "generation": generation, "sha256": bad[key]}
                state = with_event(state, part, "reverted", at_ms, reason)
                if reason != "damaged":
                    state = _quarantined(state, part, at_ms, reason)
        return state
    return None


def judge(
    trial: Json,
    proof: Json | None,
    alive_s: float,
    cpu: tuple[float, float] | None,
    memory_bytes: int | None,
    server_answers: bool | None,
    away_s: float,
) -> tuple[str, str, str]:
    """What is to become of the trial: ("wait" | "pass" | "fail", reason, text).

    *proof* is what the agent wrote last (None: nothing fresh), *alive_s* how long it has been at
    work, *cpu* the share of a core that it got and that it wanted, *server_answers* whether the server answers the launcher itself (None: not asked),
    *away_s* for how long it did not.
    """
    if cpu is not None and alive_s >= CPU_SPAN_S:
        share, wanted = cpu
        if share > CPU_SHARE_MAX:
            return "fail", "cpu", f"used {100 * share:.0f} % of a core"
        if share > CPU_WANTED_SHARE_MIN and wanted > CPU_WANTED_MAX:
            return "fail", "cpu", f"wanted {100 * wanted:.0f} % of a core"
    if memory_bytes is not None and memory_bytes > MEMORY_BYTES_MAX:
        return "fail", "memory", f"used {memory_bytes >> 20} MiB"
    if proof is not None:
        if trial["build"] and proof["build"] != trial["build"]:
            return "fail", "wrong_build", "build {} runs".format(proof["build"])
        if proof["config"] != trial["pair"]["config"]:
            return "fail", "config", proof.get("trouble") or "another configuration is in use"
        broken = sorted(set(proof["failing"]) - set(trial["failing"]))
        if broken:
            return "fail", "collector", "these fail now: " + ", ".join(broken)
    if alive_s < trial["watch_s"]:
        return "wait", "", ""
    if proof is not None and proof["connected"] and proof["acked"] and not proof["gap"]:
        return "pass", "", ""
    late_s = alive_s - trial["watch_s"]
    if server_answers is False or (proof is not None and proof.get("sent_away")):
        if late_s < AWAY_MAX_S:
            return "wait", "", ""
        return "fail", "server_away", f"the server was away for {away_s:.0f} s"
    if late_s - away_s < min(SETTLE_MAX_S, trial["watch_s"]):
        return "wait", "", ""
    if proof is None:
        return "fail", "no_proof", "the agent says nothing of itself"
    if not proof["connected"]:
        return "fail", "not_connected", "the server answers, but this build is not connected"
    if proof["gap"]:
        return "fail", "gap", "frames of this run are missing at the server"
    return "fail", "no_telemetry", "frames are not acknowledged"


# the machine --------------------------------------------------------------------------------------


class Child:
    """One running agent."""

    def __init__(self, argv: list[str], environment: Mapping[str, str], told: Json) -> None:
        ours, theirs = socket.socketpair()
        told = {**told, "protocol": PROTOCOL, "fd": theirs.fileno()}
        environment = {**environment, VARIABLE: json.dumps(told)}
        self._process = subprocess.Popen(
            argv,
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the launcher, which ends it in good order
        )
        theirs.close()
        ours.setblocking(False)
        self._channel = ours
        self.is_ready = False
        self.pid = self._process.pid

    def fileno(self) -> int:
        """Readable when it says something or ends."""
        return self._channel.fileno()

    def hear(self) -> None:
        """Take what it said."""
        with contextlib.suppress(OSError):
            self.is_ready = READY in self._channel.recv(4096) or self.is_ready

    def exit_code(self) -> int | None:
        """Its exit code, None while it lives."""
        return self._process.poll()

    def end(self, wait_s: float = STOP_S) -> None:
        """Have it stop in good order, kill it where it does not."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(wait_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._channel.close()

    def cpu_s(self) -> tuple[float, float] | None:
        """Seconds for which it ran, and for which it ran or waited for a core; None where that
        cannot be known."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            ran_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return None
        waited_ns = 0
        try:
            for task in os.listdir(f"/proc/{self.pid}/task"):
                with open(f"/proc/{self.pid}/task/{task}/schedstat", "rb") as file:
                    waited_ns += int(file.read().split()[1])
        except (OSError, ValueError, IndexError):
            return ran_s, ran_s
        return ran_s, ran_s + waited_ns / 1e9

    def memory_bytes(self) -> int | None:
        """Resident memory, None where that cannot be known."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return None


class Machine:
    """Clock, files and processes, as the launcher uses them. Tests have a twin of it."""

    def __init__(self, state: str, factory: str, config: str = "") -> None:
        self.state = state
        self.folder = os.path.join(state, "launcher")
        self.factory = factory
        self._config = config
        os.makedirs(os.path.join(self.folder, "slots"), mode=0o700, exist_ok=True)

    def now_ms(self) -> int:
        """The time of day."""
        return int(time.time() * 1000)

    def monotonic(self) -> float:
        """Seconds that never go back; the same clock in all processes of this machine."""
        return time.monotonic()

    def say(self, text: str) -> None:
        """One line for the journal."""
        print("vezha-launcher: " + text, file=sys.stderr, flush=True)

    def path_of(self, slot: str) -> str:
        """The agent's file of a slot."""
        if slot == FACTORY:
            return self.factory
        return os.path.join(self.folder, "slots", slot + ".pyz")

    def sha256_of(self, slot: str) -> str:
        """Of that file; empty where it cannot be read."""
        try:
            with open(self.path_of(slot), "rb") as file:
                return str(sha256(file.read()).hexdigest())
        except OSError:
            return ""

    def free_bytes(self) -> int:
        """Room on the disk of the state folder."""
        stat = os.statvfs(self.folder)
        return stat.f_bavail * stat.f_frsize

    def read(self, name: str) -> Json | None:
        """A JSON object of the launcher's folder, None where there is none."""
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                found = json.loads(file.read(1 << 20))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write(self, name: str, value: Json) -> None:
        """Keep one, whole and synced. Raises OSError."""
        path = os.path.join(self.folder, name)
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps(value, indent=1).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(path + ".new", path)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, name: str) -> None:
        """Forget one."""
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.folder, name))

    def start(self, pair: Json, is_trial: bool) -> Running:
        """Start the agent of *pair*. Raises OSError."""
        argv = [
            sys.executable,
            "-I",
            "-S",
            self.path_of(pair["slot"]),
            "run",
            "--state",
            self.state,
        ]
        if self._config:
            argv += ["--config", self._config]
        told = {"trial": is_trial, "launcher": os.path.abspath(__file__)}
        return Child(argv, os.environ, {**pair, **told})

    def probe(self, probe: Json) -> Any:
        """Ask in a process of its own whether the server answers; the process."""
        argv = [sys.executable, "-I", "-S", os.path.abspath(__file__), "--probe", json.dumps(probe)]
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self, channels: list[Any], timeout_s: float) -> None:
        """Until one of *channels* is readable."""
        select.select(channels, [], [], timeout_s)


class Launcher:
    """Keeps one agent running. `turn` does what is due, and never waits long."""

    def __init__(self, machine: Ground) -> None:
        self._machine = machine
        self.child: Running | None = None
        self.is_stopping = False
        self._is_trying = False
        self._began_s = 0.0
        self._cpu_from: tuple[float, tuple[float, float]] | None = None
        self._quick_ends = 0
        self._start_at_s = 0.0
        self._probe: Any = None
        self._probed_s = -1e9
        self._answers: bool | None = None
        self._away_s = 0.0
        self.state = self._loaded()

    def _loaded(self) -> Json:
        machine = self._machine
        state = machine.read("state.json")
        factory = machine.sha256_of(FACTORY)
        if state is None or state.get("format") != 1:
            state = fresh_state(factory)
        elif factory and state["factory"] != factory:
            # somebody installed another file by hand: that is what shall run
            machine.say("a newly installed agent takes over")
            if state["trial"] is not None:
                state = reverted(state, machine.now_ms(), "replaced", "installed anew by hand")
            current = {"slot": FACTORY, "sha256": factory, "config": state["current"]["config"]}
            state = {**state, "factory": factory, "current": current, "previous": None}
        else:
            return state
        try:
            machine.write("state.json", state)
        except OSError as error:  # a full disk is no reason not to measure
            machine.say(f"state.json cannot be written: {error}")
        return state

    def _keep(self, state: Json) -> None:
        """Written first, then believed."""
        self._machine.write("state.json", state)
        self.state = state

    # one turn ---------------------------------------------------------------------------------

    def turn(self) -> None:
        """Do what is due now."""
        if self.child is not None:
            self.child.hear()
            if self.child.exit_code() is not None:
                self._ended(self.child)
        if self.child is None:
            self._start()
        elif self._is_trying:
            self._look_at_trial(self.child)
        elif self.state["trial"] is not None:
            if self._machine.monotonic() >= self._start_at_s:
                self._switch()
        else:
            request = self._machine.read("request.json")
            if request is not None:
                self._asked(request)

    def wait_s(self) -> float:
        """How long nothing will be due unless the agent speaks."""
        if self.child is None:
            return max(0.05, min(1.0, self._start_at_s - self._machine.monotonic()))
        return 0.5 if self.state["trial"] is not None else 5.0

    def _is_good(self, pair: Json) -> bool:
        return bool(pair["sha256"]) and self._machine.sha256_of(pair["slot"]) == pair["sha256"]

    def _start(self) -> None:
        """Nothing runs: start what should. A trial that was broken off is taken up once."""
        machine = self._machine
        if machine.monotonic() < self._start_at_s:
            return
        trial = self.state["trial"]
        if trial is not None:
            if trial["starts"] >= TRIAL_STARTS_MAX or not self._is_good(trial["pair"]):
                self._go_back("interrupted", f"the trial was broken off {trial['starts']} times")
            else:
                try:
                    self._keep(proving(self.state, machine.now_ms(), trial["starts"] + 1))
                except OSError as error:  # what cannot be counted is not tried; samples go on
                    machine.say(f"the trial waits for the disk: {error}")
                    self._run(self.state["current"], False)
                else:
                    self._run(trial["pair"], True)
                return
        if not self._is_good(self.state["current"]):
            self._fall_back("damaged", "the agent's file is damaged")
        self._run(self.state["current"], False)

    def _fall_back(self, reason: str, text: str) -> None:
        machine = self._machine
        fallback = fallen_back(self.state, machine.now_ms(), reason, self._is_good)
        if fallback is not None:
            machine.say(f"{text}; falls back to {fallback['current']}")
            self._keep(fallback)

    def _run(self, pair: Json, is_trial: bool) -> None:
        machine = self._machine
        machine.remove("proof.json")
        self._is_trying = is_trial
        try:
            if pair["slot"] != FACTORY and not self._is_good(pair):
                raise OSError("its file is damaged, and so is every other")
            self.child = machine.start(pair, is_trial)
        except OSError as error:
            machine.say(f"the agent cannot be started: {error}")
            self._start_at_s = machine.monotonic() + BACK_OFF_MAX_S
        self._at_work()

    def _at_work(self) -> None:
        self._began_s = self._machine.monotonic()
        self._cpu_from = None
        self._answers, self._away_s, self._probed_s = None, 0.0, -1e9

    def _ended(self, child: Running) -> None:
        """The agent is gone without having been asked to go."""
        machine, code = self._machine, child.exit_code()
        lived_s = machine.monotonic() - self._began_s
        child.end(0.0)
        self.child = None
        machine.say(f"the agent ended ({code}) after {lived_s:.0f} s")
        trial = self.state["trial"]
        if self._is_trying:
            if code == OPERATORS_EXIT or trial["starts"] >= TRIAL_STARTS_MAX:
                self._go_back("crashed", f"it ended with {code} after {lived_s:.1f} s")
            return
        self._quick_ends = self._quick_ends + 1 if lived_s < QUICK_END_S else 0
        if self._quick_ends >= QUICK_ENDS_MAX and code != OPERATORS_EXIT:
            self._quick_ends = 0
            self._fall_back("boot_loop", "the agent does not stay up")
        if self._quick_ends:
            pause_s = min(BACK_OFF_MAX_S, 2.0 ** (self._quick_ends - 1))
            self._start_at_s = machine.monotonic() + pause_s

    # a change ---------------------------------------------------------------------------------

    def _asked(self, request: Json) -> None:
        machine = self._machine
        if request.get("id") == self.state["last_request"]:
            machine.remove("request.json")  # a kill came after it was taken up
            return
        why = refusal(self.state, request)
        if why is None and not self._is_good(request["pair"]):
            why = "wrong_hash", "the file in the slot is not what was staged"
        if why is None and machine.free_bytes() < FREE_BYTES_MIN:
            why = "no_space", f"less than {FREE_BYTES_MIN >> 20} MiB are free"
        if why is not None:
            state = self.state
            for part in request["parts"] if why[0] != "malformed" else ():
                state = with_event(state, part, "refused", machine.now_ms(), *why)
            machine.say("refused a change: {} ({})".format(*why))
            self._keep({**state, "last_request": str(request.get("id", ""))})
            machine.remove("request.json")
            return
        self._keep(with_trial(self.state, request, machine.now_ms()))
        machine.remove("request.json")
        self._switch()

    def _switch(self) -> None:
        """Start the trial beside what runs, and hand over once it is ready."""
        machine, trial = self._machine, self.state["trial"]
        self._start_at_s = machine.monotonic() + BACK_OFF_MAX_S  # where the disk takes nothing
        machine.say(f"tries {json.dumps(trial['pair'])}")
        machine.remove("proof.json")
        new, code = self._prepared(trial["pair"], True)
        if new is None and self.is_stopping:
            return  # the next start of the launcher takes it up
        if new is None:
            self._go_back("does_not_start", f"it was not ready to take over (exit code {code})")
            return
        try:
            self._keep(proving(self.state, machine.now_ms(), trial["starts"]))
        except OSError:
            new.end(1.0)
            raise
        self._hand_over(new, True)

    def _prepared(self, pair: Json, is_trial: bool) -> tuple[Running | None, int | None]:
        """An agent that is ready to take over, else None and its exit code."""
        machine = self._machine
        try:
            new = machine.start(pair, is_trial)
        except OSError as error:
            return None, error.errno
        until = machine.monotonic() + PREPARE_S
        while machine.monotonic() < until and not self.is_stopping:
            new.hear()
            if new.is_ready or new.exit_code() is not None:
                break
            machine.wait([new], 0.2)
        if new.is_ready and new.exit_code() is None:
            return new, None
        code = new.exit_code()
        new.end(1.0)
        return None, code

    def _hand_over(self, new: Running, is_trial: bool) -> None:
        old, self.child, self._is_trying = self.child, new, is_trial
        self._start_at_s = 0.0
        if old is not None:
            old.end()
        self._at_work()

    def _look_at_trial(self, child: Running) -> None:
        machine, trial = self._machine, self.state["trial"]
        alive_s = machine.monotonic() - self._began_s
        proof = machine.read("proof.json")
        if proof is not None and not self._is_fresh(child, proof):
            proof = None
        if alive_s >= trial["watch_s"] and trial["probe"]:
            self._keep_probing(trial["probe"])
        costs = self._cpu(child, alive_s), child.memory_bytes()
        verdict, reason, text = judge(trial, proof, alive_s, *costs, self._answers, self._away_s)
        if verdict == "pass":
            self._keep(committed(self.state, machine.now_ms()))
            self._is_trying = False
            machine.say(f"proven: {json.dumps(trial['pair'])}")
            self._quick_ends = 0
            self._end_probe()
        elif verdict == "fail":
            self._go_back(reason, text)

    def _is_fresh(self, child: Running, proof: Json) -> bool:
        try:
            age_s = self._machine.monotonic() - proof["monotonic_s"]
            _ = [proof[k] for k in ("build", "config", "failing", "connected", "acked", "gap")]
            return bool(proof["pid"] == child.pid and -1 < age_s < PROOF_FRESH_S)
        except (KeyError, TypeError):
            return False

    def _cpu(self, child: Running, alive_s: float) -> tuple[float, float] | None:
        used = child.cpu_s()
        if used is None or alive_s < 1.0:
            return None
        if self._cpu_from is None:
            self._cpu_from = (alive_s, used)  # what starting cost is not counted
        from_s, before = self._cpu_from
        span_s = alive_s - from_s
        if span_s < 1.5:
            return None
        return (used[0] - before[0]) / span_s, (used[1] - before[1]) / span_s

    def _keep_probing(self, probe: Json) -> None:
        machine = self._machine
        if self._probe is not None:
            code = self._probe.poll()
            if code is None and machine.monotonic() - self._probed_s < 2 * PROBE_TIMEOUT_S:
                return
            if code is None:
                self._probe.kill()
                self._probe.wait()
            self._probe, self._answers = None, code == 0
            if not self._answers:
                self._away_s = machine.monotonic() - self._began_s - self.state["trial"]["watch_s"]
        elif machine.monotonic() - self._probed_s >= 1.0:
            self._probed_s = machine.monotonic()
            self._probe = machine.probe(probe)

    def _end_probe(self) -> None:
        if self._probe is not None:
            self._probe.kill()
            self._probe.wait()
            self._probe = None

    def _go_back(self, reason: str, text: str) -> None:
        """Decide first, in one write; then start what ran before, and end what was tried."""
        machine = self._machine
        machine.say(f"goes back ({reason}: {text})")
        self._keep(reverted(self.state, machine.now_ms(), reason, text))
        self._end_probe()
        if self.child is None or not self._is_trying:
            return  # nothing runs, or the old one never stopped
        machine.remove("proof.json")
        old, _ = self._prepared(self.state["current"], False)
        if old is None:
            self.child.end()
            self.child = None
            return
        self._hand_over(old, False)

    def stop(self) -> None:
        """End the agent, in good order."""
        if self.child is not None:
            self.child.end()
            self.child = None


def probe_main(probe: Json) -> int:
    """Exit code 0 where the server (or the proxy to it) answers."""
    import ssl

    through = probe.get("proxy")
    host, port = through or (probe["host"], probe["port"])
    with socket.create_connection((host, port), PROBE_TIMEOUT_S) as raw:
        if through:
            ask = (
                f"CONNECT {probe['host']}:{probe['port']} HTTP/1.1\r\nHost: {probe['host']}\r\n\r\n"
            )
            raw.sendall(ask.encode())
            return 0 if b" 200" in raw.recv(64) else 1
        if not probe.get("plaintext"):
            # whether it is the right one, the agent judges; here only: does it answer
            context = ssl._create_unverified_context()  # noqa: S323
            raw = context.wrap_socket(raw)
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: vezha\r\nConnection: close\r\n\r\n")
        return 0 if b" 200 " in raw.recv(64) else 1


def main(words: list[str]) -> int:
    """`--state FOLDER --factory FILE [--config FILE]`, until SIGTERM."""
    if words[:1] == ["--probe"]:
        try:
            return probe_main(json.loads(words[1]))
        except (OSError, ValueError, KeyError):
            return 1
    given = dict(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or not {"--state", "--factory"} <= set(given):
        print("usage: --state FOLDER --factory FILE [--config FILE]", file=sys.stderr)
        return OPERATORS_EXIT
    launcher = Launcher(Machine(given["--state"], given["--factory"], given.get("--config", "")))

    def stop(_number: int, _frame: object) -> None:
        launcher.is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # a signal must end the wait below
    woken, waker = socket.socketpair()
    woken.setblocking(False)
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    while not launcher.is_stopping:
        try:
            launcher.turn()
        except OSError as error:  # a full disk: what runs goes on, and the step is tried again
            print(f"vezha-launcher: {error}", file=sys.stderr, flush=True)
        channels: list[Any] = [woken] + ([launcher.child] if launcher.child is not None else [])
        select.select(channels, [], [], launcher.wait_s())
        with contextlib.suppress(BlockingIOError):
            woken.recv(4096)
    launcher.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
