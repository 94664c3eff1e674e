"""A finished week reaches its receivers, in their language, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.unit.diary.test_page import full

from vezha.ledger import Ledger
from vezha.ledger.tables import message
from vezha.notify.message import Message
from vezha.notify.settings import NotifyPlan, load_settings
from vezha.server.posting import message_of_week, poster
from vezha.world import World

NOTIFY = """
[receivers.team]
type = "webhook"
url = "http://127.0.0.1:9/x"
language = "uk"
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(str(tmp_path / "ledger.db"))
    opened.migrate()
    yield opened
    opened.close()


def plan(folder: Path) -> NotifyPlan:
    (folder / "notify.toml").write_text(NOTIFY)
    return load_settings(str(folder / "notify.toml"), {})


def test_the_page_goes_to_those_who_are_named_and_only_once(ledger: Ledger, tmp_path: Path) -> None:
    known = plan(tmp_path).receivers
    post = poster(("team", "nobody"), known.get, "https://v.example.org", World())
    for _ in range(2):
        with ledger.begin() as connection:
            post(connection, full())
    with ledger.read() as connection:
        [row] = connection.execute(select(message)).all()
    said = Message.from_json(row.payload)
    assert (row.receiver, row.kind, row.thread) == ("team", "diary", "diary:2026-W47")
    assert said.title == "Щоденник, тиждень 2026-W47"
    assert said.link == "https://v.example.org/diary/2026-w47"
    assert "Що доставлено:" in said.lines


def test_a_very_long_page_ends_with_dots() -> None:
    facts = full()
    said = message_of_week(facts, "en", "UTC", "", 0)
    assert said.link == ""
    assert 10 < len(said.lines) <= 60
