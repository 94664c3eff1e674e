"""`Desk`: follows transitions, applies silences, does what people ask.

Each step is one transaction that reads its cursor, does the work and moves the cursor, so that a
crash at any point repeats or skips nothing. Idempotent: a step without news changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select

from vezha.incidents import external
from vezha.incidents.batch import FIRES, Work
from vezha.incidents.case import SYSTEM, Case
from vezha.incidents.dependency import Tree
from vezha.incidents.dependency_file import DependencyFile
from vezha.incidents.dependency_rows import (
    read_dependencies,
    read_failing,
    read_failing_marks,
    read_stamp,
)
from vezha.incidents.errors import OperatorError
from vezha.incidents.limits import (
    EXTERNAL_SETTLE_MS,
    GROWTH_TOLD_FACTOR,
    GROWTH_TOLD_GAP_MS,
    NOTE_CHARS_MAX,
    SPREAD_AFTER_MS,
    SPREAD_WINDOW_MS,
    TRANSITIONS_PER_STEP_MAX,
)
from vezha.incidents.rows import (
    read_case,
    read_cases,
    read_cursor,
    read_place,
    write_case,
    write_cursor,
)
from vezha.incidents.silence import Silence, read_silences
from vezha.incidents.snooze import is_due, snooze_in, wake_due
from vezha.incidents.state import OVER, Act
from vezha.incidents.words import Member, Place, Said
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, incident, incident_event
from vezha.world import World

CURSOR = "incidents.transitions"


class Desk:
    """The incident desk over one ledger. Methods block on it; any number of processes may act."""

    def __init__(self, ledger: Ledger, world: World, dependencies: str = "") -> None:
        """*dependencies*: the path of `dependencies.toml`, or empty."""
        self._ledger = ledger
        self._world = world
        self._file = DependencyFile(dependencies)
        self._judged: tuple[Any, ...] | None = None
        self._spread: set[int] = set()
        self.on_taken: Callable[[float], None] = lambda seconds: None
        """Called for each change of an alert that was taken in: how long it had waited, in seconds."""
        self._settled_s = world.clock.monotonic() + EXTERNAL_SETTLE_MS / 1000

    def step(self) -> int:
        """Take in new transitions and changed silences; how many incidents changed."""
        changed = 0
        self._expire_external()
        while True:
            with self._ledger.begin() as connection:
                taken, written = self._follow(connection)
            now_ms = self._now_ms()
            for written_ms in taken:
                self.on_taken((now_ms - written_ms) / 1000)
            changed += written
            if len(taken) < TRANSITIONS_PER_STEP_MAX:
                break
        return changed + self._wake() + self._judge() + self._tell_spread()

    def acknowledge(self, id_: int, actor: str, note: str = "") -> None:
        """Somebody has it in hand. Raises OperatorError."""
        self._act(id_, Act.ACKNOWLEDGE, actor, note)

    def resolve(self, id_: int, actor: str, note: str = "") -> None:
        """Somebody says that it is over. Raises OperatorError."""
        self._act(id_, Act.RESOLVE, actor, note)

    def reopen(self, id_: int, actor: str, note: str = "") -> None:
        """Somebody says that it is not over. Raises OperatorError."""
        self._act(id_, Act.REOPEN, actor, note)

    def snooze(self, id_: int, actor: str, for_ms: int) -> None:
        """Somebody wants to be asked again later. Raises OperatorError."""
        with self._ledger.begin() as connection:
            snooze_in(connection, id_, for_ms, actor, "", self._now_ms())

    def note(self, id_: int, actor: str, text: str) -> None:
        """Write into the timeline. Raises OperatorError."""
        if not text.strip():
            raise OperatorError("a note needs text")
        self._act(id_, Act.NOTE, actor, text)

    # Inside

    def _now_ms(self) -> int:
        return int(self._world.clock.now() * 1000)

    def _act(self, id_: int, act: Act, actor: str, text: str) -> None:
        with self._ledger.begin() as connection:
            act_in(connection, id_, act, actor, text, self._now_ms())

    def _tell_spread(self) -> int:
        """One line where an incident has become much larger since it was told, and then stands.

        Who was told of "3 hosts" in the first second of a storm hears of the 1,000 and of the root,
        although nothing joins any more. Once for each incident.
        """
        now_ms = self._now_ms()
        until_ms = now_ms - GROWTH_TOLD_GAP_MS - SPREAD_AFTER_MS
        young = select(incident.c.id).where(
            incident.c.state.not_in(OVER),
            incident.c.detected_ms <= until_ms,
            incident.c.detected_ms > until_ms - SPREAD_WINDOW_MS,
        )
        with self._ledger.read() as connection:
            ids = {i for i in connection.execute(young).scalars() if i not in self._spread}
        told = 0
        if ids:
            with self._ledger.begin() as connection:
                for id_ in sorted(ids):
                    told += tell_spread(connection, id_, now_ms)
        self._spread = {i for i in self._spread if i > max(self._spread) - 10_000} | ids
        return told

    def _wake(self) -> int:
        """Ask again about incidents whose snooze is over."""
        now_ms = self._now_ms()
        with self._ledger.read() as connection:
            if not is_due(connection, now_ms):
                return 0
        with self._ledger.begin() as connection:
            return wake_due(connection, now_ms)

    def _expire_external(self) -> None:
        """End alerts from elsewhere of which no word came, once their senders had a chance."""
        if self._world.clock.monotonic() < self._settled_s:
            return
        now_ms = self._now_ms()
        with self._ledger.read() as connection:
            if not external.has_due(connection, now_ms):
                return
        with self._ledger.begin() as connection:
            external.sweep(connection, now_ms)

    def _follow(self, connection: Connection) -> tuple[list[int], int]:
        """When each change that is taken in was written (ms), and how many incidents changed."""
        after = read_cursor(connection, CURSOR)
        rows = connection.execute(
            select(alert_transition)
            .where(alert_transition.c.id > after)
            .order_by(alert_transition.c.id)
            .limit(TRANSITIONS_PER_STEP_MAX)
        ).all()
        if not rows:
            return [], 0
        now_ms = self._now_ms()
        place = read_place(connection)
        tree = self._tree(connection, place, now_ms)
        work = Work(connection, tree, now_ms)
        work.expect({row.fingerprint for row in rows if row.event not in FIRES})
        for row in rows:
            work.take(row)
        because = _because(read_silences(connection, now_ms), place, now_ms)
        written = 0
        for case in work.touched.values():
            case.judge(because(case.team), tree.cause, now_ms)
            written += write_case(connection, case, place, now_ms)
        write_cursor(connection, CURSOR, rows[-1].id)
        return [row.written_ms for row in rows], written

    def _tree(self, connection: Connection, place: Place, now_ms: int) -> Tree:
        """What explains what, over the alerts that fail now."""
        self._file.refresh()
        known = [*self._file.dependencies, *read_dependencies(connection)]
        inhibitions = self._file.inhibitions
        failing = read_failing(connection, now_ms, every=bool(inhibitions))
        return Tree(known, inhibitions, place, failing)

    def _judge(self) -> int:
        """Judge open incidents anew where silences, dependencies or what fails have changed."""
        now_ms = self._now_ms()
        self._file.refresh()
        with self._ledger.read() as connection:
            silences = [s for s in read_silences(connection, now_ms) if s.holds(now_ms)]
            held = tuple(s.id for s in silences)
            fails = read_failing_marks(connection, now_ms, every=bool(self._file.inhibitions))
            # whose an incident is counts where a silence is some team's
            whose = open_teams(connection) if any(s.team for s in silences) else frozenset()
            mark = (held, self._file.stamp, read_stamp(connection), frozenset(fails), whose)
        if mark == self._judged:
            return 0
        changed = 0
        with self._ledger.begin() as connection:
            ids = select(incident.c.id).where(incident.c.state.not_in(OVER))
            cases = read_cases(connection, connection.execute(ids).scalars())
            place = read_place(connection)
            tree = self._tree(connection, place, now_ms)
            because = _because(silences, place, now_ms)
            for case in cases.values():
                case.judge(because(case.team), tree.cause, now_ms)
                changed += write_case(connection, case, place, now_ms)
        self._judged = mark
        return changed


def open_teams(connection: Connection) -> frozenset[tuple[int, str]]:
    """The teams of open incidents."""
    rows = connection.execute(
        select(incident.c.id, incident.c.team).where(incident.c.state.not_in(OVER))
    )
    return frozenset((row.id, row.team) for row in rows)


def act_in(connection: Connection, id_: int, act: Act, actor: str, text: str, now_ms: int) -> Case:
    """Do a person's *act* within the caller's transaction. Raises OperatorError."""
    if len(text) > NOTE_CHARS_MAX:
        raise OperatorError(f"the text is longer than {NOTE_CHARS_MAX} characters")
    case = read_case(connection, id_)
    case.act(act, actor, text, now_ms)
    write_case(connection, case, read_place(connection), now_ms)
    return case


def tell_spread(connection: Connection, id_: int, now_ms: int) -> bool:
    """The line `spread` of an incident that has grown a lot since it opened, if it is due."""
    events = connection.execute(
        select(incident_event.c.kind, incident_event.c.data)
        .where(incident_event.c.incident_id == id_, incident_event.c.kind.in_(("opened", "spread")))
        .order_by(incident_event.c.id)
    ).all()
    if not events or any(e.kind == "spread" for e in events):
        return False
    case = read_case(connection, id_)
    every = {m.host for m in case.members.values() if m.host}
    hosts = {m.host for m in case.members.values() if m.is_open and m.host}
    if 2 * len(hosts) < len(every):
        return False  # it is going back already
    if len(hosts) < GROWTH_TOLD_FACTOR * max(1, int(events[0].data.get("count", 1))):
        return False
    case.tell(now_ms, "spread", SYSTEM, case.title)
    return write_case(connection, case, read_place(connection), now_ms)


def _because(
    silences: list[Silence], place: Place, now_ms: int
) -> Callable[[str], Callable[[Member], Said]]:
    """Which silence an alert is under, for the incidents of a team."""
    live = [s for s in silences if s.holds(now_ms)]

    def of_team(team: str) -> Callable[[Member], Said]:
        own = [s for s in live if s.is_for(team)]

        def because(member: Member) -> Said:
            if not own:
                return Said()
            labels = place.labels_of(member)
            return next((s.reason for s in own if s.fits(labels)), Said())

        return because

    return of_team
