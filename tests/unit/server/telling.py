"""A process that samples, judges, gathers and tells, and can be killed at any step. For `test_told_once`.

`python telling.py FOLDER` runs the story undisturbed, then once more for each of its steps with kill -9 in
that place, and prints what came of it as JSON. Each life is a process of its own, made by fork: nothing
that was only in memory survives. The mail server's part is a file: what stands there was received.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event, select

from vezha.alerting.loop import Alerting, AlertingSettings
from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, incident
from vezha.model.labels import metric
from vezha.model.stages import Stages
from vezha.notify import outbox
from vezha.notify.loop import Notifier
from vezha.notify.provider import Delivery, Sent
from vezha.notify.settings import NotifyPlan, Receiver, Route
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.world import World

RULES = """
groups:
- name: g
  rules:
  - alert: Hot
    expr: temperature > 90
    labels: {severity: critical}
"""
BEGAN_S = 1_700_000_000.0
PHASES = (("bad", 95.0), ("good", 20.0))
ROUNDS = 2
"""Seconds in each phase; the second finds nothing to do, unless a life begins with it."""


class Clock:
    """Time that goes as the story does."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Steps:
    """Counts what can be interrupted; kills this process before step number *at* (0: never)."""

    def __init__(self, path: Path, at: int) -> None:
        self._path, self._at = path, at
        self.names: list[str] = []

    def reach(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._at:
            self._path.write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, engine: SqlEngine) -> None:
        """Each writing statement, and before and after each commit that follows one."""
        wrote = False

        @event.listens_for(engine, "before_cursor_execute")
        def _execute(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            nonlocal wrote
            words = statement.split()
            if words[0] in ("INSERT", "UPDATE", "DELETE"):
                wrote = True
                self.reach(f"{words[0]} {words[1 if words[0] == 'UPDATE' else 2]}")

        @event.listens_for(engine, "commit")
        def _commit(_connection: Any) -> None:
            nonlocal wrote
            if wrote:
                wrote = False
                self.reach("COMMIT")


class Mailbox:
    """A provider; what it took is in a file before it says yes."""

    edits = False
    wants = frozenset({"opened", "reopened", "worse", "grew", "resolved"})

    def __init__(self, path: Path, steps: Steps) -> None:
        self._path, self._steps = path, steps

    async def send(self, delivery: Delivery) -> Sent:
        self._steps.reach("send")
        with self._path.open("a") as file:
            file.write(json.dumps([delivery.key, delivery.message.kind]) + "\n")
        self._steps.reach("taken")
        return Sent({}, "taken")

    async def close(self) -> None:
        pass


def live(folder: Path, began_s: float, kill_at: int) -> None:
    """One life, from the phase in which the last one ended."""
    clock = Clock(began_s)
    world = World(clock=clock)
    ledger = Ledger.open(str(folder / "ledger.db"))
    steps = Steps(folder / "killed-at", kill_at)
    steps.watch(ledger.engine)
    source = MemorySource()
    alerting = Alerting(
        Engine(source), ledger, lambda *_: None, world, [str(folder / "rules")],
        AlertingSettings(builtin=False, settle_ms=0),
    )  # fmt: skip
    desk = Desk(ledger, world)
    stages = Stages()
    alerting.on_fired = lambda seconds: stages.observe("fired", seconds)
    desk.on_taken = lambda seconds: stages.observe("gathered", seconds)
    notifier = Notifier(ledger, world, str(folder / "notify.toml"), {}, "", desk)
    receiver = Receiver("mail", "fake", Mailbox(folder / "received", steps))
    notifier.in_force.pretend(NotifyPlan({"mail": receiver}, (Route(("mail",)),)))
    notifier.on_dispatched = lambda seconds: stages.observe("dispatched", seconds)
    phase_file = folder / "phase"
    first = int(phase_file.read_text())

    async def main() -> None:
        await notifier.start()
        await notifier.wait_idle()
        for number, (_, value) in enumerate(PHASES[first:], first):
            phase_file.write_text(str(number))
            for _ in range(ROUNDS):
                clock.seconds += 1
                at_ms = int(clock.seconds * 1000)
                source.append(metric("temperature", instance="a"), at_ms, value)
                alerting.tick()
                desk.step()
                await notifier.step()
                await notifier.wait_idle()
        await notifier.close()

    asyncio.run(main())
    (folder / "steps").write_text(json.dumps(steps.names))
    (folder / "stages").write_text(json.dumps([(dict(labels), v) for labels, v in stages.series()]))


def fork(folder: Path, began_s: float, kill_at: int) -> bool:
    """A life in a process of its own; whether it came to its end."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            live(folder, began_s, kill_at)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if status:
        raise RuntimeError(f"a life ended with status {status}")
    return True


def outcome(folder: Path) -> dict[str, Any]:
    """What is in the ledger and what was received."""
    ledger = Ledger.open(str(folder / "ledger.db"))
    with ledger.read() as connection:
        events = list(
            connection.execute(
                select(alert_transition.c.event).order_by(alert_transition.c.id)
            ).scalars()
        )
        incidents = list(connection.execute(select(incident.c.state)).scalars())
        states = [r.state for r in outbox.list_messages(connection, 100)]
    ledger.close()
    received = [json.loads(line) for line in (folder / "received").read_text().splitlines()]
    return {"events": events, "incidents": incidents, "outbox": states, "received": received}


def main(folder: Path) -> None:
    """The whole matrix."""
    blank = folder / "blank"
    (blank / "rules").mkdir(parents=True)
    (blank / "rules" / "hot.yml").write_text(RULES)
    (blank / "phase").write_text("0")
    (blank / "received").touch()
    ledger = Ledger.open(str(blank / "ledger.db"))
    ledger.migrate()
    ledger.close()
    calm = folder / "calm"
    shutil.copytree(blank, calm)
    live(calm, BEGAN_S, 0)  # in this process: what it imports and compiles, the others inherit
    steps = json.loads((calm / "steps").read_text())
    stages = json.loads((calm / "stages").read_text())
    found = {"steps": steps, "stages": stages, "calm": outcome(calm), "killed": []}
    for number in range(1, len(steps) + 1):
        life = folder / str(number)
        shutil.copytree(blank, life)
        killed = not fork(life, BEGAN_S, number)
        fork(life, BEGAN_S + 10, 0)
        at = (life / "killed-at").read_text() if killed else ""
        found["killed"].append({"number": number, "at": at, **outcome(life)})
        shutil.rmtree(life)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
