"""`Escalator`: follows incidents' timelines and wakes people by their policies.

Two reconcilers over the ledger, each of whose steps is one transaction: news move the escalation of
their incident (behind a durable cursor), time takes the steps that are due. A step is claimed by an
UPDATE that names the revision it saw, and its entry in the timeline is written in the same
transaction: killed at any instant, no step is lost or taken twice. Who is told how is notify's,
which follows the timeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from vezha.incidents.case import SYSTEM, Case
from vezha.incidents.oncall.limits import ESCALATIONS_PER_STEP_MAX
from vezha.incidents.oncall.person import read_contacts
from vezha.incidents.oncall.policy import (
    Look,
    Phase,
    Policy,
    Progress,
    Step,
    Target,
    TargetKind,
    advance,
    follow,
    is_over,
)
from vezha.incidents.oncall.rota import Override, Schedule, shifts
from vezha.incidents.oncall.rows import (
    policy_of,
    read_overrides,
    read_policies,
    read_schedules,
    read_teams,
)
from vezha.incidents.oncall.team import Team
from vezha.incidents.rows import read_cases, read_cursor, read_place, write_case, write_cursor
from vezha.incidents.state import Act, State
from vezha.ledger import Ledger
from vezha.ledger.tables import escalation, incident_event
from vezha.world import World

CURSOR = "oncall.events"
_EVENTS_PER_STEP_MAX = 2_000
_OWN = ("escalated", "exhausted", "untold", "seen", "note")
"""Entries that are no news to an escalation."""


@dataclass(slots=True)
class Book:
    """All that is set up, as one transaction sees it."""

    schedules: dict[str, Schedule]
    overrides: dict[str, list[Override]]
    policies: dict[str, Policy]
    teams: dict[str, Team]
    reachable: set[str] = field(default_factory=set)

    @staticmethod
    def read(connection: Connection, now_ms: int) -> Book:
        """From the ledger."""
        return Book(
            {s.name: s for s in read_schedules(connection)},
            read_overrides(connection, now_ms),
            {p.name: p for p in read_policies(connection)},
            {t.name: t for t in read_teams(connection)},
            {c.person for c in read_contacts(connection)},
        )

    def people_of(self, target: Target, now_ms: int) -> list[str]:
        """Whom a target means now; nobody where there is a gap or nothing of that name."""
        if target.kind is TargetKind.PERSON:
            return [target.name]
        if target.kind is TargetKind.TEAM:
            own = self.teams.get(target.name)
            return list(own.members) if own is not None else []
        schedule = self.schedules.get(target.name)
        if target.kind is not TargetKind.SCHEDULE or schedule is None:
            return []
        span = shifts(schedule, self.overrides.get(schedule.name, ()), now_ms, now_ms + 1)[0]
        return [span.person] if span.person else []


@dataclass(slots=True)
class Reached:
    """Whom a step found."""

    people: list[str] = field(default_factory=list)
    receivers: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


def reach(step: Step, book: Book, now_ms: int) -> Reached:
    """Resolve a step's targets. Pure."""
    out = Reached()
    for target in step.targets:
        if target.kind is TargetKind.RECEIVER:
            out.receivers.append(target.name)
            continue
        people = book.people_of(target, now_ms)
        if not people:
            out.missed.append(f"nobody is on call in {target.name}" if target.kind is
                              TargetKind.SCHEDULE else f"{target} is nobody")  # fmt: skip
        for person in people:
            if person not in book.reachable:
                out.missed.append(f"{person} has no contact")
            elif person not in out.people:
                out.people.append(person)
    out.receivers = list(dict.fromkeys(out.receivers))
    return out


