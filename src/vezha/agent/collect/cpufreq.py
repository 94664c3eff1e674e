"""Processor frequency: /sys/devices/system/cpu/cpu*/cpufreq."""

from __future__ import annotations

import re

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import KernelFile, list_or
from vezha.model.labels import metric

_FILES = (
    ("cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Frequency now, as the hardware says."),
    ("cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "Lowest frequency of the hardware."),
    ("cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "Highest frequency of the hardware."),
    ("scaling_cur_freq", "node_cpu_scaling_frequency_hertz", "Frequency now, as the kernel says."),
    ("scaling_min_freq", "node_cpu_scaling_frequency_min_hertz", "Lowest frequency allowed."),
    ("scaling_max_freq", "node_cpu_scaling_frequency_max_hertz", "Highest frequency allowed."),
)
_KILOHERTZ = 1000.0


class Collector(base.Collector):
    """node_cpu_frequency_* and node_cpu_scaling_frequency_*."""

    families = tuple(Family(name, "gauge", text, "cpu") for _, name, text in _FILES)

    def start(self) -> None:
        folder = self.host.sys("devices/system/cpu")
        self._files: list[KernelFile] = []
        series = []
        for cpu in list_or(folder):
            if not re.fullmatch(r"cpu\d+", cpu):
                continue
            for file, name, _ in _FILES:
                try:
                    kept = self.open(f"{folder}/{cpu}/cpufreq/{file}")
                    float(kept.read())
                except (OSError, ValueError):
                    continue
                self._files.append(kept)
                series.append(metric(name, cpu=cpu[3:]))
        if not series:
            raise base.NotHere(f"no {folder}/cpu*/cpufreq")
        self.series = tuple(series)

    def read(self, now: float) -> list[float]:
        return [float(file.read()) * _KILOHERTZ for file in self._files]
