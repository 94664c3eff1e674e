"""Errors that file systems met on their disks: /sys/fs/ext4 and /sys/fs/btrfs.

What a disk itself counts (`ioerr_cnt` of SCSI) is left out: commands that a disk does not know count there too,
so that asking it for its health looks like a failure.
"""

from __future__ import annotations

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import MISSING, Family
from vezha.agent.collect.kernelfile import list_or, read_or
from vezha.model.labels import Labels, metric


class Collector(base.Collector):
    """vezha_filesystem_errors_total."""

    families = (
        Family(
            "vezha_filesystem_errors_total",
            "counter",
            "Errors that a file system met on its device (ext4 keeps the count in the file system).",
            "device,fstype",
        ),
    )

    def start(self) -> None:
        self._paths: list[str] = []
        if not self._list():
            raise base.NotHere(f"no ext4 or btrfs in {self.host.sys('fs')}")

    def _list(self) -> list[str]:
        found = [
            f"ext4/{name}/errors_count"
            for name in list_or(self.host.sys("fs/ext4"))
            if name != "features"
        ]
        for name in list_or(self.host.sys("fs/btrfs")):
            devices = list_or(self.host.sys(f"fs/btrfs/{name}/devinfo"))
            found += [f"btrfs/{name}/devinfo/{device}/error_stats" for device in devices]
        return sorted(found)

    def read(self, now: float) -> list[float]:
        """The errors of each; missing where the kernel does not count them."""
        paths = self._list()
        if paths != self._paths:
            self._paths = paths
            self.series = tuple(self._labels(path.split("/")) for path in paths)
        return [_errors(read_or(self.host.sys(f"fs/{path}"))) for path in paths]

    @staticmethod
    def _labels(parts: list[str]) -> Labels:
        device = parts[1] if parts[0] == "ext4" else f"{parts[1]}/{parts[3]}"
        return metric("vezha_filesystem_errors_total", device=device, fstype=parts[0])


def _errors(text: str) -> float:
    """ext4 gives one number; btrfs a line for each kind: `read_errs 2`."""
    try:
        return float(sum(int(line.split()[-1]) for line in text.splitlines())) if text else MISSING
    except (ValueError, IndexError):
        return MISSING
