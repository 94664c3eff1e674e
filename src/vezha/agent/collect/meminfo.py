"""Memory and swap: /proc/meminfo, all of it."""

from __future__ import annotations

import os
import re
from operator import mul

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import Picks
from vezha.model.labels import metric

_PARENTHESES = re.compile(r"\((.*)\)")


class Collector(base.Collector):
    """node_memory_<field>_bytes, and node_memory_<field> for what is not in bytes."""

    families = (
        Family("node_memory_*_bytes", "gauge", "The field of /proc/meminfo, in bytes."),
        Family("node_memory_*", "gauge", "The field of /proc/meminfo, a count (huge pages)."),
    )

    def start(self) -> None:
        path = self.host.proc("meminfo")
        if not os.path.exists(path):
            raise base.NotHere(f"no {path}")
        self._file = self.open(path)
        self._picks: Picks | None = None
        self._factors: list[float] = []

    def read(self, now: float) -> list[float]:
        text = self._file.read()
        tokens = text.split()
        if self._picks is None or not self._picks.fit(tokens):
            self._picks = self._learn(text, tokens)
        return list(map(mul, map(float, self._picks.values(tokens)), self._factors))

    def _learn(self, text: bytes, tokens: list[bytes]) -> Picks:
        keys, values, series = [], [], []
        self._factors = []
        at = 0
        for line in text.splitlines():
            parts = line.split()
            if len(parts) >= 2:
                name = _PARENTHESES.sub(r"_\1", parts[0].decode().rstrip(":"))
                is_kilobytes = parts[2:] == [b"kB"]
                keys.append(at)
                values.append(at + 1)
                series.append(metric(f"node_memory_{name}{'_bytes' if is_kilobytes else ''}"))
                self._factors.append(1024.0 if is_kilobytes else 1.0)
            at += len(parts)
        self.series = tuple(series)
        return Picks(tokens, keys, values)
