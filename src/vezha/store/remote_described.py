"""What goes to a remote engine besides samples: exemplars, and metadata of metrics.

Both lie in files of their own (`exemplars`, `metadata`), written by the contour that other people's
protocols come to; here they are only read, so there is no second queue. Exemplars go once, as far as
a window before the newest that was sent, so that what arrives a little late is seen; after a start
that window is sent again, and engines drop what they have. Metadata go again and again, as
Prometheus sends them, because engines forget them.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from vezha.model.exemplar import Exemplar
from vezha.model.labels import Labels
from vezha.model.metadata import MetricMetadata
from vezha.store.limits import (
    REMOTE_EXEMPLARS_BACK_S,
    REMOTE_EXEMPLARS_MAX,
    REMOTE_METADATA_MAX,
    REMOTE_METADATA_S,
)
from vezha.store.remote_encode import exemplar_request, metadata_request
from vezha.world import World

_labels = msgspec.msgpack.Decoder(Labels).decode
_BACK_MS = int(REMOTE_EXEMPLARS_BACK_S * 1000)
Key = tuple[bytes, int]


class Described:
    """Requests with exemplars and metadata of the store in a folder. Used by one thread."""

    def __init__(self, folder: str, world: World) -> None:
        self._folder = folder
        self._world = world
        self._path = f"{folder}/remote/described.json"
        self._until_ms = self._stored()
        self._sent: set[Key] = set()
        self._metadata_next_s = 0.0
        self.sent_exemplars = 0
        self.sent_metadata = 0

    def _stored(self) -> int:
        try:
            return int(json.loads(self._world.disk.read(self._path))["exemplars_ms"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return int(self._world.clock.now() * 1000)  # what was before went nowhere, too

    def requests(self) -> Iterator[bytes]:
        """Uncompressed requests. The next one is asked for once an engine took, or refused for
        good, the one before."""
        yield from self._exemplars()
        if self._world.clock.monotonic() >= self._metadata_next_s:
            yield from self._metadata()

    def _exemplars(self) -> Iterator[bytes]:
        now_ms = int(self._world.clock.now() * 1000)
        rows = self._rows(
            "exemplars.db",
            "SELECT s.labels, e.ts_ms, e.value, e.labels FROM exemplar e "
            "JOIN series s ON s.id = e.series WHERE e.ts_ms >= ? ORDER BY e.ts_ms",
            (self._until_ms - _BACK_MS,),
        )
        new = [row for row in rows if (row[0], row[1]) not in self._sent]
        for at in range(0, len(new), REMOTE_EXEMPLARS_MAX):
            part = new[at : at + REMOTE_EXEMPLARS_MAX]
            yield exemplar_request(
                [Exemplar(_labels(of), _labels(own), value, ts) for of, ts, value, own in part]
            )
            self.sent_exemplars += len(part)
            self._sent.update((row[0], row[1]) for row in part)
            # a clock that is ahead must not hide what others send meanwhile
            self._until_ms = max(self._until_ms, min(part[-1][1], now_ms))
            told = json.dumps({"exemplars_ms": self._until_ms}).encode()
            self._world.disk.write_whole(self._path, told)
        if new:
            self._sent = {key for key in self._sent if key[1] >= self._until_ms - _BACK_MS}

    def _metadata(self) -> Iterator[bytes]:
        rows = self._rows(
            "metadata.db", "SELECT metric, kind, help, unit FROM metadata ORDER BY rowid"
        )
        newest = {metric: MetricMetadata(*about) for metric, *about in rows}  # one of each
        pairs = list(newest.items())
        for at in range(0, len(pairs), REMOTE_METADATA_MAX):
            part = pairs[at : at + REMOTE_METADATA_MAX]
            yield metadata_request(part)
            self.sent_metadata += len(part)
        if pairs:
            self._metadata_next_s = self._world.clock.monotonic() + REMOTE_METADATA_S

    def _rows(self, name: str, question: str, values: tuple[int, ...] = ()) -> list[Any]:
        path = Path(self._folder, name)
        if not path.exists():
            return []
        try:
            db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)
            with contextlib.closing(db):
                return db.execute(question, values).fetchall()
        except sqlite3.Error:
            return []  # it is just being made, or damaged: samples go on
