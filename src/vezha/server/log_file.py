"""Logs as files: what a child says, put aside by size. Without structlog, for the supervisor."""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from pathlib import Path

from vezha.server.limits import LOG_LINE_BYTES_MAX


class LogFile:
    """A log that is put aside when it is full: `data.log`, older `data.log.1`, `data.log.2`.

    A full or broken disk loses lines and never stops the one who writes: how many were lost is
    written as soon as there is room again.
    """

    def __init__(self, path: Path, bytes_max: int, files_max: int) -> None:
        """Append to *path*; keep *files_max* files of about *bytes_max* bytes."""
        self._path = path
        self._bytes_max = max(bytes_max, LOG_LINE_BYTES_MAX)
        self._files_max = max(files_max, 1)
        self._partial = b""
        self._lost = 0

    def write(self, data: bytes) -> list[bytes]:
        """Append *data*; returns the lines that it completed.

        Files are put aside between lines only; a line longer than its limit is broken.
        """
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        if len(self._partial) > LOG_LINE_BYTES_MAX:
            lines.append(self._partial)
            self._partial = b""
        if lines:
            try:
                self._append(lines)
            except OSError:
                self._lost += len(lines)
        return lines

    def close(self) -> None:
        """Write what is left."""
        if self._partial:
            self.write(b"\n")

    def _append(self, lines: list[bytes]) -> None:
        text = b"\n".join(lines) + b"\n"
        if self._lost:
            text = b"(%d lines were lost: no room for them)\n" % self._lost + text
        # Opened for each batch: who removes or moves the file meanwhile gets a new one.
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            size = os.fstat(descriptor).st_size
            if os.write(descriptor, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
        self._lost = 0
        if size + len(text) >= self._bytes_max:
            self._put_aside()

    def _put_aside(self) -> None:
        names = [self._path] + [
            self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._files_max)
        ]
        for newer, older in reversed(list(pairwise(names))):
            if newer.exists():
                newer.replace(older)
        self._path.unlink(missing_ok=True)
