"""The clock as this host sees it: time, zone, clock sources."""

from __future__ import annotations

import time

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import list_or, read_or
from vezha.model.labels import metric

_LOOK_AGAIN_S = 60.0


class Collector(base.Collector):
    """Named `time` in the catalogue."""

    families = (
        Family("node_time_seconds", "gauge", "The host's clock when it was read."),
        Family("node_time_zone_offset_seconds", "gauge", "East of Greenwich (s).", "time_zone"),
        Family(
            "node_time_clocksource_available_info",
            "gauge",
            "A clock source that the kernel could use.",
            "clocksource,device",
        ),
        Family(
            "node_time_clocksource_current_info",
            "gauge",
            "The clock source that the kernel uses.",
            "clocksource,device",
        ),
    )

    def start(self) -> None:
        self._look_again_s = 0.0
        self._seen: object = None
        self._offset_s = 0.0

    def read(self, now: float) -> list[float]:
        clock = self.host.world.clock
        if clock.monotonic() >= self._look_again_s:
            self._look_again_s = clock.monotonic() + _LOOK_AGAIN_S
            self._look(clock.now())
        return [clock.now(), self._offset_s, *self._ones]

    def _look(self, now: float) -> None:
        local = time.localtime(now)
        self._offset_s = float(local.tm_gmtoff)
        folder = self.host.sys("devices/system/clocksource")
        sources = []
        for device in list_or(folder):
            if not device.startswith("clocksource"):
                continue
            number = device[len("clocksource") :]
            for kind in ("available", "current"):
                names = read_or(f"{folder}/{device}/{kind}_clocksource").split()
                sources += [(kind, number, name) for name in names]
        seen = (local.tm_zone, sources)
        if seen == self._seen:
            return
        self._seen = seen
        self._ones = [1.0] * len(sources)
        self.series = (
            metric("node_time_seconds"),
            metric("node_time_zone_offset_seconds", time_zone=local.tm_zone),
            *(
                metric(f"node_time_clocksource_{kind}_info", device=number, clocksource=name)
                for kind, number, name in sources
            ),
        )
