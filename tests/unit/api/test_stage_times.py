"""The histograms of stages count each transition and first message once."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, insert

from vezha.api.stage_times import StageTimes
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, message

NOW = 1_700_000_000_000


def fire(connection: Connection, event: str, sampled_ms: int | None) -> None:
    connection.execute(
        insert(alert_transition).values(
            rule_key="r", fingerprint="f", group_name="g", alert_name="A", host="h",
            severity="warning", labels={}, annotations={}, event=event, from_state="inactive",
            to_state="firing", active_ms=NOW, sampled_ms=sampled_ms, evaluated_ms=NOW + 400,
            written_ms=NOW + 420,
        )
    )  # fmt: skip


def send(connection: Connection, kind: str) -> None:
    connection.execute(
        insert(message).values(
            receiver="r", thread="t", kind=kind, dedup_key=kind, state="sent", attempts=1,
            payload={"detected_ms": NOW + 400}, next_ms=0, claim="", claim_until_ms=0,
            created_ms=NOW + 500, sent_ms=NOW + 700, error="",
        )
    )  # fmt: skip


def test_each_stage_is_counted_once(tmp_path: Path) -> None:
    ledger = Ledger.open(str(tmp_path / "ledger.db"))
    ledger.migrate()
    registry = CollectorRegistry()
    stages = StageTimes(registry)

    def follow(at_ms: int) -> None:
        with ledger.read() as connection:
            stages.follow(connection, at_ms)

    with ledger.begin() as connection:
        fire(connection, "fired", NOW - 9)
    follow(NOW)
    with ledger.begin() as connection:
        fire(connection, "fired", NOW)
        fire(connection, "fired", None)
        fire(connection, "resolved", NOW)
        send(connection, "opened")
        send(connection, "updated")
    follow(NOW + 800)
    assert registry.get_sample_value("vezha_stage_seconds_count", {"stage": "written"}) is None
    for later in (5_000, 9_000):
        follow(NOW + later)
    ledger.close()
    expected = {"evaluated": 0.4, "written": 0.02, "notified": 0.1, "dispatched": 0.2}
    for stage, seconds in expected.items():
        labels = {"stage": stage}
        assert registry.get_sample_value("vezha_stage_seconds_count", labels) == 1.0
        assert registry.get_sample_value("vezha_stage_seconds_sum", labels) == seconds
