"""Listings of folders that every query looks at, read anew only when the folder changed."""

from __future__ import annotations

import os
import time

_GRAIN_NS = 1_000_000_000
"""A folder's time of change moves in grains of its file system's clock: a listing counts as long as
the folder stays unchanged only if it was made well after that change."""


class Listing:
    """The names in a folder, as of now. Thread-safe."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._kept: tuple[int, tuple[str, ...]] = (-1, ())  # replaced as a whole

    def names(self) -> tuple[str, ...]:
        """What is in the folder; nothing where there is no folder. The same object while the
        folder is known to be unchanged."""
        kept_ns, names = self._kept
        try:
            changed_ns = os.stat(self.folder).st_mtime_ns  # noqa: PTH116 - each query asks
            if changed_ns == kept_ns:
                return names
            now_ns = time.time_ns()  # the file system's clock, whatever the world's says
            names = tuple(os.listdir(self.folder))  # noqa: PTH208
        except FileNotFoundError:
            return ()
        self._kept = (changed_ns if now_ns - changed_ns > _GRAIN_NS else -1, names)
        return names
