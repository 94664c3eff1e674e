"""How long each stage from a sample to a sent message takes, as histograms for `/metrics`.

Made from the times that rows of `alert_transition` and `message` carry. What happened since the
last scrape is counted at the next; before the first one, nothing is.
"""

from __future__ import annotations

import threading

from prometheus_client import CollectorRegistry, Histogram
from sqlalchemy import Connection, func, select

from vezha.api.limits import STAGE_ROWS_MAX, STAGE_SETTLE_MS
from vezha.ledger.tables import alert_transition, message

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1, 1.3, 2, 3, 5, 10, 30, 60, 300)


class StageTimes:
    """Follows the two tables; safe for threads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "vezha_stage_seconds",
            "From one stage to the next: sampled, evaluated, written, notified, dispatched.",
            ["stage"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._lock = threading.Lock()
        self._transition: int | None = None
        self._sent_ms = 0

    def follow(self, connection: Connection, now_ms: int) -> None:
        """Take in what is new."""
        # what is being committed just now is seen by the next scrape
        until_ms = now_ms - STAGE_SETTLE_MS
        with self._lock:
            if self._transition is None:
                newest = connection.execute(select(func.max(alert_transition.c.id))).scalar()
                self._transition, self._sent_ms = newest or 0, until_ms
                return
            self._follow_alerts(connection, until_ms)
            self._follow_messages(connection, until_ms)

    def _follow_alerts(self, connection: Connection, until_ms: int) -> None:
        table = alert_transition.c
        rows = connection.execute(
            select(table.id, table.event, table.sampled_ms, table.evaluated_ms, table.written_ms)
            .where(table.id > self._transition, table.written_ms <= until_ms)
            .order_by(table.id)
            .limit(STAGE_ROWS_MAX)
        )
        for row in rows:
            self._transition = row.id
            # only these have a sample of their own that began it
            if row.event == "fired" and row.sampled_ms:
                self._observe("evaluated", row.evaluated_ms - row.sampled_ms)
                self._observe("written", row.written_ms - row.evaluated_ms)

    def _follow_messages(self, connection: Connection, until_ms: int) -> None:
        rows = connection.execute(
            select(message.c.payload, message.c.created_ms, message.c.sent_ms)
            .where(
                message.c.kind == "opened",
                message.c.sent_ms > self._sent_ms,
                message.c.sent_ms <= until_ms,
            )
            .order_by(message.c.sent_ms)
            .limit(STAGE_ROWS_MAX)
        )
        for row in rows:
            self._observe("notified", row.created_ms - row.payload.get("detected_ms", 0))
            self._observe("dispatched", row.sent_ms - row.created_ms)
        self._sent_ms = until_ms

    def _observe(self, stage: str, ms: int) -> None:
        self._seconds.labels(stage).observe(max(0, ms) / 1000)
