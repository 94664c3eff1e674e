"""Services and containers: cgroup version 2 (the kernel's admin-guide/cgroup-v2).

Reported are the groups that mean something to a person: systemd services and scopes, slices at
the top, and containers however their runtime nests them. Labels: `cgroup` (the path), `unit` (the
systemd unit), `container` (the first 12 digits of a container's id).
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import MISSING, Family
from vezha.agent.collect.kernelfile import read_or
from vezha.agent.limits import CGROUPS_MAX
from vezha.model.labels import Labels, metric

_CONTAINER = re.compile(r"(?:^|[-/])([0-9a-f]{12})[0-9a-f]{52}(?:\.scope)?$")
_UNIT = re.compile(r"\.(service|scope|slice|socket|mount|swap)$")
_DEPTH_MAX = 12
_LIST_EVERY_S = 30.0

_METRICS: tuple[tuple[str, str, str], ...] = (
    ("cpu_usage_seconds_total", "counter", "Processor time (s)."),
    ("cpu_user_seconds_total", "counter", "Processor time in user mode (s)."),
    ("cpu_system_seconds_total", "counter", "Processor time in the kernel (s)."),
    ("cpu_throttled_periods_total", "counter", "Periods in which its quota ran out."),
    ("cpu_throttled_seconds_total", "counter", "Time held back by its quota (s)."),
    ("memory_current_bytes", "gauge", "Memory in use, page cache too."),
    ("memory_max_bytes", "gauge", "Hard limit of memory; +Inf without."),
    ("memory_anon_bytes", "gauge", "Memory in use without page cache."),
    ("memory_swap_current_bytes", "gauge", "Swap in use."),
    ("memory_oom_kills_total", "counter", "Processes killed because memory ran out."),
    ("io_read_bytes_total", "counter", "Bytes read from disks."),
    ("io_written_bytes_total", "counter", "Bytes written to disks."),
    ("io_reads_total", "counter", "Reads from disks."),
    ("io_writes_total", "counter", "Writes to disks."),
    ("pids", "gauge", "Processes and threads."),
    ("pids_max", "gauge", "Most processes and threads; +Inf without limit."),
    ("pressure_cpu_waiting_seconds_total", "counter", "Time some task waited for processor (s)."),
    ("pressure_memory_waiting_seconds_total", "counter", "Time some task waited for memory (s)."),
    ("pressure_memory_stalled_seconds_total", "counter", "Time all tasks waited for memory (s)."),
    ("pressure_io_waiting_seconds_total", "counter", "Time some task waited for disk (s)."),
    ("pressure_io_stalled_seconds_total", "counter", "Time all tasks waited for disk (s)."),
)


class Cgroup(NamedTuple):
    """One group that is reported."""

    path: str
    """Below the root, beginning with "/"."""
    unit: str
    container: str


def unit_of(path: str) -> str:
    """The service or scope that a cgroup's path lies in: the innermost, "" where there is none."""
    for part in reversed(path.split("/")):
        if part.endswith((".service", ".scope")):
            return part
    return ""


def classify(path: str) -> Cgroup | None:
    """Whether and as what the group at *path* is reported."""
    name = path.rpartition("/")[2]
    container = _CONTAINER.search(name)
    if container is not None:
        return Cgroup(path, unit_of(path), container.group(1))
    if name.endswith((".service", ".scope")):
        return Cgroup(path, name, "")
    if name.endswith(".slice") and path.count("/") == 1:
        return Cgroup(path, name, "")
    return None


def find_root(sys_folder: str) -> str:
    """Where cgroup version 2 is mounted, "" where it is not (pure or hybrid set-up)."""
    for folder in (f"{sys_folder}/fs/cgroup", f"{sys_folder}/fs/cgroup/unified"):
        if os.path.exists(f"{folder}/cgroup.controllers"):
            return folder
    return ""


