"""How much waits in queues that are folders: a mail spool, a drop folder, uploads to be worked off.

`[collectors.queues] folders = "/var/spool/mail-out orders=/srv/orders/new"`: each word is a folder, or a
name and a folder. What waits is its files, those of its folders included down to QUEUE_DEPTH_MAX; names
that begin with a dot are being written and do not count yet.
"""

from __future__ import annotations

import os

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.limits import QUEUE_DEPTH_MAX, QUEUE_FILES_MAX, QUEUES_MAX
from vezha.model.labels import metric


class Collector(base.Collector):
    """vezha_queue_length."""

    families = (
        Family(
            "vezha_queue_length",
            "gauge",
            f"Files that wait in a folder that was named as a queue (at most {QUEUE_FILES_MAX} "
            "are counted).",
            "queue",
        ),
    )

    def start(self) -> None:
        named = [word.rpartition("=")[::2] for word in self.host.text("folders").split()]
        self._folders = [folder for _, folder in named][:QUEUES_MAX]
        if not self._folders:
            raise base.NotHere("no folders are named")
        names = [name or folder for name, folder in named][:QUEUES_MAX]
        self.series = tuple(metric("vezha_queue_length", queue=name) for name in names)

    def read(self, now: float) -> list[float]:
        """Files in each; missing where the folder cannot be read, which is no empty queue."""
        return [self._count(folder) for folder in self._folders]

    def _count(self, folder: str) -> float:
        try:
            return float(_files(folder, 0, QUEUE_FILES_MAX))
        except OSError:
            return base.MISSING


def _files(folder: str, depth: int, most: int) -> int:
    """Files below *folder*, at most *most*. Raises OSError for the first folder only."""
    count = 0
    below = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
                continue
            count += 1
            if count >= most:
                return most
    for path in below if depth < QUEUE_DEPTH_MAX else ():
        try:
            count += _files(path, depth + 1, most - count)
        except OSError:
            continue  # gone meanwhile, or not for us
        if count >= most:
            return most
    return count
