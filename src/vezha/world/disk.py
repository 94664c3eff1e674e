"""Disk: the few file operations that the spool, the WAL and the store's files are made of.

The twin in `vezha.testing.disk` keeps files in memory, loses what was not synced at a crash,
tears the last write and runs full, all from a seed. Paths are plain strings.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol


class AppendFile(Protocol):
    """A file that only grows."""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, data: bytes) -> None:
        """Append *data* whole. Raises OSError (ENOSPC among them), after which the tail of the
        file is undefined beyond the size before the call."""
        ...

    def sync(self) -> None:
        """Return when everything written is on stable storage."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to *size* bytes."""
        ...

    def close(self) -> None:
        """Close without syncing."""
        ...


class Disk(Protocol):
    """Files by path."""

    def open_append(self, path: str) -> AppendFile:
        """Open for appending; made if absent."""
        ...

    def read(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        """Bytes of a file. Raises FileNotFoundError."""
        ...

    def write_whole(self, path: str, data: bytes, mode: int = 0o600) -> None:
        """Replace a file's content atomically and durably (temporary file, sync, rename)."""
        ...

    def list_names(self, folder: str) -> list[str]:
        """Sorted names in a folder; empty if it is absent."""
        ...

    def size(self, path: str) -> int:
        """Bytes. Raises FileNotFoundError."""
        ...

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        ...

    def remove(self, path: str) -> None:
        """Delete a file; absent is fine."""
        ...

    def make_folder(self, path: str) -> None:
        """Make a folder (0700) with its parents."""
        ...

    def sync_folder(self, path: str) -> None:
        """Make names in a folder durable."""
        ...

    def free_bytes(self, path: str) -> int:
        """Space left for us on the file system of *path*."""
        ...


class _SystemAppendFile:
    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._size = os.lseek(self._fd, 0, os.SEEK_END)

    @property
    def size(self) -> int:
        return self._size

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        offset = self._size
        while view:
            written = os.pwrite(self._fd, view, offset)
            offset += written
            view = view[written:]
        self._size = offset

    def sync(self) -> None:
        # macOS has no fdatasync
        getattr(os, "fdatasync", os.fsync)(self._fd)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)
        self._size = size

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class SystemDisk:
    """The machine's file systems."""

    def open_append(self, path: str) -> AppendFile:
        return _SystemAppendFile(path)

    def read(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        with Path(path).open("rb") as file:
            if offset:
                file.seek(offset)
            return file.read(size)

    def write_whole(self, path: str, data: bytes, mode: int = 0o600) -> None:
        temporary = f"{path}.new"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            os.fchmod(fd, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, path)
        self.sync_folder(os.path.dirname(path) or ".")

    def list_names(self, folder: str) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except FileNotFoundError:
            return []

    def size(self, path: str) -> int:
        return os.stat(path).st_size

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def remove(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)

    def make_folder(self, path: str) -> None:
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)

    def sync_folder(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free_bytes(self, path: str) -> int:
        stat = os.statvfs(path)
        return stat.f_bavail * stat.f_frsize
