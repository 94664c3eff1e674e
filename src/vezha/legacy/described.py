"""What comes beside samples: exemplars and metadata, on their way into their files."""

from __future__ import annotations

import asyncio
import sqlite3

import structlog

from vezha.legacy.batch import SampleBatch
from vezha.store.beside import BESIDE, opened
from vezha.store.exemplars import Exemplars
from vezha.store.metadata import MetadataBook
from vezha.world import World

log = structlog.get_logger("vezha.legacy")


class Described:
    """Both files. Where they cannot be written, samples go on: it is said and counted."""

    def __init__(self, folder: str, kept_s: float, world: World) -> None:
        exemplars, metadata = (f"{folder}/{name}" for name in BESIDE)
        self.exemplars = opened(exemplars, lambda: Exemplars(exemplars, kept_s))
        self.metadata = opened(metadata, lambda: MetadataBook(metadata))
        self.failures = 0
        self._world = world

    async def keep(self, batch: SampleBatch) -> int:
        """Store what *batch* brings; how many of its exemplars were taken."""
        if not batch.exemplars and not batch.metadata:
            return 0
        new = [(name, about) for name, about in batch.metadata if self.metadata.is_new(name, about)]
        if not new and not batch.exemplars:
            return 0
        now_ms = int(self._world.clock.now() * 1000)

        def write() -> int:
            if new:
                self.metadata.put(new)
            return self.exemplars.put(batch.exemplars, now_ms) if batch.exemplars else 0

        try:
            return await asyncio.to_thread(write)
        except sqlite3.Error as error:
            self.failures += 1
            log.error("exemplars or metadata cannot be written", error=str(error))
            return 0

    def stats(self) -> dict[str, float]:
        """Counts of both."""
        failures = {"described_failures": float(self.failures)}
        return {**self.exemplars.stats(), **self.metadata.stats(), **failures}

    def close(self) -> None:
        """Close the files."""
        self.exemplars.close()
        self.metadata.close()