class Escalator:
    """Escalations of one ledger."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        self._ledger = ledger
        self._world = world

    def step(self) -> int:
        """Follow news, take the steps that are due; how many incidents changed. Blocks."""
        changed = 0
        # an acknowledgement that ran out is news again, whose first step is due at once
        for _ in range(2):
            self._follow_all()
            now_ms = self._now_ms()
            with self._ledger.read() as connection:
                if connection.execute(_due(now_ms).limit(1)).first() is None:
                    break
            with self._ledger.begin() as connection:
                changed += self._advance(connection, now_ms)
        return changed

    def _follow_all(self) -> None:
        with self._ledger.read() as connection:
            newest = connection.execute(select(func.max(incident_event.c.id))).scalar() or 0
            if read_cursor(connection, CURSOR) >= newest:
                return
        while True:
            with self._ledger.begin() as connection:
                if self._follow(connection) < _EVENTS_PER_STEP_MAX:
                    return

    def _now_ms(self) -> int:
        return int(self._world.clock.now() * 1000)

    def _follow(self, connection: Connection) -> int:
        after = read_cursor(connection, CURSOR)
        rows = connection.execute(
            select(
                incident_event.c.id, incident_event.c.incident_id, incident_event.c.kind,
                incident_event.c.at_ms,
            )
            .where(incident_event.c.id > after)
            .order_by(incident_event.c.id)
            .limit(_EVENTS_PER_STEP_MAX)
        ).all()  # fmt: skip
        if not rows:
            return 0
        news: dict[int, list[str]] = {}
        newest_ms: dict[int, int] = {}
        for row in rows:
            if row.kind not in _OWN:
                news.setdefault(row.incident_id, []).append(row.kind)
                newest_ms[row.incident_id] = max(row.at_ms, newest_ms.get(row.incident_id, 0))
        if news:
            self._take(connection, news, newest_ms)
        write_cursor(connection, CURSOR, rows[-1].id)
        return len(rows)

    def _take(
        self, connection: Connection, news: Mapping[int, list[str]], newest_ms: Mapping[int, int]
    ) -> None:
        now_ms = self._now_ms()
        policies = {p.name: p for p in read_policies(connection)}
        teams = {t.name: t for t in read_teams(connection)}
        known = _read(connection, list(news))
        for id_, case in read_cases(connection, news).items():
            row = known.get(id_)
            policy = policy_of(case.team, teams, policies)
            if row is not None and row.policy != (policy.name if policy else ""):
                # another team's: theirs begins anew, and what was going on ends
                news[id_].append("assigned")
            progress = None if row is None else _progress(row)
            after = follow(policy, progress, _look(case), news[id_], newest_ms[id_])
            if after is not None and after != progress:
                name = policy.name if policy is not None else row.policy if row is not None else ""
                _write(connection, id_, row, name, after, now_ms)

    def _advance(self, connection: Connection, now_ms: int) -> int:
        rows = connection.execute(
            _due(now_ms).order_by(escalation.c.due_ms).limit(ESCALATIONS_PER_STEP_MAX)
        ).all()
        book = Book.read(connection, now_ms)
        cases = read_cases(connection, [row.incident_id for row in rows])
        place = read_place(connection)
        changed = 0
        for row in rows:
            case = cases[row.incident_id]
            if self._one(connection, row, case, book, now_ms):
                changed += write_case(connection, case, place, now_ms)
        return changed

    def _one(self, connection: Connection, row: Any, case: Case, book: Book, now_ms: int) -> bool:
        """Take the step that is due of one escalation; False where another process did."""
        progress = _progress(row)
        policy = book.policies.get(row.policy)
        if policy is None or case.state.is_over:
            return (
                _write(connection, case.id, row, row.policy, Progress(Phase.ENDED), now_ms)
                and False
            )
        if progress.phase is Phase.HELD:
            held = Progress(Phase.HELD, asked_ms=progress.asked_ms)
            if not _write(connection, case.id, row, policy.name, held, now_ms):
                return False
            if case.state is State.ACKNOWLEDGED:
                case.act(Act.UNACKNOWLEDGE, SYSTEM, "nobody closed it in time", now_ms)
            return True
        if case.state is not State.OPEN or case.silent_because:
            return False  # its news are on the way, and `follow` will say what they mean
        if is_over(policy, progress):
            ended = replace(progress, phase=Phase.EXHAUSTED, due_ms=None)
            if not _write(connection, case.id, row, policy.name, ended, now_ms):
                return False
            text = f"nobody has taken it by policy {policy.name}"
            case.tell(now_ms, "exhausted", SYSTEM, text, policy=policy.name)
            return True
        reached = reach(policy.steps[progress.step], book, now_ms)
        after = advance(policy, progress, now_ms, bool(reached.people or reached.receivers))
        if not _write(connection, case.id, row, policy.name, after, now_ms):
            return False
        self._enter(case, policy, progress, reached, now_ms)
        return True

    def _enter(
        self, case: Case, policy: Policy, progress: Progress, reached: Reached, now_ms: int
    ) -> None:
        told = [*reached.people, *(f"receiver {name}" for name in reached.receivers)]
        text = f"step {progress.step + 1} of {policy.name}: {', '.join(told) or 'nobody'}"
        if reached.missed:
            text += f" ({'; '.join(reached.missed)})"
        case.tell(
            now_ms, "escalated", SYSTEM, text,
            policy=policy.name, step=progress.step + 1, round=progress.round + 1,
            people=reached.people, receivers=reached.receivers, missed=reached.missed,
            asked_ms=progress.asked_ms,
        )  # fmt: skip


def _due(now_ms: int) -> Any:
    phases = (Phase.PAGING.value, Phase.HELD.value)
    return select(escalation).where(escalation.c.phase.in_(phases), escalation.c.due_ms <= now_ms)


def _read(connection: Connection, ids: list[int]) -> dict[int, Any]:
    out: dict[int, Any] = {}
    for at in range(0, len(ids), 500):
        part = select(escalation).where(escalation.c.incident_id.in_(ids[at : at + 500]))
        out.update((row.incident_id, row) for row in connection.execute(part))
    return out


def _progress(row: Any) -> Progress:
    return Progress(Phase(row.phase), row.step, row.round, row.due_ms, row.asked_ms)


def _look(case: Case) -> Look:
    return Look(case.state, case.severity, bool(case.silent_because), case.acknowledged_ms)


def _write(
    connection: Connection, id_: int, seen: Any, policy: str, progress: Progress, now_ms: int
) -> bool:
    """Write how far it is; False where it is not any more as it was *seen*."""
    values = {
        "policy": policy,
        "phase": progress.phase.value,
        "step": progress.step,
        "round": progress.round,
        "due_ms": progress.due_ms,
        "asked_ms": progress.asked_ms,
        "changed_ms": now_ms,
    }
    if seen is None:
        connection.execute(insert(escalation).values(incident_id=id_, revision=1, **values))
        return True
    done = connection.execute(
        update(escalation)
        .where(escalation.c.incident_id == id_, escalation.c.revision == seen.revision)
        .values(revision=seen.revision + 1, **values)
    )
    return done.rowcount == 1
