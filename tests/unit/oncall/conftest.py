"""People, schedules and policies over a ledger, with desk, escalator and notifier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tomllib
from sqlalchemy import Connection, insert
from tests.unit.notify.conftest import Office

from vezha.incidents.oncall.document import read_everything
from vezha.incidents.oncall.escalation import Escalator
from vezha.incidents.oncall.handover import HandoverClerk
from vezha.incidents.oncall.person import add_contact
from vezha.incidents.oncall.rows import put_everything
from vezha.ledger.tables import user

PLAN = """
[[schedules]]
name = "db"
title = "Databases"
time_zone = "Europe/Kyiv"
[[schedules.layers]]
name = "week"
people = ["olena", "petro"]
rotation = "weekly"
start = "2023-11-13T09:00"
windows = []

[[policies]]
name = "db"
repeat = 1
ack_timeout_s = 600
[[policies.steps]]
targets = ["schedule:db"]
wait_s = 300
[[policies.steps]]
targets = ["person:boss"]
wait_s = 300

[[teams]]
name = "db"
match = ['role="db"']
policy = "db"
members = ["olena", "petro"]
"""

MAIL = """
[receivers.mail]
type = "smtp"
host = "127.0.0.1"
port = 9
security = "none"
from = "vezha@example.org"
to = ["all@example.org"]

[receivers.hook]
type = "webhook"
url = "http://127.0.0.1:9/"
"""


def add_person(connection: Connection, name: str, role: str = "operator") -> None:
    connection.execute(
        insert(user).values(
            name=name, password_hash="", role=role, must_change_password=False, disabled=False,
            created_ms=0,
        )
    )  # fmt: skip


class House(Office):
    """Everything from transitions to messages, and on-call."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.settings.write_text(MAIL)
        self.escalator = Escalator(self.ledger, self.world)
        self.clerk = HandoverClerk(self.ledger, self.world)
        with self.ledger.begin() as connection:
            for name in ("olena", "petro", "boss"):
                add_person(connection, name)
                add_contact(connection, name, "mail", "mail", f"{name}@example.org", 0)
            plan = read_everything(tomllib.loads(PLAN))
            put_everything(connection, plan, "test", self.now_ms(), prune=False)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.ledger.close()
