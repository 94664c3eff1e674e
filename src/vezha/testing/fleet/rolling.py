"""A rollout over a whole simulated fleet, with a server that is killed with `kill -9` on the way.

The server is a process of its own: the real delivery loop and the gateway's part over a ledger file.
The agents are here; between the two go the real messages. Time is the driver's, a second per round,
so that hours pass in minutes; kills come at random moments of the machine's own time, from the seed.
Promises are looked at in each round, from the ledger and from what the agents saw themselves.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from vezha.delivery.desk import Draft, draft_change, plan_change, start_change
from vezha.delivery.loop import Delivery
from vezha.gateway.sink import Identity
from vezha.ledger import Ledger
from vezha.ledger.tables import attempt, rollout
from vezha.model.columns import Values
from vezha.model.labels import Labels
from vezha.server.changes import LedgerChanges
from vezha.testing.fleet.changes import Behaviour, ChangingAgent
from vezha.testing.fleet.field import OLD, Field, SetClock
from vezha.wire import message as m
from vezha.world import World

WAVES = (
    {"name": "canary", "percent": 0.2, "bake_s": 20},
    {"name": "second", "percent": 5, "bake_s": 20},
    {"name": "third", "percent": 20, "bake_s": 20},
    {"name": "half", "percent": 50, "bake_s": 20},
    {"name": "all", "bake_s": 20},
)
IN_FLIGHT = ("offered", "downloaded", "staged", "started")
ROUNDS_MAX = 6_000
SETTLE_MS = 5_000
"""Shorter than in life, or each kill would cost a minute of the fleet's time."""
Told = list[tuple[str, str, bytes]]
"""(agent, host, PROGRESS) as they go up."""
Answer = tuple[list[tuple[str, bytes]], dict[str, bytes]]
"""(agent, PROGRESS_ACK), and DESIRED by host."""


@dataclass
class Report:
    """What one rollout showed. `touched` are hosts that ever started the new version."""

    hosts: int
    state: str = ""
    reason: str = ""
    rounds: int = 0
    kills: int = 0
    touched: int = 0
    in_flight_max: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0
    server_cpu_s: float = 0.0
    server_bytes_max: int = 0

    def __str__(self) -> str:
        lines = [
            f"{self.hosts} hosts: {self.state}" + (f" ({self.reason})" if self.reason else ""),
            f"  hosts by state: {self.counts}",
            f"  {self.touched} hosts started it ({100 * self.touched / self.hosts:.2f} %), at most "
            f"{self.in_flight_max} in flight",
            f"  server killed {self.kills} times, {self.rounds} s of the fleet's time",
            f"  {self.seconds:.1f} s here; server: {self.server_cpu_s:.1f} s of processor time, "
            f"{self.server_bytes_max / 2**20:.0f} MiB at most",
            "  broken promises: " + ("; ".join(self.broken) or "none"),
        ]
        return "\n".join(lines)


class _AllWell:
    """Signals of a fleet that is there and well."""

    def __init__(self, names: list[str]) -> None:
        self._up = dict.fromkeys(names, True)

    def vector(self, expr: str, at_ms: int) -> list[tuple[Labels, float]]:
        return [((), 1.0)] if expr.startswith("1 - avg(count_over_time(up") else []

    def matrix(
        self, expr: str, start_ms: int, end_ms: int, step_ms: int
    ) -> tuple[list[Labels], Values]:
        raise AssertionError("nobody asks")

    def up(self, at_ms: int) -> Mapping[str, bool] | None:
        return self._up

    def strain(self, at_ms: int) -> str:
        return ""


