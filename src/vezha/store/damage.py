"""Damage: tiles that whoever read them found damaged, whichever process that was.

A note is an empty file `damaged/<file of the day, + for />+<number of the tile>`: the same tile noted
twice, or by two processes, is one. The writer counts them and takes away those whose tile is gone
(repaired, merged away by others, expired). Who may not write there keeps its own count.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import structlog

from vezha.store.days import day_name
from vezha.store.errors import StoreCorrupt
from vezha.store.limits import DAMAGE_NOTES_MAX
from vezha.store.listing import Listing
from vezha.store.partition import Partitions

log = structlog.get_logger(__name__)


class Damage:
    """The notes of the store in a folder. Thread-safe."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._folder = Path(path, "damaged")
        self._listing = Listing(str(self._folder))
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def note(self, day_path: str, number: int, error: StoreCorrupt) -> None:
        """A tile of the file *day_path* is damaged. Told once in each process."""
        name = f"{day_path.removeprefix(f'{self._path}/').replace('/', '+')}+{number}"
        with self._lock:
            if name in self._told:
                return
            self._told.add(name)
        log.error("a tile is damaged and is left out", file=day_path, error=str(error))
        if len(self._listing.names()) < DAMAGE_NOTES_MAX:
            with contextlib.suppress(OSError):
                self._folder.mkdir(mode=0o700, exist_ok=True)
                (self._folder / name).touch(mode=0o600)

    def count(self) -> int:
        """Tiles that are known to be damaged."""
        with self._lock:
            return len(self._told.union(self._listing.names()))

    def forget_gone(self, partitions: Partitions) -> None:
        """Take away notes of tiles that are there no longer. By the writer."""
        noted = self._listing.names()
        if not noted and not self._told:
            return
        there: set[str] = set()
        for partition in partitions.all():
            for day in partition.days.days():
                name = f"{partition.prefix}days/{day_name(day)}".replace("/", "+")
                if any(note.startswith(name) for note in (*noted, *self._told)):
                    file = partition.days.file(day)
                    assert file is not None
                    there.update(f"{name}+{number}" for number in file.directory()[:, 0].tolist())
        for note in noted:
            if note not in there:
                (self._folder / note).unlink(missing_ok=True)
        with self._lock:
            self._told &= there
