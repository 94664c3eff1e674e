"""Runs the stories of this folder (see its README)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select
from tests.unit.delivery.rolling import rollout_of, start, state_of

from vezha.delivery.desk import wish
from vezha.gateway.strain import REASONS
from vezha.ledger import Ledger
from vezha.ledger.tables import attempt_event, host, quarantine
from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.field import OLD, Field

FOLDER = Path(__file__).parent
LONG_S = 300
GATES = ({"kind": "proof"},)
WAVES = ({"name": "canary", "hosts": ["h00000"], "bake_s": 1}, {"name": "all", "bake_s": 1})


class Stage:
    """One story on its field."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.targets: dict[str, str] = {}

    def play(self, line: str) -> None:
        """One statement."""
        verb, _, rest = line.partition(" ")
        acts: dict[str, Callable[[list[str]], None]] = {
            "hosts": self.hosts, "release": self.release, "good": self.good, "start": self.start,
            "wait": self.wait, "server": self.server, "away": self.away, "back": self.back,
            "resume": lambda _: self.wish("resume"), "revert": lambda _: self.wish("revert"),
            "until": self.until, "expect": self.expect,
        }  # fmt: skip
        acts[verb](rest.split())

    def hosts(self, words: list[str]) -> None:
        self.field = Field(self.ledger, int(words[0]))
        self.loop = self.field.loop()

    def release(self, words: list[str]) -> None:
        version, *how = words
        behaviour = None
        if how:
            ends, reason, times = (*how, "", "")[:3]
            behaviour = Behaviour(ends, reason, times=int(times) if times else 1_000_000)
        self.targets[version] = self.field.publish(version, behaviour)

    def good(self, words: list[str]) -> None:
        self.field.behaviours.clear()
        assert words[0] in self.targets

    def start(self, words: list[str]) -> None:
        version, *policy = words
        given = {"max_in_flight": 2, "max_unavailable": 0.5}
        if policy:
            given["patience_s"] = float(policy[1])
        self.id = start(self.field, self.targets[version], waves=WAVES, gates=GATES, policy=given)

    def wait(self, words: list[str]) -> None:
        self.field.run(self.loop, float(words[0]))

    def server(self, words: list[str]) -> None:
        signals = self.field.signals
        if words[0] == "restarts":
            self.field.gateway_down()
            self.loop = self.field.loop(settle_ms=60_000)
            return
        signals.trouble, signals.blind = "", words[0] == "blind"
        if words[0] == "slow":
            signals.trouble = REASONS[words[1]]
        elif signals.blind:
            signals.trouble = "the server tells nothing of itself"
        else:
            assert words == ["well"]

    def away(self, words: list[str]) -> None:
        named = [a.host_id for a in self.field.agents.values() if a.agent_id in words]
        self.field.away = set(self.field.agents if words == ["all"] else named)

    def back(self, _words: list[str]) -> None:
        self.field.away = set()

    def wish(self, act: str) -> None:
        with self.ledger.begin() as connection:
            wish(connection, self.id, act, "ann", self.field.now_ms)

    def until(self, words: list[str]) -> None:
        def is_there() -> bool:
            return state_of(self.field, self.id) == words[0]

        assert self.field.run(self.loop, LONG_S, until=is_there), rollout_of(self.field, self.id)

    def expect(self, words: list[str]) -> None:
        row = rollout_of(self.field, self.id)
        if words[0] == "reason":
            assert " ".join(words[1:]) in row.reason
        elif words[0] == "nobody":
            assert self.column(select(quarantine.c.reason)) == []
        elif words[0] == "quarantine":
            assert words[1] in self.column(select(quarantine.c.reason))
        elif words[0] == "everybody":
            target = self.targets.get(words[2])
            sha256 = hashlib.sha256(target.encode()).hexdigest() if target else OLD
            assert {a.running for a in self.field.agents.values()} == {sha256}
        elif words[1:3] == ["went", "back"]:
            found = self.column(
                select(func.count())
                .select_from(attempt_event)
                .join(host, host.c.id == attempt_event.c.host_id)
                .where(host.c.name == words[0], attempt_event.c.to_state == "waiting")
            )
            assert found == [int(words[3])]
        else:
            assert [row.state, row.reason_code] == words

    def column(self, query: object) -> list[object]:
        with self.ledger.read() as connection:
            return list(connection.execute(query).scalars())  # type: ignore[call-overload]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_story(path: Path, ledger: Ledger) -> None:
    stage = Stage(ledger)
    for number, text in enumerate(path.read_text().splitlines(), 1):
        line = text.partition("#")[0].strip()
        if not line:
            continue
        try:
            stage.play(line)
        except AssertionError as fault:
            raise AssertionError(f"{path.name}:{number}: {line}\n{fault}") from fault
