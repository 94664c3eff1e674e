"""Where tripwires are read: each source is one cheap look at the host.

A source tells series (the same names and labels as the ordinary samples) and their values, and
whether a value may have changed since the last look. Those that a collector can give are that
collector, opened a second time; file systems and processor time have lighter ways of their own.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Sequence

from vezha.agent.catalogue import BY_NAME
from vezha.agent.collect.collector import MISSING, Collector, Series
from vezha.agent.collect.filesystem import Collector as FileSystems
from vezha.agent.collect.filesystem import ask, parse_mounts
from vezha.agent.collect.host import Host
from vezha.agent.config import AgentConfig, CollectorSettings
from vezha.agent.limits import (
    TEXTFILES_MAX,
    WATCH_INTERVAL_S,
    WATCH_MEMINFO_BYTES_MAX,
    WATCH_MOUNTS_AGAIN_S,
)
from vezha.model.labels import metric
from vezha.wire.tripwire import Busy, matcher_of
from vezha.world import World

_NOT_SET = CollectorSettings()
WATCHED = "watched"
_PARENTHESES = re.compile(r"\((.*)\)")


class Source:
    """One thing to look at."""

    series: Series = ()
    values: Sequence[float] = ()

    def want(self, metrics: set[str]) -> None:
        """Only these metrics will be asked for. Called before a look, when they change."""

    def look(self, now_s: float) -> bool:
        """Read it at *now_s* (monotonic); whether a value may have changed. Raises OSError,
        ValueError, or NotHere."""
        raise AssertionError("every source looks")

    def descriptors(self) -> list[int]:
        """What becomes readable when a look should not wait."""
        return []

    def hurry(self) -> None:
        """One of `descriptors` is readable: the next look matters."""

    def close(self) -> None:
        """Close what is open."""


def source_name(of: str) -> str:
    """Which source has the metric *of*."""
    if of.startswith("node_filesystem_"):
        return "filesystem"
    if of.startswith("node_memory_"):
        return "meminfo"
    if of == "node_systemd_unit_state":
        return "systemd"
    if of == "vezha_watched_process_up":
        return WATCHED
    return "textfile"


def open_source(name: str, config: AgentConfig, world: World) -> Source:
    """The source *name*. Raises OSError or NotHere, and ValueError where it is switched off."""
    entry = BY_NAME[name]
    given = config.collectors.get(name, _NOT_SET)
    if given.enabled is False:
        raise ValueError(f"the collector {name} is switched off")
    host = Host(world, config.proc, config.sys, config.root, state=config.state)
    host = host.with_options({**entry.options, **given.options})
    if name == "filesystem":
        return Mounts(host)
    return _COLLECTED[name](host)


class Collected(Source):
    """A collector that is cheap enough to be read each time."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        try:
            collector.start()
        except BaseException:
            collector.stop()
            raise

    def look(self, now_s: float) -> bool:
        values = self._collector.read(now_s)
        changed = values != self.values or self.series is not self._collector.series
        self.series, self.values = self._collector.series, values
        return changed

    def close(self) -> None:
        self._collector.stop()


class Memory(Source):
    """The wanted fields of /proc/meminfo, each found by its name instead of reading all."""

    def __init__(self, host: Host) -> None:
        self._fd = os.open(host.proc("meminfo"), os.O_RDONLY | os.O_CLOEXEC)
        self._keys: list[bytes] = []
        self._factors: list[float] = []
        self._text = b""

    def want(self, metrics: set[str]) -> None:
        series = []
        self._keys, self._factors, self._text = [], [], b""
        for line in os.pread(self._fd, WATCH_MEMINFO_BYTES_MAX, 0).decode().splitlines():
            field, _, value = line.partition(":")
            in_bytes = value.endswith(" kB")
            plain = _PARENTHESES.sub(r"_\1", field)
            name = f"node_memory_{plain}{'_bytes' if in_bytes else ''}"
            if name in metrics:
                self._keys.append(f"\n{field}:".encode())
                self._factors.append(1024.0 if in_bytes else 1.0)
                series.append(metric(name))
        self.series = tuple(series)

    def look(self, now_s: float) -> bool:
        text = b"\n" + os.pread(self._fd, WATCH_MEMINFO_BYTES_MAX, 0)
        if text == self._text:
            return False
        self._text = text
        values = []
        for key, factor in zip(self._keys, self._factors):  # noqa: B905  hot, and equal by making
            at = text.index(key) + len(key)
            values.append(float(text[at : at + 24].split(None, 1)[0]) * factor)
        self.values = values
        return True

    def close(self) -> None:
        os.close(self._fd)


class TextFiles(Collected):
    """The text-file folder: looked through when a stamp in it has changed."""

    def __init__(self, host: Host) -> None:
        from vezha.agent.collect.textfile import Collector as TextFileCollector

        super().__init__(TextFileCollector(host))
        self._folder = host.text("folder") or f"{host.state_folder}/textfile"
        self._stamps: list[tuple[int, int, int]] | None = None
        self._paths: list[str] = []

    def look(self, now_s: float) -> bool:
        stamps = [_stamp(path) for path in self._paths]
        if self._paths and stamps == self._stamps:
            return False
        # Taken before the look: what changes meanwhile is seen at the next one.
        try:
            names = [name for name in os.listdir(self._folder) if name.endswith(".prom")]
        except FileNotFoundError:
            names = []
        paths = [self._folder, *(f"{self._folder}/{name}" for name in names[:TEXTFILES_MAX])]
        self._stamps = [_stamp(path) for path in paths]
        self._paths = paths
        return super().look(now_s)


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


