"""UDP queue lengths: sums over /proc/net/udp and udp6."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.model.labels import metric


class Collector(base.Collector):
    """node_udp_queues."""

    families = (Family("node_udp_queues", "gauge", "Bytes queued in UDP sockets.", "ip,queue"),)

    def start(self) -> None:
        self._files = []
        series = []
        for name, ip in (("udp", "v4"), ("udp6", "v6")):
            path = self.host.proc(f"net/{name}")
            if os.path.exists(path):
                self._files.append(self.open(path, whole=False))
                series += [metric("node_udp_queues", ip=ip, queue=q) for q in ("tx", "rx")]
        if not self._files:
            raise base.NotHere(f"no {self.host.proc('net/udp')}")
        self.series = tuple(series)

    def read(self, now: float) -> list[float]:
        values = []
        for file in self._files:
            queued_tx = queued_rx = 0
            for line in file.read().splitlines()[1:]:
                tx, _, rx = line.split(None, 5)[4].partition(b":")
                queued_tx += int(tx, 16)
                queued_rx += int(rx, 16)
            values += [float(queued_tx), float(queued_rx)]
        return values
