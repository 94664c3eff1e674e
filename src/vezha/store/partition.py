"""Partitions: the files of the series of one retention policy, apart from all others.

    days/2026-11-23.db              samples of the general policy
    rolled/60s/2026-11-23.db        their roll-ups
    kept/ci/days/2026-11-23.db      samples of the policy `ci`
    kept/ci/rolled/60s/…

So expiry is always deleting a file. Readers look at whatever partitions there are; they need not
know the policies.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path

from vezha.store.days import Days
from vezha.store.listing import Listing
from vezha.store.rolled import Rolled
from vezha.store.rollup import TIERS_MS


@dataclass(frozen=True, slots=True)
class Partition:
    """Samples and roll-ups of one policy; of the general one, the name is empty."""

    name: str
    days: Days
    rolled: Rolled

    @property
    def prefix(self) -> str:
        """What its files' names begin with, seen from the store's folder."""
        return f"kept/{self.name}/" if self.name else ""

    def bytes_on_disk(self) -> int:
        """Of everything in it."""
        rolled = sum(self.rolled.bytes_on_disk().values())
        return sum(self.days.bytes_on_disk().values()) + rolled

    def is_empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.days.days() and not any(self.rolled.days(tier) for tier in TIERS_MS)


class Partitions:
    """All partitions of the store in a folder. Thread-safe."""

    def __init__(self, path: str, readonly: bool) -> None:
        self._folder = f"{path}/kept"
        self._listing = Listing(self._folder)
        self._readonly = readonly
        self._lock = threading.Lock()
        self.general = Partition(
            "", Days(f"{path}/days", readonly), Rolled(f"{path}/rolled", readonly)
        )
        self._named: dict[str, Partition] = {}

    def all(self) -> list[Partition]:
        """Those that there are: the general one first, the others by name."""
        names = sorted(self._listing.names())
        if not names and not self._named:
            return [self.general]
        with self._lock:
            for gone in [name for name in self._named if name not in names]:
                _close(self._named.pop(gone))
            return [self.general, *map(self._get, names)]

    def made(self, name: str) -> Partition:
        """The partition of a policy, made if absent."""
        if not name:
            return self.general
        with self._lock:
            if not self._readonly:
                Path(self._folder, name).mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._get(name)

    def _get(self, name: str) -> Partition:
        found = self._named.get(name)
        if found is None:
            folder = f"{self._folder}/{name}"
            found = self._named[name] = Partition(
                name,
                Days(f"{folder}/days", self._readonly),
                Rolled(f"{folder}/rolled", self._readonly),
            )
        return found

    def remove(self, partition: Partition) -> None:
        """Remove the folders of one that is empty."""
        folder = Path(self._folder, partition.name)
        inner = (folder / "days", *folder.glob("rolled/*"), folder / "rolled", folder)
        for each in inner:
            with contextlib.suppress(OSError):
                each.rmdir()

    def close(self) -> None:
        """Close every file."""
        with self._lock:
            for partition in (self.general, *self._named.values()):
                _close(partition)


def _close(partition: Partition) -> None:
    partition.days.close()
    partition.rolled.close()
