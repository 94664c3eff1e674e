"""Hardware sensors: /sys/class/hwmon (format: the kernel's hwmon/sysfs-interface)."""

from __future__ import annotations

import os
import re

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import MISSING, Family
from vezha.agent.collect.kernelfile import list_or, read_or
from vezha.model.labels import Labels, metric

_FILE = re.compile(r"^(in|curr|temp|fan|power|energy|humidity|pwm|intrusion|freq)(\d+)(?:_(.+))?$")
_UNSAFE = re.compile(r"[^a-z0-9:_]")
_FLAGS = ("alarm", "beep", "fault")
_QUANTITIES = {
    # kind of sensor: (unit in the metric's name, factor)
    "in": ("volts", 0.001),
    "curr": ("amps", 0.001),
    "temp": ("celsius", 0.001),
    "power": ("watt", 1e-6),
    "energy": ("joule_total", 1e-6),
    "humidity": ("", 0.001),
    "fan": ("rpm", 1.0),
    "freq": ("mhz", 1e-6),
}


class Collector(base.Collector):
    """node_hwmon_<kind>_<unit> for the sensor's input, node_hwmon_<kind>_<property>_<unit>."""

    families = (
        Family("node_hwmon_chip_names", "gauge", "Name of a chip.", "chip,chip_name"),
        Family("node_hwmon_sensor_label", "gauge", "Label of a sensor.", "chip,label,sensor"),
        Family("node_hwmon_*", "gauge", "A sensor's value, limit or alarm.", "chip,sensor"),
    )

    def start(self) -> None:
        self._folder = self.host.sys("class/hwmon")
        if not list_or(self._folder):
            raise base.NotHere(f"nothing in {self._folder}")
        self._chips: list[str] = []

    def read(self, now: float) -> list[float]:
        chips = list_or(self._folder)
        if chips != self._chips:
            self._learn(chips)
        values = []
        for path, factor in self._paths:
            text = read_or(path)
            values.append(float(text) * factor if text else MISSING)
        return values + self._ones

    def _learn(self, chips: list[str]) -> None:
        self._chips = chips
        self._paths: list[tuple[str, float]] = []
        series: list[Labels] = []
        about: list[Labels] = []
        for hwmon in chips:
            folder = f"{self._folder}/{hwmon}"
            if not os.path.exists(f"{folder}/name") and os.path.isdir(f"{folder}/device"):
                # Old drivers keep the attributes in the device's folder.
                folder = f"{folder}/device"
            chip = chip_name(folder, hwmon)
            name = read_or(f"{folder}/name")
            if name:
                about.append(metric("node_hwmon_chip_names", chip=chip, chip_name=name))
            for file in list_or(folder):
                match = _FILE.match(file)
                if match is None:
                    continue
                kind, number, attribute = match.groups()
                sensor = f"{kind}{number}"
                if attribute == "label":
                    label = read_or(f"{folder}/{file}")
                    about.append(
                        metric("node_hwmon_sensor_label", chip=chip, sensor=sensor, label=label)
                    )
                    continue
                named = _metric_of(kind, attribute)
                if named is not None and _is_number(read_or(f"{folder}/{file}")):
                    self._paths.append((f"{folder}/{file}", named[1]))
                    series.append(metric(named[0], chip=chip, sensor=sensor))
        self._ones = [1.0] * len(about)
        self.series = tuple(series + about)


def chip_name(folder: str, hwmon: str) -> str:
    """A chip's name that stays over reboots: bus and device, else the driver's, else hwmonN."""
    device = f"{folder}/device"
    if os.path.exists(device):
        path = os.path.realpath(device)
        bus = os.path.basename(os.path.realpath(f"{path}/subsystem"))
        parts = [
            _clean(bus if os.path.exists(f"{path}/subsystem") else ""),
            _clean(os.path.basename(path)),
        ]
        joined = "_".join(part for part in parts if part)
        if joined:
            return joined
    return _clean(read_or(f"{folder}/name")) or hwmon


def _clean(name: str) -> str:
    return _UNSAFE.sub("_", name.lower()).strip("_")


def _metric_of(kind: str, attribute: str | None) -> tuple[str, float] | None:
    """Name and factor of an attribute's metric; None where it is no number to report."""
    attribute = attribute or ""
    if attribute.endswith(_FLAGS) or kind in ("pwm", "intrusion"):
        parts = [kind, attribute]
        return "node_hwmon_" + "_".join(part for part in parts if part), 1.0
    if attribute in ("type", "offset", "vid", "div", "pulses", "enable"):
        return f"node_hwmon_{kind}_{attribute}", 1.0
    unit, factor = _QUANTITIES[kind]
    if attribute in ("input", ""):
        attribute = ""
    parts = [kind, attribute, unit]
    return "node_hwmon_" + "_".join(part for part in parts if part), factor


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
