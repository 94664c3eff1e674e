"""Hand-over: what the next person must know, and the rows of each change of shift.

A page has four lists, open, silenced, changed since the shift began, and fragile (flapping,
relapsed, data incomplete), and then what to look at first. It is plain data; providers and pages put
it into words. What of it belongs to a schedule is what its teams' policies wake it for; a
schedule that no policy names sees everything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from vezha.incidents.oncall.limits import HANDOVER_ITEMS_MAX, HANDOVERS_LISTED_MAX
from vezha.incidents.oncall.policy import DEFAULT, TargetKind
from vezha.incidents.oncall.rota import on_call, shifts
from vezha.incidents.oncall.rows import (
    get_schedule,
    read_overrides,
    read_policies,
    read_schedules,
    read_teams,
)
from vezha.incidents.rows import member_of, read_place
from vezha.incidents.silence import read_silences
from vezha.incidents.state import OVER
from vezha.incidents.words import Member, Place, Words, words_of
from vezha.ledger import Ledger
from vezha.ledger.tables import (
    alert_state,
    change,
    handover,
    incident,
    incident_alert,
    incident_event,
    oncall_shift,
)
from vezha.world import World

CURSOR = "oncall.handovers"
FIRST_LOOK_MS = 7 * 86_400_000
"""How far back "changed" reaches where nobody was on call before."""
_INCOMPLETE = ("AgentDataIncomplete",)
INCIDENTS_WORDED_MAX = 400
"""Incidents of one page whose Ukrainian words are made; the worst and newest come first."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a page. `id` is the incident's or silence's number; 0: neither. Times in ms."""

    kind: str
    id: int
    title: str
    severity: str = ""
    state: str = ""
    by: str = ""
    since_ms: int = 0
    until_ms: int | None = None
    next: str = ""
    title_uk: str = ""
    next_uk: str = ""
    by_uk: str = ""

    def because(self, language: str) -> str:
        """Who, or why it is silent, in *language*."""
        return (self.by_uk if language == "uk" else "") or self.by

    def titled(self, language: str) -> str:
        """The title in *language*; what has none of its own is the same in all."""
        return (self.title_uk if language == "uk" else "") or self.title

    def advised(self, language: str) -> str:
        """What to do next, in *language*."""
        return (self.next_uk if language == "uk" else "") or self.next


@dataclass(frozen=True, slots=True)
class Page:
    """A hand-over page."""

    schedule: str
    from_person: str
    to_person: str
    at_ms: int
    since_ms: int
    open: list[Item] = field(default_factory=list)
    silenced: list[Item] = field(default_factory=list)
    changed: list[Item] = field(default_factory=list)
    fragile: list[Item] = field(default_factory=list)
    look_at: list[Item] = field(default_factory=list)
    resolved_count: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Page:
        """The page of a row."""
        lists = ("open", "silenced", "changed", "fragile", "look_at")
        kept: dict[str, Any] = dict(data)
        kept.update({name: [Item(**item) for item in data[name]] for name in lists})
        return Page(**kept)


def make_page(
    connection: Connection,
    schedule: str,
    from_person: str,
    to_person: str,
    since_ms: int,
    now_ms: int,
) -> Page:
    """The page as things are now; *since_ms* is when the shift began. Raises NothingThere."""
    get_schedule(connection, schedule)
    teams = _teams_of(connection, schedule)
    rows = [
        row
        for row in connection.execute(
            select(incident).where(
                incident.c.merged_into.is_(None),
                (incident.c.updated_ms >= since_ms) | incident.c.state.not_in(OVER),
            )
        )
        if teams is None or row.team in teams
    ]
    rows.sort(key=lambda r: ({"critical": 0, "warning": 1}.get(r.severity, 2), -r.began_ms))
    live = [r for r in rows if r.state not in OVER]
    words = _words_uk(connection, [r.id for r in rows[:INCIDENTS_WORDED_MAX]])
    loud = [_incident("open", r, words) for r in live if not r.silent_because]
    silent = [
        _incident(
            "silenced", r, words, r.silent_because, r.words.get("uk", {}).get("silent_because", "")
        )
        for r in live
        if r.silent_because
    ]
    silences = read_silences(connection, now_ms)
    silent += [
        Item("silence", s.id, ", ".join(map(str, s.matchers)), state=s.state(now_ms), by=s.author,
             since_ms=s.starts_ms, until_ms=s.ends_ms, next=s.comment)
        for s in silences
    ]  # fmt: skip
    changed = [
        _incident("resolved", r, words, r.resolved_by or "")
        for r in rows
        if r.state == "resolved" and (r.resolved_ms or 0) >= since_ms
    ]
    resolved = len(changed)
    changed += _changes(connection, since_ms)
    fragile = _fragile(connection, rows, since_ms, words)
    return Page(
        schedule, from_person, to_person, now_ms, since_ms,
        loud[:HANDOVER_ITEMS_MAX], silent[:HANDOVER_ITEMS_MAX], changed[:HANDOVER_ITEMS_MAX],
        fragile[:HANDOVER_ITEMS_MAX], _look_at(loud, fragile, silences, now_ms), resolved,
    )  # fmt: skip


