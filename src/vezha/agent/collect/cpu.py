"""Processor time by core and mode, from /proc/stat."""

from __future__ import annotations

import os
from operator import lt

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import SharedFile
from vezha.model.labels import metric

_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_GUEST_MODES = ("user", "nice")
_STEP_BACK_MENDED_S = 3.0
"""The kernel's idle and iowait counters may step back a little; a larger step is a core that
was taken out and came back, whose counters really start anew."""


class Collector(base.Collector):
    """node_cpu_seconds_total and node_cpu_guest_seconds_total."""

    families = (
        Family(
            "node_cpu_seconds_total", "counter", "Seconds a core spent in each mode.", "cpu,mode"
        ),
        Family(
            "node_cpu_guest_seconds_total",
            "counter",
            "Seconds a core spent running guests (already in user and nice).",
            "cpu,mode",
        ),
    )

    def start(self) -> None:
        if not os.path.exists(self.host.proc("stat")):
            raise base.NotHere(f"no {self.host.proc('stat')}")
        self._file: SharedFile = self.host.shared(self.host.proc("stat"))
        self._ticks_per_s = float(os.sysconf("SC_CLK_TCK"))
        self._cores: list[bytes] = []
        self._columns = 0
        self._last: list[float] = []

    def read(self, now: float) -> list[float]:
        text = self._file.read(now)
        tokens = text[: text.find(b"\nintr")].split()
        # The sum over all cores is the first line; each core has one like it.
        columns = self._columns
        if not columns or tokens[columns::columns] != self._cores:
            columns = self._learn(text, tokens)
        ticks_per_s = self._ticks_per_s
        values = [
            int(ticks) / ticks_per_s
            for mode in range(min(columns - 1, 10))
            for ticks in tokens[columns + 1 + mode :: columns]
        ]
        last = self._last
        if len(last) == len(values) and any(map(lt, values, last)):
            values = [
                old if 0 < old - new < _STEP_BACK_MENDED_S else new
                for new, old in zip(values, last, strict=True)
            ]
        self._last = values
        return values

    def _learn(self, text: bytes, tokens: list[bytes]) -> int:
        columns = len(text[: text.find(b"\n")].split())
        self._columns = columns
        self._cores = tokens[columns::columns]
        self._last = []
        names = [core.decode()[3:] for core in self._cores]
        self.series = tuple(
            metric("node_cpu_seconds_total", cpu=name, mode=mode)
            for mode in _MODES[: columns - 1]
            for name in names
        ) + tuple(
            metric("node_cpu_guest_seconds_total", cpu=name, mode=mode)
            for mode in _GUEST_MODES[: max(0, columns - 9)]
            for name in names
        )
        return columns
