"""Whether processes that somebody named are alive.

`[collectors.watched] processes = "nginx postgres /run/my-service.pid"`: a word is a process's
command (as `ps -o comm` shows it), or the path of a pid file. The kernel tells of an end at once
(a pidfd becomes readable), so that asking whether one lives costs one `poll`; `/proc` is scanned
only while one is missing, and then only what is new in it, with all of it every few seconds (a
process may take its name long after its number).
"""

from __future__ import annotations

import contextlib
import os
import select

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.limits import (
    COMMAND_CHARS_MAX,
    PROCESSES_MAX,
    WATCHED_PIDS_MAX,
    WATCHED_PROCESSES_MAX,
    WATCHED_RESCAN_S,
)
from vezha.model.labels import metric


class Collector(base.Collector):
    """vezha_watched_process_up."""

    families = (
        Family(
            "vezha_watched_process_up",
            "gauge",
            "1 where a process that was named to be watched is alive.",
            "name",
        ),
    )

    def start(self) -> None:
        names = list(dict.fromkeys(self.host.text("processes").split()))[:WATCHED_PROCESSES_MAX]
        if not names:
            raise base.NotHere("no processes are named")
        # Numbers of another name space (an agent in a container) mean nothing to our kernel.
        has_pidfds = self.host.proc_folder == "/proc" and hasattr(os, "pidfd_open")
        self._processes = [_Process(self.host.proc_folder, name, has_pidfds) for name in names]
        self._known: set[str] = set()
        self._full_scan_s = 0.0
        self._scan_s = 0.0
        self.series = tuple(metric("vezha_watched_process_up", name=name) for name in names)

    def read(self, now: float) -> list[float]:
        """1 or 0 for each."""
        clock_s = self.host.world.clock.monotonic()
        alive = [process.lives() for process in self._processes]
        died = any(not now_ and process.lived for now_, process in zip(alive, self._processes))  # noqa: B905
        if not all(alive) and (died or clock_s >= self._scan_s):
            self._scan_s = clock_s + 1.0
            if died or clock_s >= self._full_scan_s:
                self._full_scan_s = clock_s + WATCHED_RESCAN_S
                self._known = set()
            self._find([p for p, lives in zip(self._processes, alive) if not lives])  # noqa: B905
            alive = [process.lives() for process in self._processes]
        for process, lives in zip(self._processes, alive):  # noqa: B905
            process.lived = lives
        return [1.0 if lives else 0.0 for lives in alive]

    def _find(self, missing: list[_Process]) -> None:
        wanted = {}
        for process in missing:
            if process.by_file:
                process.take_from_file()
            else:
                wanted[process.name[:COMMAND_CHARS_MAX]] = process
        if not wanted:
            return
        proc = self.host.proc_folder
        pids = [name for name in os.listdir(proc) if name.isdigit()][:PROCESSES_MAX]
        for pid in pids:
            if pid in self._known:
                continue
            try:
                fd = os.open(f"{proc}/{pid}/comm", os.O_RDONLY | os.O_CLOEXEC)
                try:
                    name = os.read(fd, 64).rstrip(b"\n").decode("utf-8", "replace")
                finally:
                    os.close(fd)
            except OSError:
                continue
            found = wanted.get(name)
            if found is not None:
                found.take(int(pid))
        self._known = set(pids)

    def descriptors(self) -> list[int]:
        """What becomes readable when a process ends: for who waits on it."""
        return [fd for process in self._processes for fd in process.descriptors()]

    def stop(self) -> None:
        super().stop()
        for process in getattr(self, "_processes", []):
            process.forget()


class _Process:
    """One name, with the processes found for it (a few of them, if it has many)."""

    def __init__(self, proc: str, name: str, has_pidfds: bool) -> None:
        self.name = name
        self.by_file = name.startswith("/")
        self.lived = False
        self._proc = proc
        self._has_pidfds = has_pidfds
        self._pids: dict[int, tuple[int, bytes]] = {}
        """Number → pidfd (or -1) and start time."""
        self._poll = select.poll()

    def take_from_file(self) -> None:
        """Take the process that the pid file names."""
        with contextlib.suppress(OSError, ValueError), open(self.name, "rb") as file:
            self.take(int(file.read(32).strip()))

    def take(self, pid: int) -> None:
        """Watch *pid*, too, where it lives."""
        if pid in self._pids or len(self._pids) >= WATCHED_PIDS_MAX:
            return
        start = _start_of(self._proc, pid)
        if start is None:
            return
        fd = -1
        if self._has_pidfds:
            try:
                fd = os.pidfd_open(pid)
            except OSError:
                return
            # It may have ended, and its number be another's, between the two.
            if _start_of(self._proc, pid) != start:
                os.close(fd)
                return
            self._poll.register(fd, select.POLLIN)
        self._pids[pid] = (fd, start)

    def lives(self) -> bool:
        """Whether any of them is alive; those that are not are forgotten."""
        if not self._pids:
            return False
        if self._has_pidfds:
            ended = {fd for fd, _ in self._poll.poll(0)}
            for pid in [p for p, (fd, _) in self._pids.items() if fd in ended]:
                self._drop(pid)
        else:
            for pid, (_, start) in list(self._pids.items()):
                if _start_of(self._proc, pid) != start:
                    self._drop(pid)
        return bool(self._pids)

    def _drop(self, pid: int) -> None:
        fd, _ = self._pids.pop(pid)
        if fd >= 0:
            self._poll.unregister(fd)
            os.close(fd)

    def descriptors(self) -> list[int]:
        return [fd for fd, _ in self._pids.values() if fd >= 0]

    def forget(self) -> None:
        for pid in list(self._pids):
            self._drop(pid)


def _start_of(proc: str, pid: int) -> bytes | None:
    """When *pid* started, in the kernel's ticks; None where it does not live (any more)."""
    try:
        with open(f"{proc}/{pid}/stat", "rb") as file:
            text = file.read(1024)
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].split(None, 20)
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return fields[19]
