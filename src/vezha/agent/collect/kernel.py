"""Interrupts, context switches, forks, running and blocked processes, boot time: /proc/stat."""

from __future__ import annotations

import os
import time

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import SharedFile
from vezha.model.labels import metric

_NAMES = {
    b"intr": "node_intr_total",
    b"ctxt": "node_context_switches_total",
    b"btime": "node_boot_time_seconds",
    b"processes": "node_forks_total",
    b"procs_running": "node_procs_running",
    b"procs_blocked": "node_procs_blocked",
}


class Collector(base.Collector):
    """Named `stat` in the catalogue, after the file."""

    families = (
        Family("node_intr_total", "counter", "Interrupts served."),
        Family("node_context_switches_total", "counter", "Context switches."),
        Family("node_boot_time_seconds", "gauge", "When the host booted, since the epoch."),
        Family("node_forks_total", "counter", "Forks."),
        Family("node_procs_running", "gauge", "Processes that run or could run."),
        Family("node_procs_blocked", "gauge", "Processes blocked until input or output ends."),
    )

    def start(self) -> None:
        if not os.path.exists(self.host.proc("stat")):
            raise base.NotHere(f"no {self.host.proc('stat')}")
        self._file: SharedFile = self.host.shared(self.host.proc("stat"))
        self._names: list[bytes] = []

    def read(self, now: float) -> list[float]:
        text = self._file.read(now)
        # The line of interrupts has a number for each of hundreds; only its first is the sum.
        start = text.find(b"\nintr ") + 1
        end = text.find(b"\n", start)
        interrupts = text[start : start + 40].split(None, 2)[:2]
        tokens = interrupts + text[end : text.find(b"\nsoftirq", end)].split()
        names = tokens[::2]
        if names != self._names:
            self._names = names
            self.series = tuple(metric(_NAMES[name]) for name in names if name in _NAMES)
            self._are_known = [name in _NAMES for name in names]
        values = list(map(float, tokens[1::2]))
        if all(self._are_known):
            return values
        return [v for v, known in zip(values, self._are_known, strict=True) if known]


def boot_time_s() -> float:
    """When a machine without /proc booted, since the epoch."""
    since_boot = getattr(time, "CLOCK_UPTIME_RAW", None) or time.CLOCK_MONOTONIC
    return time.time() - time.clock_gettime(since_boot)
