"""Metadata of metrics at rest: `store/metadata.db`, an SQLite file, and all of it in memory.

Exporters repeat what a metric means with every scrape; only what is new is written. One process
writes, the one that other people's protocols come to.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from vezha.model.metadata import MetricMetadata
from vezha.store.limits import (
    METADATA_HELP_CHARS_MAX,
    METADATA_METRICS_MAX,
    METADATA_PER_METRIC_MAX,
    METADATA_UNIT_CHARS_MAX,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS metadata (
  metric TEXT NOT NULL, kind TEXT NOT NULL, help TEXT NOT NULL, unit TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS metadata_by_metric ON metadata (metric);
"""


class MetadataBook:
    """The file. Thread-safe; `put` blocks where something is new."""

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, timeout=10.0)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self._known: dict[str, tuple[MetricMetadata, ...]] = {}
        for metric, *row in self._db.execute(
            "SELECT metric, kind, help, unit FROM metadata ORDER BY rowid"
        ):
            self._known[metric] = (*self._known.get(metric, ()), MetricMetadata(*row))
        self.refused = 0

    def is_new(self, metric: str, about: MetricMetadata) -> bool:
        """Whether `put` would write it."""
        return _shortened(about) not in self._known.get(metric, ())

    def put(self, rows: Iterable[tuple[str, MetricMetadata]]) -> int:
        """Learn; how many were new. Of one metric the newest few stay, and of new metrics beyond
        the limit none is taken. Kept over a restart."""
        learned = 0
        with self._lock, self._db:
            for metric, about in rows:
                short = _shortened(about)
                there = self._known.get(metric)
                if there is not None and short in there:
                    continue
                if there is None and len(self._known) >= METADATA_METRICS_MAX:
                    self.refused += 1
                    continue
                kept = (*(there or ()), short)[-METADATA_PER_METRIC_MAX:]
                self._db.execute("DELETE FROM metadata WHERE metric = ?", (metric,))
                self._db.executemany(
                    "INSERT INTO metadata VALUES (?, ?, ?, ?)",
                    [(metric, one.kind, one.help, one.unit) for one in kept],
                )
                self._known[metric] = kept
                learned += 1
        return learned

    def of(self, metric: str) -> tuple[MetricMetadata, ...]:
        """What is known of a metric, the oldest first."""
        return self._known.get(metric, ())

    def all(self) -> Mapping[str, tuple[MetricMetadata, ...]]:
        """Of every metric that anything is known of."""
        return dict(self._known)

    def stats(self) -> dict[str, float]:
        """How many metrics are described, and were refused."""
        return {
            "described_metrics": float(len(self._known)),
            "refused_metadata": float(self.refused),
        }

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def _shortened(about: MetricMetadata) -> MetricMetadata:
    if len(about.help) <= METADATA_HELP_CHARS_MAX and len(about.unit) <= METADATA_UNIT_CHARS_MAX:
        return about
    return MetricMetadata(
        about.kind, about.help[:METADATA_HELP_CHARS_MAX], about.unit[:METADATA_UNIT_CHARS_MAX]
    )