def _incident(
    kind: str, row: Any, words: Mapping[int, Words], by: str = "", by_uk: str = ""
) -> Item:
    uk = words.get(row.id)
    return Item(
        kind, row.id, row.title, row.severity, row.state, by or row.acknowledged_by or "",
        row.began_ms, row.snoozed_until_ms, row.next, uk.title if uk else "", uk.next if uk else "",
        by_uk,
    )  # fmt: skip


def _words_uk(connection: Connection, ids: Sequence[int]) -> dict[int, Words]:
    """What incidents are called in Ukrainian, made of their alerts as their rows are in English."""
    if not ids:
        return {}
    members: dict[int, list[Member]] = {}
    rows = connection.execute(select(incident_alert).where(incident_alert.c.incident_id.in_(ids)))
    for row in rows:
        members.setdefault(row.incident_id, []).append(member_of(row))
    place = read_place(connection) if members else Place()
    out = {}
    for id_, found in members.items():
        live = [m for m in found if m.is_open]
        out[id_] = words_of(live or found, "uk", place)
    return out


def _changes(connection: Connection, since_ms: int) -> list[Item]:
    """What was delivered or told of as changed in the shift, the newest first."""
    rows = connection.execute(
        select(change)
        .where(
            change.c.state.not_in(("draft", "planned")),
            func.coalesce(change.c.ended_ms, change.c.began_ms, change.c.created_ms) >= since_ms,
        )
        .order_by(change.c.id.desc())
        .limit(HANDOVER_ITEMS_MAX)
    )
    return [
        Item("change", row.id, row.title, state=row.outcome or row.state, by=row.owner,
             since_ms=row.began_ms or row.created_ms, until_ms=row.ended_ms)
        for row in rows
    ]  # fmt: skip


def _fragile(
    connection: Connection, rows: Collection[Any], since_ms: int, words: Mapping[int, Words]
) -> list[Item]:
    """What may come back: flapping alerts, relapsed incidents, hosts whose data is incomplete."""
    out = []
    by_id = {r.id: r for r in rows}
    if by_id:
        relapses = connection.execute(
            select(incident_event.c.incident_id, func.count())
            .where(
                incident_event.c.kind == "reopened",
                incident_event.c.at_ms >= since_ms,
                incident_event.c.incident_id.in_(list(by_id)[:500]),
            )
            .group_by(incident_event.c.incident_id)
        )
        out += [_incident("relapsed", by_id[id_], words) for id_, _ in relapses]
    unsteady = connection.execute(
        select(alert_state)
        .where(
            alert_state.c.state.in_(("flapping", "unknown"))
            | (alert_state.c.alert_name.in_(_INCOMPLETE) & (alert_state.c.state == "firing"))
        )
        .order_by(alert_state.c.host, alert_state.c.alert_name)
        .limit(HANDOVER_ITEMS_MAX)
    )
    for row in unsteady:
        kind = "flapping" if row.state == "flapping" else "incomplete"
        title = f"{row.host}: {row.alert_name}" if row.host else row.alert_name
        out.append(Item(kind, 0, title, row.severity, row.state, since_ms=row.changed_ms))
    return out


