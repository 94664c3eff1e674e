"""How simulated agents take change: directives in, progress out, as the real messages.

An agent goes the real steps (downloaded, staged, started, then proven or reverted), each after a
time from the seed; it tells each step until it is acknowledged, never takes an older generation,
and remembers hashes that it went back from. What a version does on a host is said by `Behaviour`.
The disk survives a kill; what was under way goes on afterwards, as a launcher would let it.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vezha.delivery.reason import EXCUSED
from vezha.wire import message as m
from vezha.wire.directive import Directive, directive_of
from vezha.wire.limits import SCRIPT_CAPABILITY

_SENT_AT_ONCE = 8


@dataclass(frozen=True)
class Behaviour:
    """What a version does: how it ends (`proven`, `reverted`, `refused`, `hangs`), and for `share`
    of the hosts only, the others prove it; the first `times` on each host, then it is good."""

    ends: str = "proven"
    reason: str = ""
    share: float = 1.0
    times: int = 1_000_000
    step_s: float = 2.0


GOOD = Behaviour()


@dataclass
class Due:
    """A step that comes at a time, in s of the fleet's clock."""

    at_s: float
    step: str
    reason: str = ""


@dataclass
class ChangingAgent:
    """The delivery part of one simulated agent."""

    host_id: int
    agent_id: str
    chance: random.Random
    behaviours: Mapping[str, Behaviour]
    running: str = ""
    """Hash of what runs; "" for what it had by itself."""
    own: str = ""
    generation: int = 0
    quarantined: set[str] = field(default_factory=set)
    told: deque[m.Progress] = field(default_factory=deque)
    number: int = 0
    current: Directive | None = None
    before: str = ""
    due: deque[Due] = field(default_factory=deque)
    sent_up_to: int = 0
    desired: list[tuple[str, str, int]] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    """How often each hash was started here."""
    refusals: dict[str, int] = field(default_factory=dict)
    """How often each hash was refused here."""
    runs: dict[str, int] = field(default_factory=dict)
    """How often each script's run was begun here."""

    def reconnect(self) -> None:
        """What is not acknowledged is told again, and what is desired is heard again."""
        self.sent_up_to = 0
        self.desired = []

    def be_desired(self, entries: Sequence[Mapping[str, Any]], now_s: float) -> None:
        """What the gateway has for this host: told as a message where it is news here."""
        known = [(e["kind"], e["run"], e["generation"]) for e in entries]
        if known and known != self.desired:
            self.desired = known
            self.desire(m.pack(m.Desired([dict(e) for e in entries])), now_s)

    def desire(self, packed: bytes, now_s: float) -> None:
        """Take a DESIRED message."""
        message = m.unpack(packed)
        assert isinstance(message, m.Desired)
        self.take(message, now_s)

    def take(self, message: m.Desired, now_s: float) -> None:
        """Take an unpacked DESIRED message."""
        for entry in message.directives:
            self._take(directive_of(entry), now_s)

    def _take(self, wanted: Directive, now_s: float) -> None:
        if wanted.kind == SCRIPT_CAPABILITY:
            self._take_script(wanted, now_s)
            return
        if wanted.generation <= self.generation:
            return  # the same again, or older
        if self.due and self.due[0].step in ("proven", "reverted"):
            # what was started and is watched is given up for what is newer
            self.running = self.before
        self.generation = wanted.generation
        self.current = wanted
        self.due.clear()
        if wanted.sha256 == self.running or (wanted.target == "" and self.running == self.own):
            self._tell(wanted, "proven", now_s)
            return
        if wanted.target == "":
            self.due.append(Due(now_s + self._step_s(GOOD), "back"))
            return
        if wanted.sha256 in self.quarantined and not wanted.detail.get("forced"):
            self._tell(wanted, "refused", now_s, "quarantined")
            return
        behaviour = self.behaviours.get(wanted.sha256, GOOD)
        bad = behaviour.ends != "proven" and self.chance.random() < behaviour.share
        times = self.refusals if behaviour.ends == "refused" else self.starts
        bad = bad and times.get(wanted.sha256, 0) < behaviour.times
        if bad and behaviour.ends == "refused":
            self.refusals[wanted.sha256] = times.get(wanted.sha256, 0) + 1
        ends = behaviour.ends if bad else "proven"
        at_s = now_s
        steps = ["downloaded", "staged", "started", ends] if ends != "refused" else ["refused"]
        for step in steps:
            at_s += self._step_s(behaviour)
            if step == "hangs":
                break
            self.due.append(Due(at_s, step, behaviour.reason if step == ends and bad else ""))

    def _take_script(self, wanted: Directive, now_s: float) -> None:
        if wanted.run in self.runs:
            return
        self.runs[wanted.run] = 1
        behaviour = self.behaviours.get(wanted.sha256, GOOD)
        bad = behaviour.ends != "proven" and self.chance.random() < behaviour.share
        detail = {"exit_code": 3 if bad else 0, "output": f"on {self.agent_id}\n",
                  "dry_run": bool(wanted.detail.get("dry_run"))}  # fmt: skip
        self._tell(wanted, "started", now_s)
        self._tell(wanted, "finished", now_s, behaviour.reason if bad else "", detail)

    def _step_s(self, behaviour: Behaviour) -> float:
        return behaviour.step_s * self.chance.uniform(0.5, 1.5)

    def tick(self, now_s: float) -> None:
        """Take the steps that are due."""
        while self.due and self.due[0].at_s <= now_s:
            due = self.due.popleft()
            assert self.current is not None
            sha256 = self.current.sha256
            if due.step == "started":
                self.before, self.running = self.running, sha256
                self.starts[sha256] = self.starts.get(sha256, 0) + 1
            if due.step == "back":
                self.running = self.own
                self._tell(self.current, "proven", now_s)
                continue
            if due.step == "reverted":
                self.running = self.before
                if due.reason not in EXCUSED:
                    self.quarantined.add(sha256)
            self._tell(self.current, due.step, now_s, due.reason)
            if due.step == "reverted" and due.reason not in EXCUSED:
                self._tell(self.current, "quarantined", now_s, due.reason)

    def _tell(
        self, about: Directive, step: str, now_s: float, reason: str = "",
        detail: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        self.number += 1
        self.told.append(
            m.Progress(
                self.number, about.kind, about.generation, about.sha256, step, int(now_s * 1000),
                about.run, reason, dict(detail or {}),
            )
        )  # fmt: skip

    def sends(self) -> list[bytes]:
        """PROGRESS messages to send now."""
        out = []
        for one in self.told:
            if one.number > self.sent_up_to:
                out.append(m.pack(one))
                self.sent_up_to = one.number
            if len(out) >= _SENT_AT_ONCE:
                break
        return out

    def acknowledge(self, packed: bytes) -> None:
        """Take a PROGRESS_ACK message."""
        ack = m.unpack(packed)
        assert isinstance(ack, m.ProgressAck)
        self.acked(ack)

    def acked(self, ack: m.ProgressAck) -> None:
        """Take an unpacked PROGRESS_ACK message."""
        while self.told and self.told[0].number <= ack.number:
            self.told.popleft()
