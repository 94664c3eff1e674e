"""A fleet for delivery: a ledger with hosts, simulated agents, and the gateway's part, by hand.

Time is set by whoever runs it, so that hours pass in a second; the loop under test is the real one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import insert, select

from vezha.delivery.loop import Delivery
from vezha.gateway.sink import Identity
from vezha.ledger import Ledger
from vezha.ledger.tables import agent as agent_table
from vezha.ledger.tables import host, release, running
from vezha.model.columns import Values
from vezha.model.labels import Labels, labels_of
from vezha.server.changes import LedgerChanges
from vezha.testing.fleet.changes import Behaviour, ChangingAgent
from vezha.wire import message as m
from vezha.wire.directive import KINDS
from vezha.world import World

EPOCH_S = 1_800_000_000.0
OLD_TARGET = "agent/vezha/1.0/file"
OLD = hashlib.sha256(OLD_TARGET.encode()).hexdigest()


class SetClock:
    """A clock that stands until it is set on."""

    def __init__(self, now_s: float = EPOCH_S) -> None:
        self.now_s = now_s

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.now_s

    def monotonic(self) -> float:
        """The same."""
        return self.now_s

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.now_s += seconds


@dataclass
class FieldSignals:
    """Signals out of the field itself: who is up, and what a test says of the rest."""

    field: Field
    vectors: dict[str, list[tuple[Labels, float]] | Callable[[int], list[tuple[Labels, float]]]] = (
        dataclasses.field(default_factory=dict)
    )
    matrices: Callable[[str, int, int, int], tuple[list[Labels], Values]] | None = None
    good: float | None = 1.0
    predictability: float | None = 0.9
    trouble: str = ""
    """Why the server keeps agents waiting."""
    blind: bool = False
    """Whether nothing is known of any host."""

    def vector(self, expr: str, at_ms: int) -> list[tuple[Labels, float]]:
        if expr in self.vectors:
            found = self.vectors[expr]
            return found(at_ms) if callable(found) else found
        if expr == "vezha_agent_completeness_ratio":
            return [(labels_of({"instance": a}), 1.0) for a in self.field.up_names()]
        if "vezha_load_predictability" in expr:
            if self.predictability is None:
                return []
            return [
                (labels_of({"instance": a}), self.predictability) for a in self.field.up_names()
            ]
        if expr.startswith("1 - avg(count_over_time(up"):
            return [] if self.good is None else [((), self.good)]
        return []

    def matrix(
        self, expr: str, start_ms: int, end_ms: int, step_ms: int
    ) -> tuple[list[Labels], Values]:
        if self.matrices is None:
            return [], np.zeros((0, 0))
        return self.matrices(expr, start_ms, end_ms, step_ms)

    def up(self, at_ms: int) -> Mapping[str, bool] | None:
        if self.blind:
            return None
        return {a.agent_id: a.host_id not in self.field.away for a in self.field.agents.values()}

    def strain(self, at_ms: int) -> str:
        return self.trouble


class Field:
    """N hosts `h00000 …` with labels, their agents, the ledger between them and the loop."""

    def __init__(
        self,
        ledger: Ledger,
        count: int,
        seed: int = 1,
        behaviours: Mapping[str, Behaviour] | None = None,
        labels: Callable[[int], Mapping[str, str]] = lambda i: {"role": "web", "zone": f"z{i % 3}"},
    ) -> None:
        self.ledger = ledger
        self.clock = SetClock()
        self.world = World(clock=self.clock)
        self.chance = random.Random(seed)
        self.behaviours = dict(behaviours or {})
        self.agents: dict[int, ChangingAgent] = {}
        self.away: set[int] = set()
        self._gateway = LedgerChanges(ledger, self.world, "")
        self.signals = FieldSignals(self)
        self._seed(count, labels)

    # Setting up

    def _seed(self, count: int, labels: Callable[[int], Mapping[str, str]]) -> None:
        now_ms = self.now_ms
        names = [f"h{i:05d}" for i in range(count)]
        with self.ledger.begin() as connection:
            connection.execute(
                insert(host),
                [
                    {"name": name, "labels": dict(labels(i)), "facts": {"python": "3.11.2"},
                     "created_ms": now_ms, "first_seen_ms": now_ms, "last_seen_ms": now_ms}
                    for i, name in enumerate(names)
                ],
            )  # fmt: skip
            ids = {r.name: r.id for r in connection.execute(select(host.c.id, host.c.name))}
            connection.execute(
                insert(running), [self._running(ids[name], OLD, now_ms) for name in names]
            )
            connection.execute(insert(agent_table), [self._agent(ids[name]) for name in names])
        for name in names:
            id_ = ids[name]
            self.agents[id_] = ChangingAgent(
                id_, name, random.Random(self.chance.random()), self.behaviours, OLD, OLD
            )
        self.publish("1.0")

    def _running(self, host_id: int, sha256: str, now_ms: int) -> dict[str, Any]:
        return {
            "host_id": host_id, "agent_id": f"a{host_id}", "build": "b", "version": "1.0",
            "release_sha256": sha256, "config_sha256": "", "effective_sha256": "",
            "generations": {}, "quarantined": [], "capabilities": list(KINDS), "detail": {},
            "reported_ms": now_ms, "received_ms": now_ms,
        }  # fmt: skip

    def _agent(self, host_id: int) -> dict[str, Any]:
        return {"id": f"a{host_id}", "host_id": host_id, "secret_hash": "", "created_ms": 0,
                "revoked_ms": None}  # fmt: skip

    def add_host(self, name: str, labels: Mapping[str, str]) -> int:
        """A host joins; its number."""
        with self.ledger.begin() as connection:
            made = connection.execute(
                insert(host).values(
                    name=name, labels=dict(labels), facts={}, created_ms=self.now_ms,
                    first_seen_ms=self.now_ms, last_seen_ms=self.now_ms,
                )
            ).inserted_primary_key  # fmt: skip
            assert made is not None
            id_ = int(made[0])
            connection.execute(insert(running).values(**self._running(id_, OLD, self.now_ms)))
            connection.execute(insert(agent_table).values(**self._agent(id_)))
        self.agents[id_] = ChangingAgent(
            id_, name, random.Random(self.chance.random()), self.behaviours, OLD, OLD
        )
        return id_

    def publish(
        self, version: str, behaviour: Behaviour | None = None, kind: str = "agent", **custom: Any
    ) -> str:
        """An artifact as `vezha release publish` would make it a row; its target."""
        target = f"{kind}/vezha/{version}/file"
        sha256 = hashlib.sha256(target.encode()).hexdigest()
        if behaviour is not None:
            self.behaviours[sha256] = behaviour
        with self.ledger.begin() as connection:
            connection.execute(
                insert(release).values(
                    kind=kind, name="vezha", version=version, target=target, sha256=sha256,
                    length=100_000, custom=custom, published_ms=self.now_ms, published_by="ann",
                )
            )  # fmt: skip
        return target

    # Running

    @property
    def now_ms(self) -> int:
        """The field's time in ms."""
        return int(self.clock.now_s * 1000)

    def up_names(self) -> Iterable[str]:
        """Names of hosts that are connected."""
        return (a.agent_id for a in self.agents.values() if a.host_id not in self.away)

    def loop(self, **options: Any) -> Delivery:
        """A delivery loop as after a start of the server."""
        options.setdefault("settle_ms", 0)
        return Delivery(self.ledger, self.world, self.signals, **options)

    def gateway_down(self) -> None:
        """The server was killed: connections are gone, and what it knew."""
        self._gateway = LedgerChanges(self.ledger, self.world, "")
        for agent in self.agents.values():
            agent.reconnect()

    def pass_messages(self) -> None:
        """One round of the channel: DESIRED down, PROGRESS up, acknowledged once it is a row."""
        now_s = self.clock.now_s
        self._gateway.refresh()
        for agent in self.agents.values():
            here = agent.host_id not in self.away
            wanted = self._gateway.directives_of(agent.agent_id) if here else ()
            agent.be_desired(wanted, now_s)
        told: list[tuple[Identity, m.Progress]] = []
        for agent in self.agents.values():
            agent.tick(now_s)
            if agent.host_id in self.away or not agent.told:
                continue
            who = Identity(f"a{agent.host_id}", agent.agent_id)
            for packed in agent.sends():
                message = m.unpack(packed)
                assert isinstance(message, m.Progress)
                told.append((who, message))
        if told:
            self._gateway.write_progress(told)
            for who, message in told:
                agent = self.agents[int(who.agent_id[1:])]
                agent.acknowledge(m.pack(m.ProgressAck(message.number)))

    def run(
        self,
        loop: Delivery,
        seconds: float,
        step_s: float = 1.0,
        until: Callable[[], bool] | None = None,
        each: Callable[[], None] | None = None,
    ) -> bool:
        """Let time pass; whether *until* came true (without one: always True)."""
        end_s = self.clock.now_s + seconds
        while self.clock.now_s < end_s:
            self.pass_messages()
            loop.step()
            if each is not None:
                each()
            if until is not None and until():
                return True
            self.clock.now_s += step_s
        return until is None