def serve(path: str, names: list[str], pipe: Pipe) -> None:
    """The server's process: a round for each message, until it is killed."""
    clock = SetClock()
    world = World(clock=clock)
    ledger = Ledger.open(path)
    gateway = LedgerChanges(ledger, world, "")
    loop: Delivery | None = None
    while True:
        now_s, told = pipe.recv()
        clock.now_s = now_s
        first = loop is None
        if loop is None:
            loop = Delivery(ledger, world, _AllWell(names), settle_ms=SETTLE_MS)
        acks = _take(gateway, told)
        loop.step()
        news = gateway.refresh()
        wanted = names if first else sorted(news)
        desired = {
            name: m.pack(m.Desired([dict(e) for e in gateway.directives_of(name)]))
            for name in wanted
            if gateway.directives_of(name)
        }
        pipe.send((acks, desired))


def _take(gateway: LedgerChanges, told: Told) -> list[tuple[str, bytes]]:
    if not told:
        return []
    messages: list[tuple[Identity, m.Progress]] = []
    newest: dict[str, int] = {}
    for agent_id, name, packed in told:
        message = m.unpack(packed)
        assert isinstance(message, m.Progress)
        messages.append((Identity(agent_id, name), message))
        newest[agent_id] = max(newest.get(agent_id, 0), message.number)
    gateway.write_progress(messages)
    return [(agent_id, m.pack(m.ProgressAck(number))) for agent_id, number in newest.items()]


class _Server:
    """The process, and the moment at which it is to be killed next."""

    def __init__(self, path: Path, names: list[str]) -> None:
        self._path, self._names = path, names
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._pipe, theirs = self._context.Pipe()
        self._process = self._context.Process(
            target=serve, args=(str(self._path), self._names, theirs), daemon=True
        )
        self._process.start()
        theirs.close()

    def round(self, now_s: float, told: Told, kill_after_s: float | None) -> Answer | None:
        """One round; None where the server was killed in it."""
        self._pipe.send((now_s, told))
        if kill_after_s is not None:
            time.sleep(kill_after_s)
            self.kill()
            self._start()
            return None
        found: Answer = self._pipe.recv()
        return found

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process.pid is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.join()
        self._pipe.close()


