"""One suite for both databases: SQLite always, PostgreSQL where one can be started or is given.

See `tests/databases.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from tests.databases import make_empty

from vezha.access import SYSTEM, authenticate_agent, create_enrolment, enrol_agent, first_start
from vezha.access.audit import append_audit, list_audit, verify_audit
from vezha.access.errors import EnrolmentError
from vezha.access.host import list_hosts, note_seen, remove_host
from vezha.access.password import Passwords
from vezha.access.session import Sessions
from vezha.access.throttle import note_failure, read_wait_ms
from vezha.ledger import Ledger
from vezha.ledger.tables import enrolment, metadata
from vezha.world import Chance

CHEAP = Passwords(passes=1, memory_kib=8, lanes=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "sqlite":
        opened = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    else:
        opened = Ledger.open(request.getfixturevalue("postgresql"))
        make_empty(opened)
    opened.migrate()
    yield opened
    opened.close()


def _enrol(ledger: Ledger, name: str, now_ms: int = 1_000) -> tuple[str, str]:
    made = create_enrolment(ledger, SYSTEM, now_ms, labels={"site": "lviv"})
    enrolled = enrol_agent(ledger, made.token, name, {"machine_id": name}, now_ms)
    return enrolled.agent_id, enrolled.secret


def test_tables_and_migrations_describe_the_same_database(ledger: Ledger) -> None:
    with ledger.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_an_enrolled_agent_is_known_until_its_host_is_removed(ledger: Ledger) -> None:
    agent_id, secret = _enrol(ledger, "db-1")
    identity = authenticate_agent(ledger, agent_id, secret)
    assert identity is not None
    assert (identity.host_name, identity.labels) == ("db-1", {"site": "lviv"})
    remove_host(ledger, SYSTEM, "db-1", 2_000)
    assert authenticate_agent(ledger, agent_id, secret) is None


def test_of_many_agents_with_one_token_exactly_one_gets_in(ledger: Ledger) -> None:
    token = create_enrolment(ledger, SYSTEM, 1_000).token
    outcomes: list[str] = []

    def try_it(number: int) -> None:
        try:
            enrol_agent(ledger, token, f"host-{number}", {}, 2_000)
            outcomes.append("in")
        except EnrolmentError:
            outcomes.append("refused")

    threads = [threading.Thread(target=try_it, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["in", *["refused"] * 5]
    with ledger.read() as connection:
        used = select(func.count()).select_from(enrolment).where(enrolment.c.used_ms.is_not(None))
        assert connection.execute(used).scalar_one() == 1
    assert len(list_hosts(ledger)) == 1


def test_audit_rows_of_many_writers_form_one_chain(ledger: Ledger) -> None:
    def write(name: str) -> None:
        for i in range(10):
            with ledger.begin() as connection:
                append_audit(connection, subject=SYSTEM, action=name, now_ms=i, detail={"ї": "ґ\n"})

    threads = [threading.Thread(target=write, args=(f"writer-{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with ledger.read() as connection:
        assert verify_audit(connection).broken_at is None
        assert [r["id"] for r in list_audit(connection, 100)] == list(range(40, 0, -1))


def test_the_audit_cannot_be_rewritten(ledger: Ledger) -> None:
    _enrol(ledger, "db-1")
    for statement in ("UPDATE audit SET actor = 'b'", "DELETE FROM audit"):
        with pytest.raises(DBAPIError, match="append-only"), ledger.begin() as connection:
            connection.execute(text(statement))


def test_first_start_makes_one_admin_who_signs_in(ledger: Ledger) -> None:
    password = first_start(ledger, 1_000, CHEAP)
    assert password is not None
    assert first_start(ledger, 1_000, CHEAP) is None
    sessions = Sessions(ledger, passwords=CHEAP, chance=Chance(1))
    signed_in = sessions.sign_in("admin", password, "::1", 2_000)
    subject = sessions.recognise(signed_in.secret, "::1", 3_000)
    assert subject is not None
    assert subject.must_change_password


def test_failures_are_counted_and_old_ones_forgotten(ledger: Ledger) -> None:
    keys = ("name:a", "address:b")
    with ledger.begin() as connection:
        for _ in range(10):
            note_failure(connection, keys, 1_000)
        assert read_wait_ms(connection, keys, 1_000) > 0
        note_failure(connection, ("name:c",), 10_000_000)
        assert read_wait_ms(connection, keys, 10_000_000) == 0


def test_when_hosts_were_seen_only_moves_forward(ledger: Ledger) -> None:
    _enrol(ledger, "db-1")
    note_seen(ledger, {"db-1": 5_000, "unknown": 1})
    note_seen(ledger, {"db-1": 4_000})
    row = list_hosts(ledger)[0]
    assert (row.first_seen_ms, row.last_seen_ms) == (5_000, 5_000)
