"""Packets handled by core: /proc/net/softnet_stat (hexadecimal, one line a core)."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.model.labels import metric

_COLUMNS = (
    ("node_softnet_processed_total", 0),
    ("node_softnet_dropped_total", 1),
    ("node_softnet_times_squeezed_total", 2),
)
_CPU_COLUMN = 12
"""Since Linux 5.10 the line names its core; before, lines are counted."""


class Collector(base.Collector):
    """node_softnet_*."""

    families = (
        Family("node_softnet_processed_total", "counter", "Packets handled.", "cpu"),
        Family("node_softnet_dropped_total", "counter", "Packets dropped, queue full.", "cpu"),
        Family("node_softnet_times_squeezed_total", "counter", "Times work was left over.", "cpu"),
    )

    def start(self) -> None:
        path = self.host.proc("net/softnet_stat")
        if not os.path.exists(path):
            raise base.NotHere(f"no {path}")
        self._file = self.open(path, whole=False)
        self._cores: list[bytes] = []
        self._stride = 0

    def read(self, now: float) -> list[float]:
        text = self._file.read()
        tokens = text.split()
        stride = self._stride
        if not stride or len(tokens) % stride or self._cores_of(tokens, stride) != self._cores:
            stride = self._learn(text, tokens)
        return [float(int(n, 16)) for _, column in _COLUMNS for n in tokens[column::stride]]

    def _cores_of(self, tokens: list[bytes], stride: int) -> list[bytes]:
        if stride > _CPU_COLUMN:
            return tokens[_CPU_COLUMN::stride]
        return [b"%x" % i for i in range(len(tokens) // stride)]

    def _learn(self, text: bytes, tokens: list[bytes]) -> int:
        self._stride = len(text[: text.find(b"\n")].split())
        self._cores = self._cores_of(tokens, self._stride)
        self.series = tuple(
            metric(name, cpu=str(int(core, 16))) for name, _ in _COLUMNS for core in self._cores
        )
        return self._stride