def list_groups(root: str) -> list[Cgroup]:
    """The groups to report, by path; at most `CGROUPS_MAX`."""
    found: list[Cgroup] = []
    waiting = [""]
    while waiting:
        path = waiting.pop()
        try:
            entries = [e.name for e in os.scandir(root + path) if e.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for name in sorted(entries, reverse=True):
            inner = f"{path}/{name}"
            group = classify(inner)
            if group is not None:
                found.append(group)
            # Inside a container or a service the groups are its own affair,
            # but a delegating service (a container engine) has containers below it.
            if inner.count("/") < _DEPTH_MAX and not (group is not None and group.container):
                waiting.append(inner)
    found.sort()
    return found[:CGROUPS_MAX]


class Collector(base.Collector):
    """vezha_cgroup_*."""

    families = tuple(
        Family(f"vezha_cgroup_{name}", kind, text, "cgroup,container,unit")
        for name, kind, text in _METRICS
    )

    def start(self) -> None:
        self._root = find_root(self.host.sys_folder)
        if not self._root:
            raise base.NotHere("cgroup version 2 is not mounted")
        if not list_groups(self._root):
            raise base.NotHere(f"no services or containers below {self._root}")
        self._list_again_s = 0.0
        self._groups: list[Cgroup] = []
        self._present: list[tuple[bool, ...]] = []

    def read(self, now: float) -> list[float]:
        monotonic = self.host.world.clock.monotonic()
        groups = self._groups
        if monotonic >= self._list_again_s:
            self._list_again_s = monotonic + _LIST_EVERY_S
            groups = list_groups(self._root)
        rows = [(group, measure(self._root + group.path)) for group in groups]
        # A group that has ended reads as nothing but missing values.
        rows = [row for row in rows if any(map(_is_here, row[1]))]
        groups = [group for group, _ in rows]
        present = [tuple(map(_is_here, row)) for _, row in rows]
        if groups != self._groups or present != self._present or not self.series:
            self._groups, self._present = groups, present
            self.series = tuple(labels for (group, row) in rows for labels in _announce(group, row))
        return [value for _, row in rows for value in row if _is_here(value)]


def _is_here(value: float) -> bool:
    return value == value  # NaN is what is not there


def _announce(group: Cgroup, row: list[float]) -> list[Labels]:
    return [
        metric(
            f"vezha_cgroup_{name}", cgroup=group.path, unit=group.unit, container=group.container
        )
        for (name, _, _), value in zip(_METRICS, row, strict=True)
        if _is_here(value)
    ]


def measure(folder: str) -> list[float]:
    """The values of one group in the order of `_METRICS`; `MISSING` where a controller is off."""
    cpu = _pairs(read_or(f"{folder}/cpu.stat"))
    memory = _pairs(read_or(f"{folder}/memory.stat"))
    events = _pairs(read_or(f"{folder}/memory.events"))
    io = _io(read_or(f"{folder}/io.stat"))
    cpu_wait, _ = _pressure(f"{folder}/cpu.pressure")
    memory_wait, memory_stall = _pressure(f"{folder}/memory.pressure")
    io_wait, io_stall = _pressure(f"{folder}/io.pressure")
    return [
        cpu.get("usage_usec", MISSING) / 1e6,
        cpu.get("user_usec", MISSING) / 1e6,
        cpu.get("system_usec", MISSING) / 1e6,
        cpu.get("nr_throttled", MISSING),
        cpu.get("throttled_usec", MISSING) / 1e6,
        _number(f"{folder}/memory.current"),
        _number(f"{folder}/memory.max"),
        memory.get("anon", MISSING),
        _number(f"{folder}/memory.swap.current"),
        events.get("oom_kill", MISSING),
        *io,
        _number(f"{folder}/pids.current"),
        _number(f"{folder}/pids.max"),
        cpu_wait,
        memory_wait,
        memory_stall,
        io_wait,
        io_stall,
    ]


def _pairs(text: str) -> dict[str, float]:
    words = text.split()
    return {name: float(value) for name, value in zip(words[::2], words[1::2], strict=False)}


def _io(text: str) -> tuple[float, float, float, float]:
    """Read and written bytes, reads and writes, over all disks ("8:0 rbytes=1 wbytes=2 …")."""
    if not text:
        return (MISSING, MISSING, MISSING, MISSING)
    sums = {"rbytes": 0.0, "wbytes": 0.0, "rios": 0.0, "wios": 0.0}
    for word in text.split():
        name, _, value = word.partition("=")
        if name in sums:
            sums[name] += float(value)
    return (sums["rbytes"], sums["wbytes"], sums["rios"], sums["wios"])


def _pressure(path: str) -> tuple[float, float]:
    """Waiting and stalled seconds; `MISSING` where the kernel does not say."""
    some = full = MISSING
    for line in read_or(path).splitlines():
        total = float(line.rpartition("total=")[2]) / 1e6
        if line.startswith("some"):
            some = total
        else:
            full = total
    return some, full


def _number(path: str) -> float:
    text = read_or(path)
    if not text:
        return MISSING
    return float("inf") if text == "max" else float(text)
