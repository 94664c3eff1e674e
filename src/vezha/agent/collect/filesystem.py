"""Space and inodes by mount.

statfs on a mount whose server is gone does not return, and nothing can interrupt it. So a thread
of its own asks mount after mount; when one takes longer than `mount_timeout_s`, thread and mount
are left behind (`device_error` 1 until the thread returns), and a new thread asks the rest.
Mounts over a network are asked only every `network_every_s`, for their server's sake.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Sequence
from typing import NamedTuple

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import MISSING, Family
from vezha.agent.collect.kernelfile import KernelFile
from vezha.agent.limits import STUCK_MOUNTS_MAX
from vezha.model.labels import metric

_NETWORK = re.compile(
    r"^(nfs\d?|cifs|smb\d?|smbfs|ceph|glusterfs|fuse\..*|fuse|9p|afs|lustre|gpfs|beegfs|ocfs2)$"
)
_OCTAL = re.compile(r"\\([0-7]{3})")
_ALL_MOUNTS_S = 0.25
"""Longest wait for all mounts together; what was not asked by then is asked in the next tick."""
_NAMES = (
    "node_filesystem_size_bytes",
    "node_filesystem_free_bytes",
    "node_filesystem_avail_bytes",
    "node_filesystem_files",
    "node_filesystem_files_free",
    "node_filesystem_readonly",
    "node_filesystem_device_error",
)
_ERROR = (*((MISSING,) * (len(_NAMES) - 1)), 1.0)
_UNKNOWN = (MISSING,) * len(_NAMES)


class Mount(NamedTuple):
    """One line of /proc/mounts."""

    device: str
    point: str
    kind: str
    readonly: bool

    @property
    def is_network(self) -> bool:
        """Whether asking it may send packets."""
        return _NETWORK.match(self.kind) is not None


def parse_mounts(text: str) -> list[Mount]:
    """The mounts of /proc/mounts; of several at one point by one device, the first."""
    mounts: dict[tuple[str, str, str], Mount] = {}
    for line in text.splitlines():
        parts = line.split(" ")
        if len(parts) >= 4:
            device, point, kind = (_OCTAL.sub(_unescape, part) for part in parts[:3])
            mount = Mount(device, point, kind, "ro" in parts[3].split(","))
            mounts.setdefault((device, point, kind), mount)
    return list(mounts.values())


def _unescape(match: re.Match[str]) -> str:
    return chr(int(match.group(1), 8))


class _Asker(threading.Thread):
    """Asks mounts in order, from a given position, each time it is told to."""

    def __init__(self) -> None:
        super().__init__(name="collect-statfs", daemon=True)
        self._go = threading.Lock()
        self._go.acquire()
        self._done = threading.Lock()
        self._done.acquire()
        self._guard = threading.Lock()
        self._mounts: Sequence[tuple[str, bool]] = ()
        self._answers: list[tuple[float, ...] | None] = []
        self._order: Sequence[int] = ()
        self._left = False
        self.is_enough = False
        """Set from outside: ask no more in this tick."""
        self.at = -1
        self.returned = False
        self.start()

    def begin(
        self,
        mounts: Sequence[tuple[str, bool]],
        order: Sequence[int],
        answers: list[tuple[float, ...] | None],
    ) -> None:
        """Ask the mounts (path, readonly) at the positions of *order*, into *answers*."""
        self._mounts, self._order, self._answers = mounts, order, answers
        self.is_enough = False
        self.at = order[0]
        self._go.release()

    def wait_done(self, timeout_s: float) -> bool:
        return self._done.acquire(timeout=max(0.0, timeout_s))

    def leave(self, at: int) -> bool:
        """Give the thread up while it asks mount *at*; False where it has moved on."""
        with self._guard:
            if self.at != at:
                return False
            self._left = True
            return True

    def end(self) -> None:
        self._order = ()
        self._go.release()

    def run(self) -> None:
        while True:
            self._go.acquire()
            if not self._order:
                return
            for at in self._order:
                if self.is_enough:
                    self._answers[at] = None
                    continue
                with self._guard:
                    self.at = at
                answer = ask(*self._mounts[at])
                with self._guard:
                    if self._left:
                        self.returned = True
                        return
                    self._answers[at] = answer
                    self.at = -1
            self._done.release()


def ask(point: str, readonly: bool) -> tuple[float, ...]:
    """The values of one mount, in the order of `_NAMES`. Blocks as long as statfs does."""
    try:
        stat = os.statvfs(point)
    except OSError:
        return _ERROR
    unit = float(stat.f_frsize or stat.f_bsize)
    return (
        stat.f_blocks * unit,
        stat.f_bfree * unit,
        stat.f_bavail * unit,
        float(stat.f_files),
        float(stat.f_ffree),
        1.0 if readonly else 0.0,
        0.0,
    )


class Collector(base.Collector):
    """node_filesystem_*."""

    families = (
        Family(_NAMES[0], "gauge", "Size.", "device,fstype,mountpoint"),
        Family(_NAMES[1], "gauge", "Free space.", "device,fstype,mountpoint"),
        Family(_NAMES[2], "gauge", "Space free to users.", "device,fstype,mountpoint"),
        Family(_NAMES[3], "gauge", "Inodes.", "device,fstype,mountpoint"),
        Family(_NAMES[4], "gauge", "Free inodes.", "device,fstype,mountpoint"),
        Family(_NAMES[5], "gauge", "1 where mounted read-only.", "device,fstype,mountpoint"),
        Family(_NAMES[6], "gauge", "1 where statfs failed or hangs.", "device,fstype,mountpoint"),
    )

    def start(self) -> None:
        self._points_exclude = re.compile(self.host.text("mount_points_exclude") or "^$")
        self._kinds_exclude = re.compile(self.host.text("fs_types_exclude") or "^$")
        self._mount_timeout_s = self.host.number("mount_timeout_s")
        self._network_every_s = self.host.number("network_every_s")
        # Process 1's view is the host's, also for an agent in a name space of its own.
        self._file: KernelFile | None = None
        for owner in ("1", "self"):
            # The modes say readable, but process 1's is root's; reading decides.
            with contextlib.suppress(OSError):
                self._file = self.open(self.host.proc(f"{owner}/mounts"), whole=False)
                self._file.read()
                break
        self._text: bytes | None = None
        self._asker: _Asker | None = None
        self._stuck: dict[str, _Asker] = {}
        self._mounts: list[Mount] = []
        self._network_at = 0.0
        self._look_again_s = 0.0

    def read(self, now: float) -> list[float]:
        clock = self.host.world.clock
        text = self._text
        if self._file is not None:
            text = self._file.read()
        elif clock.monotonic() >= self._look_again_s:
            self._look_again_s = clock.monotonic() + 60.0
            text = _mounts_by_command()
        if text != self._text:
            self._text = text
            self._learn((text or b"").decode("utf-8", "surrogateescape"))
        self._ask_all(clock.monotonic())
        return [value for answer in self._answers for value in answer or _UNKNOWN]

    def _learn(self, text: str) -> None:
        self._mounts = [
            mount
            for mount in parse_mounts(text)
            if not self._points_exclude.search(mount.point)
            and not self._kinds_exclude.search(mount.kind)
        ]
        self._questions = [(self.host.root(m.point), m.readonly) for m in self._mounts]
        self._answers: list[tuple[float, ...] | None] = [None] * len(self._mounts)
        self._local = [i for i, mount in enumerate(self._mounts) if not mount.is_network]
        self._network = [i for i, mount in enumerate(self._mounts) if mount.is_network]
        self._network_at = 0.0
        self.series = tuple(
            metric(name, device=_text(m.device), mountpoint=_text(m.point), fstype=m.kind)
            for m in self._mounts
            for name in _NAMES
        )

    def _ask_all(self, began: float) -> None:
        order = list(self._local)
        if began >= self._network_at:
            self._network_at = began + self._network_every_s
            order += self._network
        if self._stuck:
            self._stuck = {p: asker for p, asker in self._stuck.items() if not asker.returned}
            for i, mount in enumerate(self._mounts):
                if mount.point in self._stuck:
                    self._answers[i] = _ERROR
            order = [i for i in order if self._mounts[i].point not in self._stuck]
        if len(self._stuck) >= STUCK_MOUNTS_MAX:
            # No more threads to lose: ask only who answered last time.
            for i in order:
                if self._answers[i] is None:
                    self._answers[i] = _ERROR
            order = [i for i in order if self._answers[i] is not _ERROR]
        while order:
            if self._asker is None:
                self._asker = _Asker()
            self._asker.begin(self._questions, order, self._answers)
            at = self._wait_answers(self._asker, began)
            if at < 0:
                return
            self._stuck[self._mounts[at].point] = self._asker
            self._answers[at] = _ERROR
            self._asker = None
            order = order[order.index(at) + 1 :]
            if len(self._stuck) >= STUCK_MOUNTS_MAX or self._is_over(began):
                for i in order:
                    self._answers[i] = None
                return

    def _wait_answers(self, asker: _Asker, began: float) -> int:
        """Wait for *asker*; -1 when it is done, else the mount that it was left behind with."""
        while True:
            at = asker.at
            if asker.wait_done(self._mount_timeout_s):
                return -1
            if at >= 0 and asker.leave(at):
                return at
            asker.is_enough = self._is_over(began)

    def _is_over(self, began: float) -> bool:
        return self.host.world.clock.monotonic() - began >= _ALL_MOUNTS_S

    def stop(self) -> None:
        super().stop()
        asker = getattr(self, "_asker", None)
        if asker is not None:
            asker.end()
            self._asker = None


def _text(name: str) -> str:
    """A file name as valid text: bytes that are no UTF-8 become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _mounts_by_command() -> bytes:
    """Where there is no /proc: `mount`'s list, in the form of /proc/mounts."""
    # Linux never comes here, and need not keep the module in memory.
    import subprocess

    listed = subprocess.run(["mount"], capture_output=True, timeout=0.3, check=True).stdout
    lines = []
    for line in listed.decode("utf-8", "surrogateescape").splitlines():
        match = re.match(r"^(.*?) on (/.*) \(([^,)]+)(.*)\)$", line)
        if match is not None:
            device, point, kind, options = match.groups()
            device, point = (part.replace(" ", "\\040") for part in (device, point))
            mode = "ro" if "read-only" in options else "rw"
            lines.append(f"{device} {point} {kind} {mode}")
    return "\n".join(lines).encode("utf-8", "surrogateescape")