def roll_out(
    folder: Path, hosts: int, seed: int, kills: int, behaviour: Behaviour, max_in_flight: int
) -> Report:
    """One rollout of *hosts* in five waves, the server killed *kills* times."""
    chance = random.Random(seed)
    path = folder / "ledger.db"
    ledger = Ledger.open(str(path))
    ledger.migrate()
    fleet = Field(ledger, hosts, seed)
    rollout_id, sha256 = _begin(fleet, behaviour, max_in_flight)
    names = [agent.agent_id for agent in fleet.agents.values()]
    by_name = {agent.agent_id: agent for agent in fleet.agents.values()}
    report = Report(hosts)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began_s = time.monotonic()
    server = _Server(path, names)
    # the kills are spread over the rounds that a rollout of that size takes at the least
    wanted = set(
        chance.sample(range(5, 5 + max(kills * 4, 2 * _rounds(hosts, max_in_flight) // 3)), kills)
    )
    usual_s = 0.01
    while report.rounds < ROUNDS_MAX:
        report.rounds += 1
        fleet.clock.now_s += 1
        told = _say(fleet)
        killing = report.rounds in wanted
        round_s = time.monotonic()
        answer = server.round(
            fleet.clock.now_s, told, chance.uniform(0, 1.5 * usual_s) if killing else None
        )
        if answer is None:
            report.kills += 1
            for agent in fleet.agents.values():
                agent.reconnect()
            continue
        usual_s = 0.8 * usual_s + 0.2 * (time.monotonic() - round_s)
        _hear(by_name, answer, fleet.clock.now_s, report)
        if _look(ledger, rollout_id, max_in_flight, report):
            break
    server.kill()
    report.seconds = time.monotonic() - began_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report.server_cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    report.server_bytes_max = after.ru_maxrss * 1024
    _judge(ledger, rollout_id, sha256, fleet, report)
    ledger.close()
    return report


def _rounds(hosts: int, max_in_flight: int) -> int:
    return 60 + 9 * hosts // max_in_flight


def _begin(fleet: Field, behaviour: Behaviour, max_in_flight: int) -> tuple[int, str]:
    target = fleet.publish("2.0", behaviour)
    draft = Draft(
        "agent", target, why="it is better", owner="ann", checklist="roll-out",
        gates=[{"kind": "proof"}], waves=WAVES,
        policy={"max_in_flight": max_in_flight, "max_unavailable": 0.5, "patience_s": 120},
    )  # fmt: skip
    with fleet.ledger.begin() as connection:
        id_ = draft_change(connection, draft, "ann", fleet.now_ms)
        plan_change(connection, id_, fleet.signals.up(0), "ann", fleet.now_ms)
        rollout_id = start_change(connection, id_, "ann", fleet.now_ms)
    (sha256,) = [s for s in fleet.behaviours if s != OLD]
    return rollout_id, sha256


def _say(fleet: Field) -> Told:
    told: Told = []
    for agent in fleet.agents.values():
        agent.tick(fleet.clock.now_s)
        if agent.told:
            told += [(f"a{agent.host_id}", agent.agent_id, packed) for packed in agent.sends()]
    return told


def _hear(by_name: dict[str, ChangingAgent], answer: Answer, now_s: float, report: Report) -> None:
    acks, desired = answer
    by_id = {f"a{agent.host_id}": agent for agent in by_name.values()} if acks else {}
    for agent_id, packed in acks:
        by_id[agent_id].acknowledge(packed)
    for name, packed in desired.items():
        agent = by_name[name]
        message = m.unpack(packed)
        assert isinstance(message, m.Desired)
        for entry in message.directives:
            known = entry["sha256"] in agent.quarantined and not entry["detail"].get("forced")
            if known and entry["generation"] > agent.generation:
                report.broken.append(f"{name} was offered what it went back from")
        agent.desire(packed, now_s)


def _look(ledger: Ledger, rollout_id: int, max_in_flight: int, report: Report) -> bool:
    with ledger.read() as connection:
        row: Any = connection.execute(
            select(rollout.c.state, rollout.c.reason).where(rollout.c.id == rollout_id)
        ).one()
        counts = {
            r.state: r.n
            for r in connection.execute(
                select(attempt.c.state, func.count().label("n"))
                .where(attempt.c.rollout_id == rollout_id)
                .group_by(attempt.c.state)
            )
        }
    flying = sum(counts.get(s, 0) for s in IN_FLIGHT)
    report.in_flight_max = max(report.in_flight_max, flying)
    if flying > max_in_flight:
        report.broken.append(f"{flying} hosts in flight at once")
    report.state, report.reason, report.counts = row.state, row.reason, counts
    return row.state in ("done", "reverted") and not flying and not counts.get("reverting")


def _judge(ledger: Ledger, rollout_id: int, sha256: str, fleet: Field, report: Report) -> None:
    report.touched = sum(a.starts.get(sha256, 0) > 0 for a in fleet.agents.values())
    twice = sum(a.starts.get(sha256, 0) > 1 for a in fleet.agents.values())
    if twice:
        report.broken.append(f"{twice} hosts were changed twice")
    if report.state not in ("done", "reverted"):
        report.broken.append(f"it is still {report.state}")
    wanted = sha256 if report.state == "done" else OLD
    with ledger.read() as connection:
        rows = connection.execute(
            select(attempt.c.host_id, attempt.c.state).where(attempt.c.rollout_id == rollout_id)
        ).all()
    if len({r.host_id for r in rows}) != report.hosts:
        report.broken.append("hosts are missing, or there twice")
    for row in rows:
        agent = fleet.agents[row.host_id]
        proven = row.state == "proven" and agent.running == wanted
        back = row.state in ("reverted", "skipped") and agent.running == OLD
        if not proven and not back:
            report.broken.append(f"{agent.agent_id} is left {row.state} with {agent.running[:8]}")
    report.broken = report.broken[:20]
