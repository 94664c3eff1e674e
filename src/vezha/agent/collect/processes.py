"""Processes: states and counts, and the groups of processes that use most.

One scan reads `/proc/<pid>/stat` of every process. That is what costs an agent most, so it is
slow (10 s), and it slows down by itself where there are many: no scan begins before the last
one's time is `cpu_share_max` of the time since. Series are by command and systemd unit, never by
pid, and only the `top` of processor and of memory are told; a group stays for five minutes after
it was last among them, so that the list does not flicker. What lives and dies between two scans
is not seen here (cgroups count it, see `cgroup`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from vezha.agent.collect import collector as base
from vezha.agent.collect.cgroup import unit_of
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import read_or
from vezha.agent.limits import PROCESS_GROUPS_MAX, PROCESSES_MAX
from vezha.model.labels import Labels, metric

_STATES = ("D", "I", "R", "S", "T", "Z", "t")
_KEPT_S = 300.0

Group = tuple[str, str]
"""Command and unit."""


class _Process:
    """What is remembered of a pid between scans."""

    __slots__ = ("group", "seen", "start", "ticks")

    def __init__(self, start: bytes, group: Group) -> None:
        self.start = start
        self.group = group
        self.ticks = 0
        self.seen = 0


class _Use:
    """What a group used: processor ever (never falls), the rest at the last scan."""

    __slots__ = ("count", "last_top_s", "resident_pages", "threads", "ticks", "ticks_new")

    def __init__(self) -> None:
        self.ticks = 0
        self.ticks_new = 0
        self.resident_pages = 0
        self.threads = 0
        self.count = 0
        self.last_top_s = -_KEPT_S


class Collector(base.Collector):
    """node_processes_* and vezha_process_*."""

    families = (
        Family("node_processes_state", "gauge", "Processes by state.", "state"),
        Family("node_processes_pids", "gauge", "Processes."),
        Family("node_processes_threads", "gauge", "Threads."),
        Family("node_processes_max_processes", "gauge", "Highest pid."),
        Family("node_processes_max_threads", "gauge", "Most threads."),
        Family(
            "vezha_process_cpu_seconds_total",
            "counter",
            "Processor time of a group's processes while we watched (s).",
            "comm,unit",
        ),
        Family("vezha_process_resident_memory_bytes", "gauge", "Resident memory.", "comm,unit"),
        Family("vezha_process_count", "gauge", "Processes of the group.", "comm,unit"),
        Family("vezha_process_threads", "gauge", "Threads of the group.", "comm,unit"),
    )

    def start(self) -> None:
        if not os.path.isdir(self.host.proc("self")) and not os.path.isdir(self.host.proc("1")):
            raise base.NotHere(f"no processes in {self.host.proc_folder}")
        self._top = int(self.host.number("top"))
        self._share = max(1e-6, self.host.number("cpu_share_max"))
        self._ticks_per_s = float(os.sysconf("SC_CLK_TCK"))
        self._page_bytes = float(os.sysconf("SC_PAGE_SIZE"))
        self._limits = [
            self.open(self.host.proc(f"sys/kernel/{name}")) for name in ("pid_max", "threads-max")
        ]
        self._known: dict[str, _Process] = {}
        self._uses: dict[Group, _Use] = {}
        self._told: tuple[Group, ...] = ()
        self._states: dict[str, int] = {}
        self._scan = 0
        self._next_scan_s = 0.0
        self._values: list[float] = []
        self.series = ()

    def read(self, now: float) -> list[float]:
        clock = self.host.world.clock
        began = clock.monotonic()
        if began < self._next_scan_s:
            return self._values
        self._scan_all()
        self._choose(began)
        self._values = self._report()
        took = clock.monotonic() - began
        self._next_scan_s = began + took / self._share
        return self._values

    def _scan_all(self) -> None:
        self._scan += 1
        self._states = dict.fromkeys(_STATES, 0)
        for use in self._uses.values():
            use.ticks_new = use.resident_pages = use.threads = use.count = 0
        pids = [name for name in os.listdir(self.host.proc_folder) if name.isdigit()]
        folder = os.open(self.host.proc_folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for pid in pids[:PROCESSES_MAX]:
                try:
                    fd = os.open(f"{pid}/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
                    try:
                        text = os.read(fd, 1024)
                    finally:
                        os.close(fd)
                except OSError:
                    # It ended between the listing and now.
                    continue
                if text:
                    self._count(pid, text)
        finally:
            os.close(folder)
        if len(self._known) > len(pids):
            self._known = {p: k for p, k in self._known.items() if k.seen == self._scan}

    def _count(self, pid: str, text: bytes) -> None:
        # The command stands in parentheses and may hold any character, ")" too.
        end = text.rindex(b")")
        fields = text[end + 2 :].split(None, 22)
        state = fields[0].decode("ascii", "replace")
        self._states[state] = self._states.get(state, 0) + 1
        ticks = int(fields[11]) + int(fields[12])
        start = fields[19]
        process = self._known.get(pid)
        if process is None or process.start != start:
            comm = text[text.index(b"(") + 1 : end].decode("utf-8", "replace")
            process = _Process(start, self._group(pid, comm, fields[1]))
            self._known[pid] = process
            # At the first scan everyone's past is unknown; later, a new process is all ours.
            process.ticks = ticks if self._scan == 1 else 0
        use = self._uses.get(process.group)
        if use is None:
            use = self._uses[process.group] = _Use()
        use.ticks += ticks - process.ticks
        use.ticks_new += ticks - process.ticks
        use.resident_pages += int(fields[21])
        use.threads += int(fields[17])
        use.count += 1
        process.ticks = ticks
        process.seen = self._scan

    def _group(self, pid: str, comm: str, parent: bytes) -> Group:
        if parent == b"2" or pid == "2":
            # Kernel threads: "kworker/3:1-events" and its kin are one group each.
            return (comm.partition("/")[0].partition(":")[0], "kernel")
        text = read_or(self.host.proc(f"{pid}/cgroup"))
        paths = [line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2]
        return (comm, next((unit for unit in map(unit_of, paths) if unit), ""))

    def _choose(self, now_s: float) -> None:
        """Decide which groups are told."""
        alive = [group for group, use in self._uses.items() if use.count]
        for amount in ("ticks_new", "resident_pages"):
            # Idle groups are not "top" merely because nothing else runs.
            using = [(getattr(self._uses[g], amount), g) for g in alive]
            for used, group in sorted(using, reverse=True)[: self._top]:
                if used:
                    self._uses[group].last_top_s = now_s
        told = [g for g, use in self._uses.items() if now_s - use.last_top_s < _KEPT_S]
        if len(told) > PROCESS_GROUPS_MAX:
            told.sort(key=lambda g: -self._uses[g].last_top_s)
            told = told[:PROCESS_GROUPS_MAX]
        for group in [g for g, use in self._uses.items() if not use.count]:
            if group not in told:
                del self._uses[group]
        if set(told) != set(self._told) or not self.series:
            self._told = tuple(sorted(told))
            self.series = tuple(_announce(self._told))

    def _report(self) -> list[float]:
        values = [float(self._states[state]) for state in _STATES]
        uses = [self._uses[group] for group in self._told]
        values += [
            float(sum(self._states.values())),
            float(sum([use.threads for use in self._uses.values()])),
            *(float(file.read()) for file in self._limits),
        ]
        for use in uses:
            values += [
                use.ticks / self._ticks_per_s,
                use.resident_pages * self._page_bytes,
                float(use.count),
                float(use.threads),
            ]
        return values


def _announce(told: Iterable[Group]) -> list[Labels]:
    series = [metric("node_processes_state", state=state) for state in _STATES]
    series += [
        metric("node_processes_pids"),
        metric("node_processes_threads"),
        metric("node_processes_max_processes"),
        metric("node_processes_max_threads"),
    ]
    for comm, unit in told:
        for name in ("cpu_seconds_total", "resident_memory_bytes", "count", "threads"):
            series.append(metric(f"vezha_process_{name}", comm=comm, unit=unit))
    return series
