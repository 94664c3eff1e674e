"""Sockets in use: /proc/net/sockstat and sockstat6."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import Picks
from vezha.model.labels import Labels, metric


class Collector(base.Collector):
    """node_sockstat_<protocol>_<field>; pages of memory also as bytes."""

    families = (
        Family("node_sockstat_sockets_used", "gauge", "Sockets of all kinds."),
        Family("node_sockstat_*", "gauge", "The field of the protocol's line."),
        Family("node_sockstat_*_mem_bytes", "gauge", "Memory of the protocol's sockets."),
    )

    def start(self) -> None:
        paths = [self.host.proc("net/sockstat"), self.host.proc("net/sockstat6")]
        self._files = [self.open(path) for path in paths if os.path.exists(path)]
        if not self._files:
            raise base.NotHere(f"no {paths[0]}")
        self._page_bytes = float(os.sysconf("SC_PAGE_SIZE"))
        self._picks: Picks | None = None
        self._pages: list[int] = []

    def read(self, now: float) -> list[float]:
        text = b"".join([file.read() for file in self._files])
        tokens = text.split()
        if self._picks is None or not self._picks.fit(tokens):
            self._picks = self._learn(text, tokens)
        values = list(map(float, self._picks.values(tokens)))
        values += [values[i] * self._page_bytes for i in self._pages]
        return values

    def _learn(self, text: bytes, tokens: list[bytes]) -> Picks:
        keys, values = [], []
        series: list[Labels] = []
        in_bytes: list[Labels] = []
        self._pages = []
        at = 0
        for line in text.splitlines():
            parts = line.split()
            protocol = parts[0].decode().rstrip(":")
            keys.append(at)
            for column in range(1, len(parts) - 1, 2):
                field = parts[column].decode()
                if field == "mem":
                    self._pages.append(len(series))
                    in_bytes.append(metric(f"node_sockstat_{protocol}_mem_bytes"))
                keys.append(at + column)
                values.append(at + column + 1)
                series.append(metric(f"node_sockstat_{protocol}_{field}"))
            at += len(parts)
        self.series = tuple(series + in_bytes)
        return Picks(tokens, keys, values)
