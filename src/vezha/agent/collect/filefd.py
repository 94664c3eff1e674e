"""File handles: /proc/sys/fs/file-nr."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.model.labels import metric


class Collector(base.Collector):
    """node_filefd_*."""

    families = (
        Family("node_filefd_allocated", "gauge", "File handles allocated."),
        Family("node_filefd_maximum", "gauge", "Most file handles that the kernel will allocate."),
    )

    def start(self) -> None:
        path = self.host.proc("sys/fs/file-nr")
        if not os.path.exists(path):
            raise base.NotHere(f"no {path}")
        self._file = self.open(path)
        self.series = tuple(metric(family.name) for family in self.families)

    def read(self, now: float) -> list[float]:
        allocated, _, maximum = self._file.read().split()
        return [float(allocated), float(maximum)]
