"""Runs the plain-text scenarios of this folder (their language: README.md)."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tomllib
from sqlalchemy import Connection, insert, select

from vezha.alerting.durations import format_duration, parse_duration
from vezha.alerting.loop import Alerting, AlertingSettings
from vezha.alerting.notation import parse_series, parse_values
from vezha.incidents.loop import Desk
from vezha.incidents.oncall.document import read_everything
from vezha.incidents.oncall.escalation import Escalator
from vezha.incidents.oncall.handover import HandoverClerk
from vezha.incidents.oncall.person import Preference, add_contact, put_preference
from vezha.incidents.oncall.rows import add_override, put_everything
from vezha.incidents.silence import add_silence, parse_matchers
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, host, message, user
from vezha.model.columns import Values
from vezha.model.labels import Labels
from vezha.model.recurrence import DAYS
from vezha.notify.loop import Notifier
from vezha.notify.quiet import hours
from vezha.notify.settings import parse_settings
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.world import World

FOLDER = Path(__file__).parent
START_MS = 1_700_000_000_000
_RECEIVERS: dict[str, dict[str, object]] = {
    "webhook": {"type": "webhook", "url": "http://127.0.0.1:9/"},
    "smtp": {
        "type": "smtp",
        "host": "127.0.0.1",
        "port": 9,
        "security": "none",
        "from": "vezha@example.org",
        "to": ["all@example.org"],
    },
    "telegram": {"type": "telegram", "token": "1234:" + "a" * 30, "chat_id": 1},
}


class VirtualClock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now_s = START_MS / 1000
        self.monotonic_s = 1_000.0

    def now(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.monotonic_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.monotonic_s += seconds


@dataclass
class Scenario:
    """A parsed file."""

    rules: str = ""
    settle_ms: int = 0
    until_ms: int = 0
    receiver: str = "webhook"
    samples: list[tuple[int, Labels, int, float]] = field(default_factory=list)
    hosts: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    people: list[list[str]] = field(default_factory=list)
    oncall: str = ""
    dependencies: str = ""
    acts: list[tuple[int, str]] = field(default_factory=list)
    expect: list[str] = field(default_factory=list)
    messages: list[str] | None = None


def parse(text: str) -> Scenario:
    """Reads a scenario; a line that it does not know is an error."""
    out = Scenario()
    for key, inline, block in _sections(text):
        word, _, argument = key.partition(" ")
        if word == "rules":
            out.rules = inline or textwrap.dedent("\n".join(block))
        elif word == "settle":
            out.settle_ms = parse_duration(inline)
        elif word == "until":
            out.until_ms = parse_duration(inline)
        elif word == "receiver":
            out.receiver = inline
        elif word in ("series", "replayed"):
            delay_ms = parse_duration(argument) if argument else 0
            for line in block:
                match = re.fullmatch(r"\s*(\S+?(?:\{.*?\})?)\s+(.*)", line)
                assert match, line
                labels = parse_series(match[1])
                for i, value in enumerate(parse_values(match[2])):
                    if value is not None:
                        ts_ms = i * 1000
                        out.samples.append((ts_ms + delay_ms, labels, ts_ms, value))
        elif word == "host":
            name, *pairs = inline.split()
            out.hosts.append((name, dict(p.split("=") for p in pairs)))
        elif word == "person":
            out.people.append(inline.split())
        elif word == "oncall":
            out.oncall = textwrap.dedent("\n".join(block))
        elif word == "hosts":
            names = re.fullmatch(r"(.*)\[(\d+)-(\d+)\](.*)", argument)
            assert names, argument
            given = dict(p.split("=") for p in inline.split())
            for i in range(int(names[2]), int(names[3]) + 1):
                out.hosts.append((f"{names[1]}{i}{names[4]}", given))
        elif word == "dependencies":
            out.dependencies = textwrap.dedent("\n".join(block))
        elif word == "do":
            for line in block:
                when, what = line.split(maxsplit=1)
                out.acts.append((parse_duration(when), what))
        elif word == "expect":
            out.expect = [" ".join(line.split()) for line in block]
        elif word == "messages":
            out.messages = [" ".join(line.split()) for line in block]
        else:
            raise AssertionError(f"a scenario knows no {word!r}")
    times = [line.split()[0] for line in [*out.expect, *(out.messages or [])]]
    latest = max([parse_duration(t) for t in times] + [t for t, _ in out.acts], default=0)
    out.until_ms = out.until_ms or latest + 5_000
    return out


def _sections(text: str) -> Iterator[tuple[str, str, list[str]]]:
    key, inline, block = "", "", []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            block.append(line)
            continue
        if key:
            yield key, inline, block
        key, _, inline = line.partition(":")
        inline, block = inline.strip(), []
    if key:
        yield key, inline, block


class Stage:
    """Everything that a scenario runs on."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self.scenario = scenario
        self.clock = VirtualClock()
        self.world = World(clock=self.clock)
        self.source = MemorySource()
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.folder = folder / "rules"
        self.folder.mkdir()
        if scenario.rules != "builtin":
            (self.folder / "rules.yml").write_text(scenario.rules)
        (folder / "dependencies.toml").write_text(scenario.dependencies)
        self.desk = Desk(self.ledger, self.world, str(folder / "dependencies.toml"))
        self.desk._file.refresh()
        assert self.desk._file.problem == ""
        self.notifier = Notifier(self.ledger, self.world, str(folder / "none.toml"), {})
        table = {"receivers": {"r": dict(_RECEIVERS[scenario.receiver])}}
        self.notifier.in_force.pretend(parse_settings(table, "scenario", {}))
        self.escalator = Escalator(self.ledger, self.world)
        self.clerk = HandoverClerk(self.ledger, self.world)
        with self.ledger.begin() as connection:
            self._people(connection)
            for name, labels in scenario.hosts:
                connection.execute(
                    insert(host).values(name=name, labels=labels, facts={}, created_ms=0)
                )
        self.alerting = self.started()

    def _people(self, connection: Connection) -> None:
        for name, *options in self.scenario.people:
            connection.execute(
                insert(user).values(
                    name=name, password_hash="", role="operator", must_change_password=False,
                    disabled=False, created_ms=0,
                )
            )  # fmt: skip
            quiet = [o.removeprefix("quiet=") for o in options if o.startswith("quiet=")]
            if "unreachable" not in options:
                address = f"{name}@example.org" if self.scenario.receiver == "smtp" else "77"
                add_contact(connection, name, "own", "r", address, START_MS)
            if quiet:
                windows = (hours(quiet[0], list(DAYS), name),)
                put_preference(connection, name, Preference(quiet=windows), START_MS)
        if self.scenario.oncall:
            wanted = read_everything(tomllib.loads(self.scenario.oncall))
            put_everything(connection, wanted, "test", START_MS, prune=False)

    def started(self) -> Alerting:
        return Alerting(
            Engine(self.source),
            self.ledger,
            self._write,
            self.world,
            [str(self.folder)],
            AlertingSettings(
                builtin=self.scenario.rules == "builtin", settle_ms=self.scenario.settle_ms
            ),
        )

    def _write(self, labels: list[Labels], ts_ms: int, values: Values) -> None:
        for one, value in zip(labels, values, strict=True):
            self.source.append(one, ts_ms, float(value))

    def run(self) -> None:
        scenario = self.scenario
        arrivals = sorted(scenario.samples, key=lambda s: s[0])
        acts = sorted(scenario.acts, key=lambda a: a[0])
        for at_ms in range(0, scenario.until_ms + 1, 1000):
            while arrivals and arrivals[0][0] <= at_ms:
                _, labels, ts_ms, value = arrivals.pop(0)
                self.source.append(labels, START_MS + ts_ms, value)
            while acts and acts[0][0] <= at_ms:
                self.do(acts.pop(0)[1])
            self.alerting.tick()
            self.desk.step()
            self.clerk.step()
            self.escalator.step()
            self.notifier.plan_news()
            self.clock.sleep(1.0)

    def do(self, what: str) -> None:
        word, *rest = what.split()
        now_ms = int(self.clock.now() * 1000)
        if word == "restart":
            self.alerting = self.started()
        elif word == "acknowledge":
            self.desk.acknowledge(int(rest[0]), rest[1])
        elif word == "resolve":
            self.desk.resolve(int(rest[0]), rest[1])
        elif word == "snooze":
            self.desk.snooze(int(rest[0]), rest[1], parse_duration(rest[2]))
        elif word == "override":
            with self.ledger.begin() as connection:
                ends_ms = now_ms + parse_duration(rest[2])
                add_override(connection, rest[0], rest[1], now_ms, ends_ms, "boss", "", now_ms)
        elif word == "silence":
            with self.ledger.begin() as connection:
                end_ms = now_ms + parse_duration(rest[0])
                matchers = parse_matchers(" ".join(rest[1:]))
                add_silence(connection, matchers, now_ms, end_ms, "alice", "", now_ms)
        elif word == "clock":
            self.clock.now_s += parse_duration(rest[0].lstrip("+")) / 1000
        else:
            raise AssertionError(f"a scenario cannot do {what!r}")

    def transitions(self) -> list[str]:
        with self.ledger.read() as connection:
            rows = connection.execute(
                select(alert_transition).order_by(alert_transition.c.id)
            ).all()
        return [f"{_at(r.evaluated_ms)} {r.event} {r.alert_name} {r.host}".strip() for r in rows]

    def messages(self) -> list[str]:
        with self.ledger.read() as connection:
            rows = connection.execute(select(message).order_by(message.c.id)).all()
        # what quiet hours hold has not been told
        rows = [r for r in rows if not r.error.startswith("held")]
        to = {
            r.id: f"{r.receiver.partition('/')[0]} " if r.receiver[0] == "@" else "" for r in rows
        }
        return [f"{_at(r.created_ms)} {to[r.id]}{r.kind} {r.payload['title']}" for r in rows]


def _at(ms: int) -> str:
    return format_duration(ms - START_MS)


def _second(line: str) -> tuple[int, str]:
    return parse_duration(line.split()[0]), line


def _normal(lines: list[str]) -> list[str]:
    """Durations may be written in any way: 90s or 1m30s."""
    out = []
    for line in lines:
        when, _, rest = line.partition(" ")
        out.append(f"{format_duration(parse_duration(when))} {rest}")
    return out


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda p: p.stem)
def test_scenario(path: Path, tmp_path: Path) -> None:
    scenario = parse(path.read_text())
    assert scenario.expect or scenario.messages is not None, "a scenario expects something"
    stage = Stage(scenario, tmp_path)
    assert stage.alerting.problems == {}
    stage.run()
    # within one second the order is the engine's, which nobody should rely on
    assert sorted(stage.transitions(), key=_second) == sorted(_normal(scenario.expect), key=_second)
    if scenario.messages is not None:
        assert stage.messages() == _normal(scenario.messages)
    stage.ledger.close()


def test_there_are_scenarios() -> None:
    assert len(list(FOLDER.glob("*.txt"))) >= 10
