"""Exemplars at rest: `store/exemplars.db`, an SQLite file.

Beside the samples, not among them: they are few, have labels of their own, and nothing is computed
from them. The newest are kept, up to a limit and as long as samples are. One process writes, the
one that other people's protocols come to, and it answers for them too.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from vezha.model.columns import Matcher
from vezha.model.exemplar import Exemplar
from vezha.model.labels import Labels
from vezha.store.index import LabelSets
from vezha.store.limits import (
    EXEMPLAR_SERIES_MAX,
    EXEMPLARS_MAX,
    EXEMPLARS_SPARE,
    FUTURE_MS_MAX,
)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, labels BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS exemplar (
  series INTEGER NOT NULL, ts_ms INTEGER NOT NULL, value REAL NOT NULL, labels BLOB NOT NULL,
  PRIMARY KEY (series, ts_ms)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS exemplar_by_time ON exemplar (ts_ms);
"""
_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Labels).decode


class Exemplars:
    """The file. Thread-safe; calls block."""

    def __init__(self, path: str, kept_s: float) -> None:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._kept_ms = int(kept_s * 1000)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, timeout=10.0)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self._last: dict[int, tuple[float, Labels]] = {}
        self.refused = 0
        self._forget_series()
        (self._count,) = self._db.execute("SELECT count(*) FROM exemplar").fetchone()

    def _forget_series(self) -> None:
        """Drop series that have no exemplar left, and number the others anew in memory."""
        with self._db:
            self._db.execute(
                "DELETE FROM series WHERE NOT EXISTS "
                "(SELECT 1 FROM exemplar WHERE exemplar.series = series.id)"
            )
        self._sets = LabelSets()
        self._ids: list[int] = []
        for number, labels in self._db.execute("SELECT id, labels FROM series ORDER BY id"):
            self._sets.add(_decode(labels))
            self._ids.append(number)
        self._last.clear()

    def put(self, exemplars: Sequence[Exemplar], now_ms: int) -> int:
        """Store them; how many were taken (what is there already counts). Kept over a restart."""
        taken = 0
        with self._lock:
            with self._db:
                for one in exemplars:
                    inside = now_ms - self._kept_ms <= one.ts_ms <= now_ms + FUTURE_MS_MAX
                    place = self._place(one.series) if inside and one.fits() else None
                    if place is None:
                        self.refused += 1
                        continue
                    taken += 1
                    if not one.timed and self._last.get(place) == (one.value, one.labels):
                        continue  # the exporter shows it until there is a newer one
                    self._last[place] = (one.value, one.labels)
                    self._count += self._db.execute(
                        "INSERT OR IGNORE INTO exemplar VALUES (?, ?, ?, ?)",
                        (self._ids[place], one.ts_ms, one.value, _encode(one.labels)),
                    ).rowcount
            if self._count > EXEMPLARS_MAX + EXEMPLARS_SPARE:
                self._prune(now_ms)
        return taken

    def _place(self, labels: Labels) -> int | None:
        place = self._sets.ids.get(labels)
        if place is None:
            if len(self._ids) >= EXEMPLAR_SERIES_MAX:
                return None
            cursor = self._db.execute("INSERT INTO series (labels) VALUES (?)", (_encode(labels),))
            assert cursor.lastrowid is not None
            place = self._sets.add(labels)
            self._ids.append(cursor.lastrowid)
        return place

    def _prune(self, now_ms: int) -> None:
        """Let the oldest go, and those that are older than samples are kept."""
        with self._db:
            self._db.execute("DELETE FROM exemplar WHERE ts_ms < ?", (now_ms - self._kept_ms,))
            self._db.execute(
                "DELETE FROM exemplar WHERE ts_ms < (SELECT ts_ms FROM exemplar "
                "ORDER BY ts_ms DESC LIMIT 1 OFFSET ?)",
                (EXEMPLARS_MAX,),
            )
        (self._count,) = self._db.execute("SELECT count(*) FROM exemplar").fetchone()
        self._forget_series()

    def select(
        self,
        selectors: Sequence[Sequence[Matcher]],
        start_ms: int,
        end_ms: int,
        limit: int,
    ) -> list[tuple[Labels, list[Exemplar]]]:
        """Exemplars in [start, end] of the series that fit any of *selectors*, by series and time;
        *limit* at most."""
        with self._lock:
            found: set[int] = set()
            for matchers in selectors:
                mask = self._sets.match(list(matchers))
                everyone = range(len(self._ids))
                found.update(everyone if mask is None else np.flatnonzero(mask).tolist())
            out: list[tuple[Labels, list[Exemplar]]] = []
            left = limit
            for place in sorted(found, key=self._sets.sets.__getitem__):
                labels = self._sets.sets[place]
                rows = self._db.execute(
                    "SELECT ts_ms, value, labels FROM exemplar WHERE series = ? "
                    "AND ts_ms BETWEEN ? AND ? ORDER BY ts_ms LIMIT ?",
                    (self._ids[place], start_ms, end_ms, left),
                ).fetchall()
                if rows:
                    out.append((labels, [Exemplar(labels, _decode(o), v, t) for t, v, o in rows]))
                    left -= len(rows)
                if left <= 0:
                    break
        return out

    def stats(self) -> dict[str, float]:
        """How many there are, and were refused."""
        return {
            "exemplars": float(self._count),
            "exemplar_series": float(len(self._ids)),
            "refused_exemplars": float(self.refused),
        }

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
