"""What a collector is: a fixed list of series, announced once, then only values.

Rules:

1. `start` opens what the collector reads, and raises `NotHere` where this host has none of it.
2. `read` returns one float per series of `series`, in that order. Where the structure changed
   (a new disk) it first puts a *new* tuple into `series`; while it did not, the tuple stays the
   same object, by which everyone else knows without comparing.
3. `read` may raise anything: the group counts it, marks the tick's values missing, backs off.
4. `read` runs in the group's worker thread, never twice at once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from vezha.agent.collect.host import Host
from vezha.agent.collect.kernelfile import KernelFile
from vezha.model.labels import Labels

Series = tuple[Labels, ...]

MISSING: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""Stands for a value that is missing this tick: Prometheus's stale marker, as in
`vezha.model.columns.STALE_NAN`, which the agent cannot import (it needs numpy)."""


class NotHere(Exception):
    """This host has nothing for the collector to read; the text says what was looked for."""


class Family(NamedTuple):
    """Documentation of a metric: what `# TYPE`, `# HELP` and the reference page say.

    `name` may end in or hold `*`, where the host decides (`node_memory_*_bytes`).
    """

    name: str
    type: str
    """counter, gauge or untyped."""
    help: str
    labels: str = ""
    """Label names, separated by commas."""


class Collector:
    """Base of all collectors. Each module has one subclass, called `Collector` too."""

    families: tuple[Family, ...] = ()
    hears_of_changes = False
    """Whether `has_news` ever says so; such a collector has a group to itself."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.series: Series = ()
        self._opened: list[KernelFile] = []

    def start(self) -> None:
        """Open the sources. Raises `NotHere`; may be called again after `stop`."""

    def read(self, now: float) -> Sequence[float]:
        """The values of this tick, as many as `series` now has. *now* is the tick's stamp (s)."""
        raise AssertionError(f"{type(self).__module__} does not read")

    def has_news(self) -> bool:
        """Whether something changed that should not wait for the interval. Asked each tick, from
        another thread than `read`, so it must be quick and change nothing."""
        return False

    def stop(self) -> None:
        """Close whatever is open; also after a `start` that failed half-way."""
        self.close(self._opened)

    def open(self, path: str, whole: bool = True) -> KernelFile:
        """Open a kernel's file (see `KernelFile`) that `stop` will close. Raises OSError."""
        file = KernelFile(path, whole)
        self._opened.append(file)
        return file

    def close(self, files: Iterable[KernelFile]) -> None:
        """Close some of the files opened."""
        closed = set(files)
        for file in closed:
            file.close()
        self._opened = [file for file in self._opened if file not in closed]
