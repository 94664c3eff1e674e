"""A gateway dies with 1,000 hosts behind it: how many messages does a person get?

    python -m benchmarks.storm [--hosts 1000] [--seed 1] [--minutes 10]

Simulated time, from a seed; the real rules, desk and planning of messages over a ledger of its own,
without network. Hosts fall silent within 20 s in a random order, checks of some of them fail within
a minute, the gateway's ping fails somewhere in between, and some hosts flap. Then all come back within a
minute. Three receivers: a web hook, a mail (both cannot edit) and Telegram (which can).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import insert, select

from vezha.alerting.loop import Alerting, AlertingSettings
from vezha.alerting.rulefile import BUILTIN_FOLDER
from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.ledger.tables import host as host_table
from vezha.ledger.tables import incident, message
from vezha.model.columns import Values
from vezha.model.labels import Labels, metric
from vezha.notify.loop import Notifier
from vezha.notify.settings import parse_settings
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.world import World

START_S = 1_700_000_000
RINGING = ("opened", "worse", "reopened", "unsilenced", "grew", "reminded", "digest")
RECEIVERS: dict[str, dict[str, object]] = {
    "hook": {"type": "webhook", "url": "http://127.0.0.1:9/"},
    "mail": {"type": "smtp", "host": "127.0.0.1", "to": ["a@example.org"], "from": "v@example.org"},
    "telegram": {"type": "telegram", "token": "1234:" + "a" * 30, "chat_id": 1},
}
FILES = ("host.yml", "checks.yml")


class Clock:
    """A clock that this program moves."""

    def __init__(self) -> None:
        self.now_s = float(START_S)

    def now(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        return self.now_s - START_S + 1000

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class Storm:
    """What came of it. `messages`: (second, receiver, kind, title)."""

    hosts: int
    fail_s: int
    back_s: int
    messages: list[tuple[int, str, str, str]] = field(default_factory=list)
    incidents: int = 0
    titles: list[str] = field(default_factory=list)
    title_in_outage: str = ""

    def told(self, receiver: str, since_s: int, until_s: int) -> list[tuple[int, str, str, str]]:
        """New messages to *receiver* within that span (edits of old ones ring nobody)."""
        return [
            m
            for m in self.messages
            if m[1] == receiver and since_s <= m[0] < until_s and m[2] != "updated"
        ]


@dataclass
class _Fate:
    """When one series is 0: spans in seconds."""

    labels: Labels
    down: list[tuple[int, int]]

    def at(self, second: int) -> float:
        return float(not any(a <= second < b for a, b in self.down))


def fates(hosts: int, dice: random.Random, fail_s: int, back_s: int) -> list[_Fate]:
    """What happens to each series."""
    out = [
        _Fate(metric("vezha_check_up", instance="gw-kyiv", job="gw", type="ping"),
              [(fail_s + dice.randint(3, 15), back_s)])
    ]  # fmt: skip
    for i in range(hosts):
        name = f"k-{i:04d}"
        begin, end = fail_s + dice.randint(0, 20), back_s + dice.randint(2, 55)
        down = [(begin, end)]
        if dice.random() < 0.02:
            again = end + dice.randint(3, 8)
            down.append((again, again + 5))  # a link that comes up in two goes
        out.append(_Fate(metric("up", instance=name, job="node"), down))
        if dice.random() < 0.2:
            check = metric("vezha_check_up", instance=name, job="web", type="http")
            out.append(_Fate(check, [(begin + dice.randint(5, 40), end + dice.randint(0, 5))]))
    others = [metric("up", instance=f"l-{i:02d}", job="node") for i in range(20)]
    return out + [_Fate(labels, []) for labels in others]


def simulate(hosts: int, seed: int, minutes: int, folder: Path) -> Storm:
    """Run it; *folder* is for the ledger."""
    dice = random.Random(seed)
    fail_s = 20
    back_s = fail_s + minutes * 60
    storm = Storm(hosts, fail_s, back_s)
    series = fates(hosts, dice, fail_s, back_s)
    clock = Clock()
    world = World(clock=clock)
    ledger = Ledger.open(str(folder / "ledger.db"))
    ledger.migrate()
    (folder / "dependencies.toml").write_text(
        "[[dependency]]\nchild = 'site=\"kyiv\"'\nparents = ['gw-kyiv']\n"
    )
    with ledger.begin() as connection:
        rows = [(f"k-{i:04d}", "kyiv") for i in range(hosts)]
        rows += [(f"l-{i:02d}", "lviv") for i in range(20)]
        connection.execute(
            insert(host_table),
            [{"name": n, "labels": {"site": s}, "facts": {}, "created_ms": 0} for n, s in rows],
        )
    source = MemorySource()

    def write(labels: list[Labels], ts_ms: int, values: Values) -> None:
        """Rules' own series are not looked at."""

    paths = [str(Path(BUILTIN_FOLDER) / name) for name in FILES]
    settings = AlertingSettings(builtin=False, settle_ms=0)
    alerting = Alerting(Engine(source), ledger, write, world, paths, settings)
    desk = Desk(ledger, world, str(folder / "dependencies.toml"))
    notifier = Notifier(ledger, world, str(folder / "none.toml"), {})
    notifier.in_force.pretend(parse_settings({"receivers": RECEIVERS}, "storm", {}))
    end_s = back_s + 240
    for second in seconds_of(fail_s, back_s, end_s):
        clock.now_s = START_S + second
        now_ms = int(clock.now_s * 1000)
        for fate in series:
            source.append(fate.labels, now_ms, fate.at(second))
        alerting.tick()
        desk.step()
        notifier.plan_news()
        if second == back_s - 1:
            with ledger.read() as connection:
                storm.title_in_outage = connection.execute(
                    select(incident.c.title).order_by(incident.c.id)
                ).scalar_one()
    with ledger.read() as connection:
        for row in connection.execute(select(message).order_by(message.c.id)):
            at_s = row.created_ms // 1000 - START_S
            storm.messages.append((at_s, row.receiver, row.kind, row.payload["title"]))
        found = connection.execute(select(incident.c.title).order_by(incident.c.id)).scalars()
        storm.titles = list(found)
        storm.incidents = len(storm.titles)
    ledger.close()
    return storm


