"""The entropy pool."""

from __future__ import annotations

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.model.labels import metric


class Collector(base.Collector):
    """node_entropy_*."""

    families = (
        Family("node_entropy_available_bits", "gauge", "Bits of entropy available."),
        Family("node_entropy_pool_size_bits", "gauge", "Size of the entropy pool."),
    )

    def start(self) -> None:
        folder = self.host.proc("sys/kernel/random")
        try:
            self._available = self.open(f"{folder}/entropy_avail")
            self._size = self.open(f"{folder}/poolsize")
        except FileNotFoundError:
            raise base.NotHere(f"no {folder}") from None
        self.series = tuple(metric(family.name) for family in self.families)

    def read(self, now: float) -> list[float]:
        return [float(self._available.read()), float(self._size.read())]
