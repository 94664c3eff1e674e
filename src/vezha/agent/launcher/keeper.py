"""`Launcher`: keeps one agent running, tries what is asked for, goes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vezha.agent.launcher.limits import (
    BACK_OFF_MAX_S,
    FACTORY,
    FREE_BYTES_MIN,
    OPERATORS_EXIT,
    PREPARE_S,
    PROBE_EVERY_S,
    PROBE_FROM_S,
    PROBE_SLOW,
    PROBE_TIMEOUT_S,
    PROOF_FRESH_S,
    QUICK_END_S,
    QUICK_ENDS_MAX,
    TRIAL_STARTS_MAX,
    Json,
)
from vezha.agent.launcher.state import (
    committed,
    fallen_back,
    fresh_state,
    kept,
    proving,
    refusal,
    reverted,
    with_event,
    with_trial,
)
from vezha.agent.launcher.verdict import ANSWERS, AWAY, SLOW, UNASKED, Seen, judge

if TYPE_CHECKING:
    from vezha.agent.ground import Ground, Running


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
        self._server, self._bad_s = UNASKED, 0.0
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
        self._server, self._bad_s, self._probed_s = UNASKED, 0.0, -1e9

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
        is_current = request["pair"] == self.state["current"] and self.child is not None
        if is_current and request.get("as_is") is True:
            self._keep(kept(self.state, request, machine.now_ms()))
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
        is_heard = proof is not None and proof["connected"] and proof["acked"]
        if trial["probe"] and (
            self._probe is not None or (alive_s >= PROBE_FROM_S and not is_heard)
        ):
            self._keep_probing(trial["probe"], alive_s)
        seen = Seen(
            alive_s, self._cpu(child, alive_s), child.memory_bytes(), self._server, self._bad_s
        )
        verdict, reason, text = judge(trial, proof, seen)
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

    def _keep_probing(self, probe: Json, alive_s: float) -> None:
        machine = self._machine
        if self._probe is not None:
            code = self._probe.poll()
            if code is None and machine.monotonic() - self._probed_s < 2 * PROBE_TIMEOUT_S:
                return
            if code is None:
                self._probe.kill()
                self._probe.wait()
            self._probe, self._server = None, {0: ANSWERS, PROBE_SLOW: SLOW}.get(code, AWAY)
            if self._server != ANSWERS:
                self._bad_s = alive_s
        elif machine.monotonic() - self._probed_s >= PROBE_EVERY_S:
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