class Watched(Collected):
    """Processes. The kernel tells of their end, so while all live a look is for restarts only."""

    def __init__(self, host: Host) -> None:
        from vezha.agent.collect.watched import Collector as WatchedCollector

        self._watched = WatchedCollector(host)
        self._next_s = 0.0
        super().__init__(self._watched)

    def look(self, now_s: float) -> bool:
        if now_s < self._next_s:
            return False
        changed = super().look(now_s)
        tells = all(self.values) and len(self.descriptors()) >= len(self.values)
        self._next_s = now_s + (1.0 if tells else 0.0)
        return changed

    def descriptors(self) -> list[int]:
        return self._watched.descriptors()

    def hurry(self) -> None:
        self._next_s = 0.0


class Units(Collected):
    """systemd's units: read when systemd has told something, and now and then."""

    def __init__(self, host: Host) -> None:
        from vezha.agent.collect.systemd import Collector as Systemd

        self._next_s = 0.0
        super().__init__(Systemd(host))

    def look(self, now_s: float) -> bool:
        if now_s < self._next_s and not self._collector.has_news():
            return False
        self._next_s = now_s + self._collector.host.number("refresh_every_s")
        return super().look(now_s)


_COLLECTED: dict[str, Callable[[Host], Source]] = {
    "meminfo": Memory,
    "textfile": TextFiles,
    WATCHED: Watched,
    "systemd": Units,
}


class Mounts(Source):
    """Space on local mounts. Those over a network are left to the collector, which survives a
    server that does not answer."""

    _NAMES = tuple(family.name for family in FileSystems.families)

    def __init__(self, host: Host) -> None:
        self._host = host
        self._points_exclude = re.compile(host.text("mount_points_exclude") or "^$")
        self._kinds_exclude = re.compile(host.text("fs_types_exclude") or "^$")
        self._text = b""
        self._again_s = 0.0
        self._asked: list[tuple[str, bool]] = []
        self._path = ""
        for owner in ("1", "self"):
            self._path = host.proc(f"{owner}/mounts")
            try:
                self._read()
                break
            except OSError:
                if owner == "self":
                    raise

    def _read(self) -> bytes:
        with open(self._path, "rb") as file:
            return file.read()

    def look(self, now_s: float) -> bool:
        if now_s >= self._again_s:
            self._again_s = now_s + WATCH_MOUNTS_AGAIN_S
            text = self._read()
            if text != self._text or not self.series:
                self._text = text
                self._learn(text.decode("utf-8", "surrogateescape"))
        values: list[float] = []
        for point, readonly in self._asked:
            values += ask(point, readonly)
        changed = values != self.values
        self.values = values
        return changed

    def _learn(self, text: str) -> None:
        mounts = [
            mount
            for mount in parse_mounts(text)
            if not mount.is_network
            and not self._points_exclude.search(mount.point)
            and not self._kinds_exclude.search(mount.kind)
        ]
        self._asked = [(self._host.root(mount.point), mount.readonly) for mount in mounts]
        self.values = ()
        self.series = tuple(
            metric(
                name,
                device=_shown(mount.device),
                mountpoint=_shown(mount.point),
                fstype=mount.kind,
            )
            for mount in mounts
            for name in self._NAMES
        )


class BusyTime(Source):
    """The mean share of processor time in some modes over a window of looks."""

    _MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")

    def __init__(self, host: Host, busy: Busy) -> None:
        self._path = host.proc("stat")
        self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        fits = matcher_of(busy.match)
        self._places = [1 + i for i, mode in enumerate(self._MODES) if fits({"mode": mode})]
        self._rest = busy.rest
        self._ticks_per_s = float(os.sysconf("SC_CLK_TCK"))
        self._cores = float(max(1, os.sysconf("SC_NPROCESSORS_ONLN")))
        self._looks: deque[tuple[float, float]] = deque(
            maxlen=max(2, round(busy.window_s / WATCH_INTERVAL_S) + 1)
        )
        self._window_s = busy.window_s
        self.series = (metric("busy"),)
        self.values = (MISSING,)

    def look(self, now_s: float) -> bool:
        fields = os.pread(self._fd, 256, 0).split(b"\n", 1)[0].split()
        used_s = sum([float(fields[place]) for place in self._places]) / self._ticks_per_s
        looks = self._looks
        looks.append((now_s, used_s))
        began_s, before_s = looks[0]
        # Half a window says too little: one busy moment would look like all of it.
        if len(looks) < looks.maxlen or now_s - began_s < 0.9 * self._window_s:  # type: ignore[operator]
            return False
        share = (used_s - before_s) / (now_s - began_s) / self._cores
        self.values = (1.0 - share if self._rest else share,)
        return True

    def close(self) -> None:
        os.close(self._fd)


def open_busy(busy: Busy, config: AgentConfig, world: World) -> Source:
    """Processor time. Raises OSError."""
    return BusyTime(Host(world, config.proc, config.sys, config.root), busy)


def _shown(name: str) -> str:
    """As the collector shows a file name: bytes that are no UTF-8 become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
