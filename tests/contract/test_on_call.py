"""Incidents' people on both databases: acts, escalation, hand-over, messages."""

from __future__ import annotations

from pathlib import Path

import tomllib
from sqlalchemy import select
from tests.contract.test_ledger import ledger
from tests.unit.incidents.test_desk import Clock, tell
from tests.unit.oncall.conftest import MAIL, PLAN, add_person

from vezha.incidents.loop import Desk
from vezha.incidents.merge import merge_in, split_in
from vezha.incidents.oncall.document import read_everything
from vezha.incidents.oncall.escalation import Escalator
from vezha.incidents.oncall.feed import find_feed, make_feed, schedule_calendar
from vezha.incidents.oncall.handover import HandoverClerk, list_handovers
from vezha.incidents.oncall.person import Preference, add_contact, put_preference
from vezha.incidents.oncall.rows import add_override, put_everything
from vezha.incidents.snooze import snooze_in
from vezha.incidents.times import read_incidents, series_of
from vezha.incidents.undo import undo_in
from vezha.incidents.views import get_timeline, list_incidents
from vezha.ledger import Ledger
from vezha.ledger.tables import message
from vezha.notify.loop import Notifier
from vezha.world import Chance, World

__all__ = ["ledger"]


def test_the_whole_story(ledger: Ledger, tmp_path: Path) -> None:
    ledger.migrate()
    clock = Clock()
    world = World(clock=clock)
    desk, escalator, clerk = (
        Desk(ledger, world),
        Escalator(ledger, world),
        HandoverClerk(ledger, world),
    )
    (tmp_path / "notify.toml").write_text(MAIL)
    notifier = Notifier(ledger, world, str(tmp_path / "notify.toml"), {})

    def now_ms() -> int:
        return int(clock.seconds * 1000)

    def look() -> None:
        desk.step()
        clerk.step()
        escalator.step()
        notifier.plan_news()

    with ledger.begin() as connection:
        for name in ("olena", "petro", "boss"):
            add_person(connection, name)
            add_contact(connection, name, "mail", "mail", f"{name}@example.org", 0)
        put_preference(connection, "boss", Preference(rules={"critical": ["mail"]}), 0)
        plan = read_everything(
            tomllib.loads(
                PLAN.replace('name = "db"\nrepeat', 'name = "default"\nrepeat').replace(
                    'policy = "db"', 'policy = "default"'
                )
            )
        )
        put_everything(connection, plan, "test", now_ms(), prune=True)
        _, secret = make_feed(connection, "db", "", "test", 0, Chance(1))
    look()
    for host in "abc":
        with ledger.begin() as connection:
            tell(connection, "fired", host, now_ms(), f"K{host}")
        look()
        clock.seconds += 700
    with ledger.begin() as connection:
        merge_in(connection, 1, [2], "alice", "", now_ms())
        split_in(connection, 1, ["Kb/b"], "alice", "", now_ms())
        line = next(e for e in get_timeline(connection, 1) if e.kind == "split_off")
        undo_in(connection, 1, line.id, "alice", now_ms())
        snooze_in(connection, 3, 60_000, "alice", "", now_ms())
        add_override(
            connection, "db", "petro", now_ms(), now_ms() + 9_000_000, "boss", "", now_ms()
        )
    look()
    clock.seconds += 61
    look()
    with ledger.read() as connection:
        states = {v.id: v.state for v in list_incidents(connection, False)}
        kinds = [e.kind for e in get_timeline(connection, 3)]
        told = set(connection.execute(select(message.c.receiver)).scalars())
        assert find_feed(connection, secret) is not None
        assert "BEGIN:VEVENT" in schedule_calendar(connection, "db", now_ms())
        assert len(list_handovers(connection, "db", 5)) == 1
        assert series_of(read_incidents(connection, 0))
    assert states == {1: "open", 3: "open"}
    assert kinds[-3:] == ["snoozed", "woke", "escalated"]
    assert told >= {"mail", "hook", "@olena/mail", "@petro/mail"}
