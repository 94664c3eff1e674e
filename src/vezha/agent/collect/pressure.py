"""Pressure stall information: how long tasks waited for processor, memory, disk, interrupts."""

from __future__ import annotations

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import KernelFile
from vezha.model.labels import metric

_METRICS = {
    ("cpu", b"some"): "node_pressure_cpu_waiting_seconds_total",
    ("io", b"some"): "node_pressure_io_waiting_seconds_total",
    ("io", b"full"): "node_pressure_io_stalled_seconds_total",
    ("memory", b"some"): "node_pressure_memory_waiting_seconds_total",
    ("memory", b"full"): "node_pressure_memory_stalled_seconds_total",
    ("irq", b"full"): "node_pressure_irq_stalled_seconds_total",
}


class Collector(base.Collector):
    """node_pressure_*; "waiting" is *some* in the kernel's words, "stalled" is *full*."""

    families = (
        Family(_METRICS["cpu", b"some"], "counter", "Time some task waited for processor (s)."),
        Family(_METRICS["io", b"some"], "counter", "Time some task waited for disk (s)."),
        Family(_METRICS["io", b"full"], "counter", "Time all tasks waited for disk (s)."),
        Family(_METRICS["memory", b"some"], "counter", "Time some task waited for memory (s)."),
        Family(_METRICS["memory", b"full"], "counter", "Time all tasks waited for memory (s)."),
        Family(_METRICS["irq", b"full"], "counter", "Time taken from all tasks by interrupts (s)."),
    )

    def start(self) -> None:
        self._files: list[tuple[KernelFile, list[bytes]]] = []
        series = []
        for resource in ("cpu", "io", "memory", "irq"):
            try:
                file = self.open(self.host.proc(f"pressure/{resource}"))
                text = file.read()
            except OSError:
                # Older kernels lack irq; all lack everything when booted with psi=0.
                continue
            wanted = [
                kind for kind in (b"some", b"full") if (resource, kind) in _METRICS and kind in text
            ]
            self._files.append((file, wanted))
            series += [metric(_METRICS[resource, kind]) for kind in wanted]
        if not series:
            raise base.NotHere(f"no {self.host.proc('pressure')} (the kernel has no psi)")
        self.series = tuple(series)

    def read(self, now: float) -> list[float]:
        values = []
        for file, wanted in self._files:
            text = file.read()
            for kind in wanted:
                at = text.index(b"total=", text.index(kind)) + 6
                values.append(int(text[at : text.index(b"\n", at)]) / 1e6)
        return values