def _look_at(
    loud: list[Item], fragile: list[Item], silences: Collection[Any], now_ms: int
) -> list[Item]:
    """First what nobody has, then what relapsed, then silences that end within a day."""
    first = [i for i in loud if i.state == "open"] + [i for i in fragile if i.kind == "relapsed"]
    ending = [
        Item("silence_ends", s.id, ", ".join(map(str, s.matchers)), by=s.author,
             until_ms=s.ends_ms, next=s.comment)
        for s in silences
        if s.recurs is None and s.holds(now_ms) and s.ends_ms - now_ms <= 86_400_000
    ]  # fmt: skip
    seen: set[tuple[int, bool]] = set()
    out = []
    for item in [*first, *ending]:
        key = (item.id, item.kind == "silence_ends")
        if key not in seen:
            seen.add(key)
            out.append(item)
    return out[:10]


def _teams_of(connection: Connection, schedule: str) -> set[str] | None:
    """Teams whose incidents wake this schedule; None: all."""
    named = {
        p.name
        for p in read_policies(connection)
        if any(
            (t.kind, t.name) == (TargetKind.SCHEDULE, schedule) for s in p.steps for t in s.targets
        )
    }
    if not named or DEFAULT in named:
        return None
    return {t.name for t in read_teams(connection) if t.policy in named}


class HandoverClerk:
    """Notes each change of shift with its page; notify follows the rows."""

    def __init__(self, ledger: Ledger, world: World) -> None:
        self._ledger = ledger
        self._world = world

    def step(self) -> int:
        """Compare who is on call with who was; hand-overs written. Blocks."""
        now_ms = int(self._world.clock.now() * 1000)
        with self._ledger.read() as connection:
            if not self._changes(connection, now_ms):
                return 0
        with self._ledger.begin() as connection:
            return sum(
                self._hand_over(connection, name, person, now_ms)
                for name, person in self._changes(connection, now_ms)
            )

    def _changes(self, connection: Connection, now_ms: int) -> list[tuple[str, str]]:
        last = {row.schedule: row.person for row in connection.execute(select(oncall_shift))}
        overrides = read_overrides(connection, now_ms)
        out = []
        for schedule in read_schedules(connection):
            own = overrides.get(schedule.name, ())
            person = shifts(schedule, own, now_ms, now_ms + 1)[0].person
            if last.get(schedule.name) != person:
                out.append((schedule.name, person))
        return out

    def _hand_over(self, connection: Connection, name: str, person: str, now_ms: int) -> int:
        row = connection.execute(
            select(oncall_shift).where(oncall_shift.c.schedule == name)
        ).one_or_none()
        if row is None:
            # a schedule that is new: nobody hands over
            connection.execute(
                insert(oncall_shift).values(schedule=name, person=person, since_ms=now_ms)
            )
            return 0
        taken = connection.execute(
            update(oncall_shift)
            .where(oncall_shift.c.schedule == name, oncall_shift.c.person == row.person)
            .values(person=person, since_ms=now_ms)
        )
        if taken.rowcount != 1:
            return 0
        since_ms = max(row.since_ms, now_ms - FIRST_LOOK_MS)
        page = make_page(connection, name, row.person, person, since_ms, now_ms)
        connection.execute(
            insert(handover).values(
                schedule=name, at_ms=now_ms, from_person=row.person, to_person=person,
                page=page.to_json(),
            )
        )  # fmt: skip
        return 1


def current_page(connection: Connection, schedule: str, now_ms: int) -> Page:
    """The page of the shift that runs, as if it were handed over now. Raises NothingThere."""
    one = get_schedule(connection, schedule)
    overrides = read_overrides(connection, now_ms - FIRST_LOOK_MS, schedule).get(schedule, [])
    span = on_call(one, overrides, now_ms)
    since_ms = max(span.starts_ms, now_ms - FIRST_LOOK_MS)
    after = shifts(one, overrides, span.ends_ms, span.ends_ms + 1)
    to_person = after[0].person if after else ""
    return make_page(connection, schedule, span.person, to_person, since_ms, now_ms)


def list_handovers(connection: Connection, schedule: str, limit: int) -> list[Any]:
    """Rows of past hand-overs, the newest first."""
    query = select(handover).order_by(handover.c.id.desc())
    if schedule:
        query = query.where(handover.c.schedule == schedule)
    return list(connection.execute(query.limit(max(1, min(limit, HANDOVERS_LISTED_MAX)))))
