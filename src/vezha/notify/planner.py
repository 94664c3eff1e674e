"""`Planner`: news of incidents and hand-overs become messages in the outbox, each once.

Each step is one transaction that reads its cursor, puts the messages and moves the cursor: killed at
any instant, no news is lost or told twice. Who is told what is decided in `plan`, which is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from sqlalchemy import Connection, func, insert, select

from vezha.incidents.case import SYSTEM
from vezha.incidents.cause import likely_cause
from vezha.incidents.oncall.handover import Page
from vezha.incidents.oncall.person import Preference, chosen
from vezha.incidents.rows import read_cases, read_cursor, read_place, write_cursor
from vezha.ledger import Ledger
from vezha.ledger.tables import handover, incident_event
from vezha.model.severity import Severity
from vezha.notify import outbox
from vezha.notify.handing_over import contacts_for, message_of_page
from vezha.notify.limits import EVENTS_PER_STEP_MAX
from vezha.notify.message import LOUD
from vezha.notify.people import MARK, People, receiver_name
from vezha.notify.plan import cause_line, kind_asked, kind_for, message_of, news_of, receivers_of
from vezha.notify.quiet import HELD, quiet_until
from vezha.notify.settings import NotifyPlan, Receiver
from vezha.notify.words import word
from vezha.world import World

CURSOR = "notify.events"
HANDOVER_CURSOR = "notify.handovers"
_log = structlog.get_logger("notify")


class Planner:
    """Messages of one ledger; *in_force* gives the receivers of the file and of people."""

    def __init__(
        self,
        ledger: Ledger,
        world: World,
        public_url: str,
        in_force: Callable[[], tuple[NotifyPlan, People]],
    ) -> None:
        self._ledger = ledger
        self._world = world
        self._public_url = public_url
        self._in_force = in_force

    @property
    def plan(self) -> NotifyPlan:
        """Receivers and routes of the file."""
        return self._in_force()[0]

    @property
    def people(self) -> People:
        """People's contacts."""
        return self._in_force()[1]

    def step(self) -> int:
        """Plan all that is new; how many messages. Blocks."""
        planned = self._plan_handovers()
        while True:
            with self._ledger.begin() as connection:
                taken, put = self._plan_some(connection)
            planned += put
            if taken < EVENTS_PER_STEP_MAX:
                return planned

    def find(self, name: str) -> Receiver | None:
        """A receiver of the file, or a person's contact."""
        return self.plan.receivers.get(name) or self.people.receivers.get(name)

    def _now_ms(self) -> int:
        return int(self._world.clock.now() * 1000)

    def _plan_some(self, connection: Connection) -> tuple[int, int]:
        after = read_cursor(connection, CURSOR)
        rows = connection.execute(
            select(
                incident_event.c.id, incident_event.c.incident_id, incident_event.c.kind,
                incident_event.c.data,
            )
            .where(incident_event.c.id > after)
            .order_by(incident_event.c.id)
            .limit(EVENTS_PER_STEP_MAX)
        ).all()  # fmt: skip
        if not rows:
            return 0, 0
        put = 0
        if self.plan.receivers:
            asked: dict[int, list[dict[str, Any]]] = {}
            kinds: dict[int, list[str]] = {}
            last: dict[int, int] = {}
            for row in rows:
                kinds.setdefault(row.incident_id, []).append(row.kind)
                last[row.incident_id] = row.id
                if row.kind == "escalated":
                    asked.setdefault(row.incident_id, []).append(row.data)
            put = self._plan_incidents(connection, kinds, last, asked)
        write_cursor(connection, CURSOR, rows[-1].id)
        return len(rows), put

    def _plan_incidents(
        self,
        connection: Connection,
        kinds: Mapping[int, list[str]],
        last: Mapping[int, int],
        asked: Mapping[int, list[dict[str, Any]]],
    ) -> int:
        now_ms = self._now_ms()
        place = read_place(connection)
        put = 0
        for id_, case in read_cases(connection, kinds).items():
            news = news_of(kinds[id_], case.state)
            members = list(case.members.values())
            thread = f"incident:{id_}"
            steps, missed = self._asked(asked.get(id_, ()), case.severity)
            if missed:
                self._enter_untold(connection, id_, missed, now_ms)
            told_of = {r.name: r for r in receivers_of(self.plan, members, case.severity, place)}
            for name in [*outbox.told_people(connection, thread, MARK), *steps]:
                found = self.find(name)
                if found is not None:
                    told_of.setdefault(name, found)
            cause = likely_cause(connection, id_)
            for name, receiver in told_of.items():
                if receiver.quiet is not None and (news or name in steps):
                    outbox.drop_held(connection, name, thread, HELD)
                told = outbox.told_before(connection, name, thread)
                kind = kind_for(news, case, told, now_ms)
                step = steps.get(name)
                if step is not None:
                    kind = kind_asked(kind, case, told, step)
                if not kind or kind not in receiver.sender.wants:
                    continue
                what = message_of(case, kind, receiver, place, self._public_url, now_ms)
                if cause is not None and kind not in ("resolved", "eased"):
                    line = cause_line(cause, receiver.language)
                    what = replace(what, lines=[*what.lines, line])
                if step is not None and kind in LOUD:
                    line = word(receiver.language, "step", **_step(step))
                    what = replace(what, lines=[*what.lines, line])
                until_ms = quiet_until(receiver.quiet, kind, case.severity.value, now_ms)
                hold = None if until_ms is None else (until_ms, HELD)
                key = f"{name}:{id_}:{last[id_]}"
                put += outbox.put(connection, name, thread, key, what, now_ms, hold)
        return put

    def _asked(
        self, steps: Iterable[dict[str, Any]], severity: Severity
    ) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Whom escalations ask, by receiver's name, each with its newest step; who cannot be told."""
        out: dict[str, dict[str, Any]] = {}
        missed: list[str] = []
        for data in steps:
            for person in data.get("people", ()):
                contacts = self.people.contacts.get(person, [])
                preference = self.people.preferences.get(person, Preference())
                for contact in chosen(contacts, preference, severity):
                    out[receiver_name(contact)] = data
                if not contacts:
                    own = [
                        t for n, t in self.people.problems.items() if n.startswith(f"@{person}/")
                    ]
                    missed.append(own[0] if own else f"{person} has no contact")
            for name in data.get("receivers", ()):
                if name in self.plan.receivers:
                    out[name] = data
                else:
                    missed.append(f'there is no receiver "{name}"')
        return out, list(dict.fromkeys(missed))

    def _enter_untold(
        self, connection: Connection, id_: int, missed: list[str], now_ms: int
    ) -> None:
        """Whom nobody could tell stands in the timeline, where people look."""
        text = "; ".join(missed)
        _log.error("an escalation reaches nobody", incident=id_, reason=text)
        connection.execute(
            insert(incident_event).values(
                incident_id=id_, at_ms=now_ms, kind="untold", actor=SYSTEM, text=text[:2000],
                data={},
            )
        )  # fmt: skip

    def _plan_handovers(self) -> int:
        """Turn new hand-overs into messages; how many."""
        with self._ledger.read() as connection:
            newest = connection.execute(select(func.max(handover.c.id))).scalar() or 0
            if newest <= read_cursor(connection, HANDOVER_CURSOR):
                return 0
        put = 0
        with self._ledger.begin() as connection:
            after = read_cursor(connection, HANDOVER_CURSOR)
            rows = connection.execute(
                select(handover).where(handover.c.id > after).order_by(handover.c.id)
            ).all()
            for row in rows:
                page = Page.from_json(row.page)
                for person in dict.fromkeys((row.to_person, row.from_person)):
                    preference = self.people.preferences.get(person, Preference())
                    contacts = self.people.contacts.get(person, [])
                    for contact in contacts_for(contacts, preference):
                        receiver = self.people.receivers[receiver_name(contact)]
                        if "handover" not in receiver.sender.wants:
                            continue
                        what = message_of_page(page, receiver, self._public_url)
                        thread, name = f"handover:{row.id}", receiver.name
                        put += outbox.put(
                            connection, name, thread, f"{name}:{thread}", what, self._now_ms()
                        )
                write_cursor(connection, HANDOVER_CURSOR, row.id)
        return put


def _step(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: data.get(key, "?") for key in ("step", "policy", "round")}
