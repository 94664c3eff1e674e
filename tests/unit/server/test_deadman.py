"""The dead man's switch: it beats while all is well, keeps silent otherwise, watches the peer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from vezha.alerting.book import RuleBook
from vezha.api.health import WELL_UNTIL
from vezha.incidents.rows import read_cursor
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, message
from vezha.legacy.batch import SampleBatch
from vezha.legacy.doors import Doors
from vezha.legacy.errors import NotNow
from vezha.server.deadman import Deadman
from vezha.server.limits import OUTBOX_STUCK_MS, RULES_STUCK_MS
from vezha.server.settings import DeadmanSettings
from vezha.server.vitals import Signs, judge, read_signs
from vezha.world import World

NOW = 1_700_000_000_000


@dataclass
class Outside:
    """Somebody out there who counts, and answers as told."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    status: int = 200


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            self.send_response(made.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(str(tmp_path / "ledger.db"))
    opened.migrate()
    yield opened
    opened.close()


class Feed:
    """The data contour's feed: it takes samples, or not."""

    def __init__(self) -> None:
        self.works = True
        self.batches: list[SampleBatch] = []

    async def write(self, batch: SampleBatch) -> int:
        if not self.works:
            raise NotNow("the data contour is away")
        self.batches.append(batch)
        return 0


def make(ledger: Ledger, settings: DeadmanSettings) -> tuple[Deadman, Feed]:
    doors, feed = Doors("/nowhere", World()), Feed()
    doors.feed = feed  # type: ignore[assignment]
    book = RuleBook((), builtin=False)
    return Deadman(settings, ledger, book, doors, lambda: ["hook"], World()), feed


def put_message(ledger: Ledger, receiver: str, next_ms: int, thread: str = "t") -> None:
    with ledger.begin() as connection:
        connection.execute(
            insert(message).values(
                receiver=receiver, thread=thread, kind="test", dedup_key=f"{receiver}{next_ms}",
                payload={}, state="waiting", attempts=0, next_ms=next_ms, claim="",
                claim_until_ms=0, created_ms=0, error="",
            )
        )  # fmt: skip


def test_it_beats_while_all_is_well_and_not_otherwise(ledger: Ledger, outside: Outside) -> None:
    async def run() -> None:
        deadman, feed = make(ledger, DeadmanSettings(url=f"{outside.url}/ping/secret"))
        assert await deadman.beat() == []
        assert outside.asked == ["/ping/secret"]
        feed.works = False
        assert "data contour is away" in (await deadman.beat())[0]
        feed.works = True
        outside.status = 500
        assert await deadman.beat() == []
        counters = deadman.counters
        assert (counters.sent, counters.withheld, counters.failures) == (1, 1, 1)
        assert len(outside.asked) == 2
        assert feed.batches[0].values[0] == 1.0

    asyncio.run(run())
    with ledger.read() as connection:
        assert read_cursor(connection, WELL_UNTIL) > World().clock.now() * 1000


@pytest.mark.parametrize(
    ("signs", "said"),
    [
        (Signs(True, NOW, None), []),
        (Signs(True, NOW - RULES_STUCK_MS - 1, None), ["rules are not evaluated"]),
        (Signs(True, None, None), ["rules are not evaluated"]),
        (Signs(False, None, None), []),
        (Signs(False, 0, NOW - OUTBOX_STUCK_MS), []),
        (Signs(False, 0, NOW - OUTBOX_STUCK_MS - 1), ["messages are not sent"]),
    ],
)
def test_what_the_signs_mean(signs: Signs, said: list[str]) -> None:
    assert judge(signs, 0, NOW) == said


def test_a_server_that_has_just_started_has_done_nothing_wrong_yet() -> None:
    assert judge(Signs(True, None, 0), NOW - 1_000, NOW) == []


def test_messages_that_wait_for_another_or_for_nobody_are_not_due(ledger: Ledger) -> None:
    put_message(ledger, "gone", 1)
    assert read_signs(ledger, False, ["hook"]).due_ms is None
    put_message(ledger, "hook", NOW)
    put_message(ledger, "hook", 2)  # behind the one that tries again later
    assert read_signs(ledger, False, ["hook"]).due_ms == NOW
    put_message(ledger, "hook", 3, thread="other")
    assert read_signs(ledger, False, ["hook"]).due_ms == 3


def test_a_silent_peer_is_an_alert_until_it_answers(ledger: Ledger, outside: Outside) -> None:
    def events() -> list[tuple[str, str]]:
        with ledger.read() as connection:
            rows = connection.execute(select(alert_transition)).all()
        return [(row.alert_name, row.event) for row in rows]

    async def run() -> None:
        deadman, feed = make(ledger, DeadmanSettings(peer_url=outside.url + "/"))
        await deadman.beat()
        assert outside.asked == ["/healthz/flow"]
        assert events() == []
        outside.status = 503
        for _ in range(2):
            await deadman.beat()
        assert events() == []
        for _ in range(2):
            await deadman.beat()
        assert events() == [("PeerSilent", "fired")]
        assert feed.batches[-1].values[-1] == 0.0
        # a restart in between neither forgets nor repeats it
        other, _ = make(ledger, DeadmanSettings(peer_url=outside.url))
        for _ in range(3):
            await other.beat()
        outside.status = 200
        await other.beat()
        await other.beat()
        assert events() == [("PeerSilent", "fired"), ("PeerSilent", "resolved")]

    asyncio.run(run())
