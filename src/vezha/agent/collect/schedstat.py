"""Run and wait time by core: /proc/schedstat."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.model.labels import metric

_NAMES = (
    "node_schedstat_running_seconds_total",
    "node_schedstat_waiting_seconds_total",
    "node_schedstat_timeslices_total",
)


class Collector(base.Collector):
    """node_schedstat_*."""

    families = (
        Family(_NAMES[0], "counter", "Time that tasks ran on the core (s).", "cpu"),
        Family(_NAMES[1], "counter", "Time that tasks waited for the core (s).", "cpu"),
        Family(_NAMES[2], "counter", "Time slices run on the core.", "cpu"),
    )

    def start(self) -> None:
        path = self.host.proc("schedstat")
        if not os.path.exists(path):
            raise base.NotHere(f"no {path}")
        self._file = self.open(path, whole=False)
        self._cores: list[bytes] = []

    def read(self, now: float) -> list[float]:
        cores, values = [], []
        for line in self._file.read().split(b"\ncpu")[1:]:
            # "N yield_count … running waiting timeslices", then lines of scheduling domains.
            parts = line.split(None, 10)
            cores.append(parts[0])
            values += [
                int(parts[7]) / 1e9,
                int(parts[8]) / 1e9,
                float(parts[9]),
            ]
        if cores != self._cores:
            self._cores = cores
            self.series = tuple(
                metric(name, cpu=core.decode()) for core in cores for name in _NAMES
            )
        return values
