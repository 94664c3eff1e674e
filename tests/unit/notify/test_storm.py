"""A dead gateway takes 1,000 hosts with it: a person gets one message and its end."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import insert, select
from tests.unit.notify.conftest import Office

from vezha.incidents.views import get_timeline, list_incidents
from vezha.ledger.tables import host, message
from vezha.notify.message import RINGING
from vezha.notify.settings import parse_settings

HOSTS = 1_000


def test_a_thousand_hosts_behind_one_gateway(office: Office) -> None:
    with office.ledger.begin() as connection:
        for i in range(HOSTS + 200):
            site = "kyiv" if i < HOSTS else "lviv"
            connection.execute(
                insert(host).values(name=f"h{i}", labels={"site": site}, facts={}, created_ms=0)
            )
    notifier = office.notifier()
    notifier.in_force.pretend(
        parse_settings(
            {
                "receivers": {
                    "hook": {"type": "webhook", "url": "http://127.0.0.1:9/"},
                    "chat": {"type": "telegram", "token": "1234:" + "a" * 30, "chat_id": 1},
                }
            },
            "test",
            {},
        )
    )

    def second(event: str, hosts: range, name: str = "HostSilent") -> None:
        for i in hosts:
            office.tell_only(event, f"h{i}", name, "critical")
        office.desk.step()
        notifier.plan_news()
        office.clock.seconds += 1

    # connections drop over ten seconds; half a minute later the hosts' data is incomplete, too
    for t in range(10):
        second("fired", range(t * 100, t * 100 + 100))
    office.clock.seconds += 30
    second("fired", range(0, HOSTS, 10), "AgentDataIncomplete")
    office.clock.seconds += 120
    second("fired", range(0))
    office.clock.seconds += 120
    with office.ledger.read() as connection:
        during = connection.execute(select(message)).all()
    rung = Counter(row.receiver for row in during if row.kind in RINGING)
    assert rung["hook"] <= 3
    assert rung["chat"] <= 3
    newest = [r for r in during if r.receiver == "chat"][-1]
    assert newest.payload["title"].startswith("1,000 hosts (site kyiv): Host silent")

    # they return over five minutes, in waves, each of which could have been a burst of messages
    second("resolved", range(0, HOSTS, 10), "AgentDataIncomplete")
    for wave in range(20):
        second("resolved", range(wave * 50, wave * 50 + 50))
        office.clock.seconds += 14
    with office.ledger.read() as connection:
        after = connection.execute(select(message).where(message.c.id > during[-1].id)).all()
        (incident,) = list_incidents(connection, False)
        kinds = Counter(e.kind for e in get_timeline(connection, incident.id))
    told = Counter(row.receiver for row in after if row.kind != "updated")
    assert told == {"hook": 1, "chat": 1}
    assert {row.kind for row in after if row.kind != "updated"} == {"resolved"}
    assert incident.state == "resolved"
    assert (kinds["opened"], kinds["resolved"]) == (1, 1)
