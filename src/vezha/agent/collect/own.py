"""The agent's own cost and counters, and the cost of each collector."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from vezha import __version__
from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import KernelFile, read_or
from vezha.model.labels import labels_of, metric

if TYPE_CHECKING:
    from vezha.agent.collect.group import Group
    from vezha.agent.collect.runner import Runner

_OPEN_FILES_EVERY_S = 10.0
_UNLIMITED = float(2**64)


class Collector(base.Collector):
    """Named `agent` in the catalogue. Reads the agent's process and its runners."""

    families = (
        Family("process_cpu_seconds_total", "counter", "Processor time used by the agent (s)."),
        Family("process_resident_memory_bytes", "gauge", "The agent's resident memory."),
        Family("process_virtual_memory_bytes", "gauge", "The agent's virtual memory."),
        Family("process_start_time_seconds", "gauge", "When the agent started, since the epoch."),
        Family("process_open_fds", "gauge", "The agent's open file descriptors."),
        Family("process_max_fds", "gauge", "Most file descriptors that the agent may open."),
        Family(
            "node_scrape_collector_duration_seconds",
            "gauge",
            "Time that a collector's last run took.",
            "collector",
        ),
        Family(
            "node_scrape_collector_success",
            "gauge",
            "1 where a collector's last run delivered.",
            "collector",
        ),
        Family(
            "vezha_agent_info", "gauge", "Version of the agent and its Python.", "version,python"
        ),
        Family("vezha_agent_cpu_seconds_total", "counter", "Processor time used by the agent (s)."),
        Family("vezha_agent_resident_memory_bytes", "gauge", "The agent's resident memory."),
        Family(
            "vezha_agent_collector_seconds_total",
            "counter",
            "Time spent in a collector since the agent's start.",
            "collector",
        ),
        Family(
            "vezha_agent_collector_errors_total",
            "counter",
            "Runs of a collector that failed or timed out.",
            "collector",
        ),
        Family("vezha_agent_collectors_off", "gauge", "Collectors with nothing to read here."),
        Family("vezha_agent_duplicate_series", "gauge", "Series dropped because two have them."),
    )

    def start(self) -> None:
        self._statm: KernelFile | None = None
        try:
            self._statm = self.open("/proc/self/statm")
        except OSError:
            self._statm = None
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._groups: tuple[Group, ...] = getattr(self, "_groups", ())
        self._extra: list[tuple[Family, Mapping[str, str], Callable[[], float]]]
        self._extra = getattr(self, "_extra", [])
        self._running: list[Runner] | None = None
        self._open_files = self._max_files = base.MISSING
        self._next_count_s = 0.0
        self._start_s = self._start_time_s()

    def watch(self, groups: Sequence[Group]) -> None:
        """Report these groups' runners."""
        self._groups = tuple(groups)

    def publish(self, family: Family, read: Callable[[], float], labels: Mapping[str, str]) -> None:
        """Report one more series of the agent's own."""
        self._extra = [*getattr(self, "_extra", []), (family, labels, read)]
        self._running = None

    def published(self) -> list[Family]:
        """The families of `publish`."""
        return list(dict.fromkeys(family for family, _, _ in getattr(self, "_extra", [])))

    def read(self, now: float) -> list[float]:
        all_runners = [runner for group in self._groups for runner in group.runners]
        running = [runner for runner in all_runners if runner.running]
        if running != self._running:
            self._running = running
            self.series = self._announce(running)
        if now >= self._next_count_s or now < self._next_count_s - 2 * _OPEN_FILES_EVERY_S:
            self._next_count_s = now + _OPEN_FILES_EVERY_S
            self._count_files()
        cpu_s = time.process_time()
        virtual = resident = base.MISSING
        if self._statm is not None:
            pages = self._statm.read().split(None, 2)
            virtual = float(pages[0]) * self._page_bytes
            resident = float(pages[1]) * self._page_bytes
        values = [
            cpu_s,
            resident,
            virtual,
            self._start_s,
            self._open_files,
            self._max_files,
            1.0,
            cpu_s,
            resident,
            float(len(all_runners) - len(running)),
            float(sum(group.duplicates for group in self._groups)),
        ]
        values += [runner.duration_s for runner in running]
        values += [runner.success for runner in running]
        values += [runner.cost_s_total for runner in running]
        values += [float(runner.errors_total) for runner in running]
        values += [read() for _, _, read in self._extra]
        return values

    def _announce(self, running: Sequence[Runner]) -> base.Series:
        names = [runner.name for runner in running]
        return (
            metric("process_cpu_seconds_total"),
            metric("process_resident_memory_bytes"),
            metric("process_virtual_memory_bytes"),
            metric("process_start_time_seconds"),
            metric("process_open_fds"),
            metric("process_max_fds"),
            metric("vezha_agent_info", version=__version__, python=sys.version.split()[0]),
            metric("vezha_agent_cpu_seconds_total"),
            metric("vezha_agent_resident_memory_bytes"),
            metric("vezha_agent_collectors_off"),
            metric("vezha_agent_duplicate_series"),
            *(metric("node_scrape_collector_duration_seconds", collector=n) for n in names),
            *(metric("node_scrape_collector_success", collector=n) for n in names),
            *(metric("vezha_agent_collector_seconds_total", collector=n) for n in names),
            *(metric("vezha_agent_collector_errors_total", collector=n) for n in names),
            *(labels_of({"__name__": family.name, **labels}) for family, labels, _ in self._extra),
        )

    def _count_files(self) -> None:
        try:
            import resource

            self._open_files = float(len(os.listdir("/proc/self/fd")))
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            self._max_files = _UNLIMITED if soft == resource.RLIM_INFINITY else float(soft)
        except (ImportError, OSError):
            self._open_files = self._max_files = base.MISSING

    def _start_time_s(self) -> float:
        """From the boot time and the process's start ticks; elsewhere, now."""
        stat = read_or("/proc/self/stat")
        boot = [line for line in read_or("/proc/stat").splitlines() if line.startswith("btime ")]
        if not stat or not boot:
            return self.host.world.clock.now()
        ticks = float(stat.rpartition(")")[2].split()[19])
        return float(boot[0].split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