def seconds_of(fail_s: int, back_s: int, end_s: int) -> Iterator[int]:
    """Each third second while things change, each thirtieth while they stand."""
    for second in range(end_s):
        busy = fail_s - 3 <= second < fail_s + 72 or back_s - 3 <= second < back_s + 72
        if (busy and second % 3 == 0) or second % 30 == 0 or second == back_s - 1:
            yield second


def main() -> int:
    """0 where the storm was calm."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vezha-storm-") as folder:
        storm = simulate(given.hosts, given.seed, given.minutes, Path(folder))
    print(report(storm))
    return 0 if is_calm(storm) else 1


def is_calm(storm: Storm) -> bool:
    """At most 3 messages in the outage, one for the recovery, one incident with the right root."""
    middle, end = storm.back_s, 10**9
    return (
        storm.incidents == 1
        and storm.title_in_outage.startswith("gw-kyiv: ")
        and all(len(storm.told(r, 0, middle)) <= 3 for r in RECEIVERS)
        and all(len(storm.told(r, middle, end)) <= 1 for r in RECEIVERS)
    )


def report(storm: Storm) -> str:
    """What happened, for people."""
    lines = [
        f"{storm.hosts:,} hosts behind one gateway; it fails at {storm.fail_s} s, is back at {storm.back_s} s"
    ]
    lines.append(f"incidents: {storm.incidents}; in the outage: {storm.title_in_outage}")
    for receiver in RECEIVERS:
        outage = storm.told(receiver, 0, storm.back_s)
        after = storm.told(receiver, storm.back_s, 10**9)
        edits = Counter(m[2] for m in storm.messages if m[1] == receiver)["updated"]
        lines.append(
            f"{receiver}: {len(outage)} in the outage, {len(after)} at recovery, {edits} edits"
        )
        lines += [f"  {s:>4} s {kind}: {title}" for s, _, kind, title in outage + after]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
