"""Temperatures and cooling: /sys/class/thermal."""

from __future__ import annotations

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import MISSING, Family
from vezha.agent.collect.kernelfile import list_or, read_or
from vezha.model.labels import metric


class Collector(base.Collector):
    """node_thermal_zone_temp and node_cooling_device_*."""

    families = (
        Family("node_thermal_zone_temp", "gauge", "Temperature (degrees Celsius).", "type,zone"),
        Family("node_cooling_device_cur_state", "gauge", "How hard it cools.", "name,type"),
        Family("node_cooling_device_max_state", "gauge", "How hard it can cool.", "name,type"),
    )

    def start(self) -> None:
        self._names: list[str] = []
        if not self._list():
            raise base.NotHere(f"nothing in {self.host.sys('class/thermal')}")

    def _list(self) -> list[str]:
        return [
            name
            for name in list_or(self.host.sys("class/thermal"))
            if name.startswith(("thermal_zone", "cooling_device"))
        ]

    def read(self, now: float) -> list[float]:
        names = self._list()
        if names != self._names:
            self._learn(names)
        values = []
        for path, factor in self._paths:
            # A sensor that is asleep answers with an error.
            text = read_or(path)
            values.append(float(text) * factor if text else MISSING)
        return values

    def _learn(self, names: list[str]) -> None:
        self._names = names
        self._paths: list[tuple[str, float]] = []
        series = []
        for name in names:
            folder = self.host.sys(f"class/thermal/{name}")
            kind = read_or(f"{folder}/type")
            if name.startswith("thermal_zone"):
                self._paths.append((f"{folder}/temp", 0.001))
                zone = name[len("thermal_zone") :]
                series.append(metric("node_thermal_zone_temp", zone=zone, type=kind))
            else:
                number = name[len("cooling_device") :]
                for state in ("cur_state", "max_state"):
                    self._paths.append((f"{folder}/{state}", 1.0))
                    series.append(metric(f"node_cooling_device_{state}", name=number, type=kind))
        self.series = tuple(series)
