"""Load averages: /proc/loadavg, or what every Unix tells."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import KernelFile
from vezha.model.labels import metric

_NAMES = ("node_load1", "node_load5", "node_load15")


class Collector(base.Collector):
    """node_load1, node_load5, node_load15."""

    families = (
        Family("node_load1", "gauge", "Load average over 1 minute."),
        Family("node_load5", "gauge", "Load average over 5 minutes."),
        Family("node_load15", "gauge", "Load average over 15 minutes."),
    )

    def start(self) -> None:
        self._file: KernelFile | None = None
        if os.path.exists(self.host.proc("loadavg")):
            self._file = self.open(self.host.proc("loadavg"))
        self.series = tuple(metric(name) for name in _NAMES)

    def read(self, now: float) -> list[float]:
        if self._file is None:
            return list(os.getloadavg())
        return list(map(float, self._file.read().split(None, 3)[:3]))
