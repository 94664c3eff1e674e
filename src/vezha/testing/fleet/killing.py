"""What becomes of a rollout when the server is killed at any of its writes.

One small rollout for each way in which a version can behave is run once without a kill, to learn what
each write transaction does; then once for each kind of write and for both sides of its commit, with
the server killed there, started again and left alone. At each end the promises are looked at.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, event, func, select

from vezha.delivery.desk import Draft, draft_change, plan_change, start_change
from vezha.ledger import Ledger
from vezha.ledger.tables import (
    attempt,
    attempt_event,
    change,
    change_event,
    directive,
    progress,
    quarantine,
    rollout,
)
from vezha.model.labels import labels_of
from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.field import OLD, Field

BEHAVIOURS: dict[str, tuple[str, Behaviour]] = {
    "good": ("is good", Behaviour(step_s=1.0)),
    "crashes": (
        "ends by itself after it was started",
        Behaviour("reverted", "crashed", step_s=1.0),
    ),
    "hangs": ("is started and never heard of again", Behaviour("hangs", step_s=1.0)),
    "errors": ("proves itself, and then makes errors that a gate sees", Behaviour(step_s=1.0)),
}
"""How a version behaves: its name here, and what is said of it."""
SIDES = ("before the commit", "after the commit")
_HOSTS = 3
_SECONDS_MAX = 400
_MAX_IN_FLIGHT = 2


class Killed(BaseException):
    """The server is no more. Not an Exception: nothing of ours may catch it."""


class KilledLedger(Ledger):
    """A ledger that dies at its *at*-th write (counted from 0), on one side of the commit."""

    def __init__(self, path: Path, at: int = -1, side: str = SIDES[0]) -> None:
        opened = Ledger.open(str(path))
        super().__init__(opened.engine)
        event.listen(self.engine, "connect", lambda c, _: c.execute("PRAGMA synchronous = OFF"))
        self.at = at
        self.side = side
        self.writes: list[str] = []
        self.counting = False

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        if not self.counting:
            with super().begin() as connection:
                yield connection
            return
        number = len(self.writes)
        with super().begin() as connection:
            before = _marks(connection)
            yield connection
            self.writes.append(_what(connection, before))
            if number == self.at and self.side == SIDES[0]:
                raise Killed
        if number == self.at:
            raise Killed


def _marks(connection: Connection) -> tuple[int, int, int]:
    tables = (change_event, attempt_event, progress)
    found = [connection.execute(select(func.max(t.c.id))).scalar() or 0 for t in tables]
    return found[0], found[1], found[2]


def _what(connection: Connection, before: tuple[int, int, int]) -> str:
    """What a write did, in words that are the same for the same kind of write."""
    told = connection.execute(
        select(progress.c.step).where(progress.c.id > before[2]).order_by(progress.c.id)
    ).scalars()
    words = [f"told {step}" for step in dict.fromkeys(told)]
    steps = connection.execute(
        select(attempt_event.c.to_state).where(attempt_event.c.id > before[1])
    ).scalars()
    words += [f"host {state}" for state in dict.fromkeys(steps)]
    events = connection.execute(
        select(change_event.c.kind, change_event.c.text).where(change_event.c.id > before[0])
    )
    for row in events:
        words.append(row.text.split(" (")[0] if row.kind == "wave" else f"rollout {row.kind}")
    return ", ".join(words) or "(nothing)"


@dataclass
class Ending:
    """How a run ended, and which promises it broke."""

    state: str
    broken: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """For the table."""
        return self.state if not self.broken else f"{self.state}, BROKEN: {'; '.join(self.broken)}"


def run_killed(path: Path, behaviour: str, at: int = -1, side: str = SIDES[0]) -> Ending:
    """One rollout over the migrated ledger at *path*, killed at its *at*-th write."""
    ledger = KilledLedger(path, at, side)
    try:
        return _run(ledger, behaviour)
    finally:
        ledger.close()


def _run(ledger: KilledLedger, behaviour: str) -> Ending:
    field_ = Field(ledger, _HOSTS, seed=3)
    target = field_.publish("2.0", BEHAVIOURS[behaviour][1])
    gates = [{"kind": "proof"}]
    if behaviour == "errors":
        gates.append({"kind": "promql", "expr": "errors", "threshold": 5})  # type: ignore[dict-item]
        field_.signals.vectors["errors"] = lambda _ms: [
            (labels_of({"instance": a.agent_id}), 9.0 if a.running not in (OLD, "") else 1.0)
            for a in field_.agents.values()
        ]
    draft = Draft(
        "agent", target, why="w", owner="o", checklist="c", gates=gates,
        waves=[{"name": "canary", "count": 1, "bake_s": 3}, {"name": "rest", "bake_s": 3}],
        policy={"max_in_flight": _MAX_IN_FLIGHT, "max_unavailable": 3, "patience_s": 15},
    )  # fmt: skip
    with ledger.begin() as connection:
        id_ = draft_change(connection, draft, "ann", field_.now_ms)
        plan_change(connection, id_, field_.signals.up(0), "ann", field_.now_ms)
        rollout_id = start_change(connection, id_, "ann", field_.now_ms)
        sha256 = connection.execute(select(change.c.sha256)).scalar_one()
    ending = Ending("")
    ledger.counting = True
    loop = field_.loop()
    for _ in range(_SECONDS_MAX):
        try:
            field_.pass_messages()
            loop.step()
        except Killed:
            # a new process: nothing that was in memory is there any more
            loop = field_.loop()
            field_.gateway_down()
        if _look(ledger, rollout_id, sha256, ending):
            break
        field_.clock.now_s += 1
    ledger.counting = False
    _judge(field_, rollout_id, sha256, ending)
    ending.writes = ledger.writes
    return ending


def _look(ledger: Ledger, rollout_id: int, sha256: str, ending: Ending) -> bool:
    """The promises that hold at every moment; whether the rollout is over and all is quiet."""
    with ledger.read() as connection:
        states = {
            row.state: row.n
            for row in connection.execute(
                select(attempt.c.state, func.count().label("n")).group_by(attempt.c.state)
            )
        }
        offered = connection.execute(
            select(func.count()).where(
                directive.c.sha256 == sha256,
                directive.c.host_id.in_(
                    select(quarantine.c.host_id).where(quarantine.c.sha256 == sha256)
                ),
            )
        ).scalar_one()
        state = connection.execute(
            select(rollout.c.state).where(rollout.c.id == rollout_id)
        ).scalar_one()
    flying = sum(states.get(s, 0) for s in ("offered", "downloaded", "staged", "started"))
    if flying > _MAX_IN_FLIGHT:
        ending.broken.append(f"{flying} hosts in flight at once")
    if offered:
        ending.broken.append("a host is offered what it went back from")
    ending.state = state
    return state in ("done", "reverted") and not flying and not states.get("reverting")


def _judge(field_: Field, rollout_id: int, sha256: str, ending: Ending) -> None:
    with field_.ledger.read() as connection:
        states = connection.execute(
            select(attempt.c.host_id, attempt.c.state).where(attempt.c.rollout_id == rollout_id)
        ).all()
    if ending.state not in ("done", "reverted"):
        ending.broken.append(f"it is still {ending.state}")
    wanted = sha256 if ending.state == "done" else OLD
    for row in states:
        agent = field_.agents[row.host_id]
        if row.state not in ("proven", "reverted", "skipped"):
            ending.broken.append(f"a host is left {row.state}")
        if agent.running != wanted:
            ending.broken.append("a host runs what it should not")
        if agent.starts.get(sha256, 0) > 1:
            ending.broken.append("a host was changed twice")
    ending.broken = list(dict.fromkeys(ending.broken))


def matrix(folder: Path) -> list[tuple[str, str, str, str]]:
    """(behaviour, what was being written, side of the commit, the end), for all of them."""
    empty = folder / "empty.db"
    ledger = Ledger.open(str(empty))
    ledger.migrate()
    ledger.close()
    rows = []
    number = 0

    def fresh() -> Path:
        nonlocal number
        number += 1
        path = folder / f"{number}.db"
        shutil.copyfile(empty, path)
        return path

    for behaviour in BEHAVIOURS:
        whole = run_killed(fresh(), behaviour)
        rows.append((behaviour, "(not killed)", "", whole.shown))
        seen: set[str] = set()
        for at, what in enumerate(whole.writes):
            if what in seen or what == "(nothing)":
                continue
            seen.add(what)
            rows += [
                (behaviour, what, side, run_killed(fresh(), behaviour, at, side).shown)
                for side in SIDES
            ]
    return rows


def table_as_markdown(rows: list[tuple[str, str, str, str]]) -> str:
    """The matrix for the documentation."""
    parts = [
        "The server killed with each write of a rollout of three hosts in two waves, just before or just\n"
        "after the commit, then started again and left alone. At every moment: nobody more in flight than\n"
        "allowed, nobody offered what it went back from; at the end: nobody changed twice, nobody left\n"
        "in between. For kills of the agent see [kill points](kill-points.md).\n"
    ]
    for behaviour, (about, _) in BEHAVIOURS.items():
        parts.append(f"\n### The version {about}\n\n")
        parts.append(
            "| Killed while it was written that | Before the commit | After it |\n|---|---|---|\n"
        )
        mine = [r for r in rows if r[0] == behaviour]
        ends: dict[str, dict[str, str]] = {}
        for _, what, side, end in mine:
            ends.setdefault(what, {})[side] = end
        for what, by in ends.items():
            if what == "(not killed)":
                parts.append(f"| (not killed) | {by['']} | {by['']} |\n")
            else:
                parts.append(f"| {what} | {by[SIDES[0]]} | {by[SIDES[1]]} |\n")
    return "".join(parts)
