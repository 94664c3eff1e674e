"""What every Unix tells without /proc: boot time and number of cores."""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernel import boot_time_s
from vezha.model.labels import metric


class Collector(base.Collector):
    """node_boot_time_seconds and vezha_host_cores."""

    families = (
        Family("node_boot_time_seconds", "gauge", "When the host booted, since the epoch."),
        Family("vezha_host_cores", "gauge", "Cores, where their time cannot be read."),
    )

    def start(self) -> None:
        self.series = tuple(metric(family.name) for family in self.families)
        # Two clocks make it up, so it would tremble if asked each time.
        self._boot_time_s = round(boot_time_s(), 2)

    def read(self, now: float) -> list[float]:
        return [self._boot_time_s, float(os.cpu_count() or 0)]
