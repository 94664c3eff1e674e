"""ARP entries by interface: /proc/net/arp."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.model.labels import metric


class Collector(base.Collector):
    """node_arp_entries."""

    families = (Family("node_arp_entries", "gauge", "ARP entries.", "device"),)

    def start(self) -> None:
        path = self.host.proc("net/arp")
        if not os.path.exists(path):
            raise base.NotHere(f"no {path}")
        self._file = self.open(path, whole=False)
        self._devices: list[bytes] = []

    def read(self, now: float) -> list[float]:
        counts: dict[bytes, int] = {}
        for line in self._file.read().splitlines()[1:]:
            device = line.rsplit(None, 1)[-1]
            counts[device] = counts.get(device, 0) + 1
        devices = sorted(counts)
        if devices != self._devices:
            self._devices = devices
            self.series = tuple(
                metric("node_arp_entries", device=device.decode("utf-8", "replace"))
                for device in devices
            )
        return [float(counts[device]) for device in devices]
