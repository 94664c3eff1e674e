"""Reading the kernel's text files fast: kept open, read in place, split once.

Two tricks carry the agent's cost budget. A file stays open and is read by `pread` from offset 0,
which makes the kernel write it anew without another path walk. And its text is split into one
list of tokens, of which an `itemgetter` picks the values, for as long as the names among the
tokens stand where they stood (`Picks.fit`); only when they moved is the layout learnt again.

This is the collectors' own door to the host (the kernel's files are what is measured, not state),
so it does not go through `World.disk`; the root folder is a setting instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from vezha.agent.limits import KERNEL_FILE_BYTES_MAX

_FIRST_BYTES = 4096


class KernelFile:
    """One file of /proc or /sys, kept open. Raises OSError like `open` and `read` do."""

    __slots__ = ("_fd", "_size", "_whole", "path")

    def __init__(self, path: str, whole: bool = True) -> None:
        """Open *path*. *whole*: the kernel hands it out in one piece (`single_open` in its
        source: stat, meminfo, net/netstat, everything of /sys); otherwise in pages of records
        (vmstat, diskstats, net/dev), which needs one more read to see the end."""
        self.path = path
        self._whole = whole
        self._size = _FIRST_BYTES
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> bytes:
        """The text as it is now."""
        data = os.pread(self._fd, self._size, 0)
        if len(data) < self._size and self._whole:
            return data
        pieces = [data]
        offset = len(data)
        while data:
            if offset > KERNEL_FILE_BYTES_MAX:
                raise OSError(f"{self.path} is larger than {KERNEL_FILE_BYTES_MAX} bytes")
            data = os.pread(self._fd, self._size, offset)
            pieces.append(data)
            offset += len(data)
        self._size = max(self._size, (offset // _FIRST_BYTES + 2) * _FIRST_BYTES)
        return b"".join(pieces)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class SharedFile:
    """A file that several collectors of one group read: one read per stamp serves all."""

    __slots__ = ("_file", "_now", "_text", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: KernelFile | None = None
        self._now = -1.0
        self._text = b""

    def read(self, now: float) -> bytes:
        """The text at the tick stamped *now*."""
        if now != self._now:
            if self._file is None:
                self._file = KernelFile(self.path)
            self._text = self._file.read()
            self._now = now
        return self._text

    def close(self) -> None:
        """Close it; the next `read` opens it anew."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._now = -1.0


class Picks:
    """Which tokens of a split text are values, and which must be where for that to hold."""

    __slots__ = ("_count", "_keys", "_keys_of", "_values_of")

    def __init__(self, tokens: Sequence[bytes], keys: Sequence[int], values: Sequence[int]) -> None:
        """*keys* and *values* are positions in *tokens*."""
        self._count = len(tokens)
        self._keys_of = _getter(keys)
        self._keys = self._keys_of(tokens)
        self._values_of = _getter(values)

    def fit(self, tokens: Sequence[bytes]) -> bool:
        """Whether *tokens* are laid out as those that were learnt."""
        return len(tokens) == self._count and self._keys_of(tokens) == self._keys

    def values(self, tokens: Sequence[bytes]) -> tuple[bytes, ...]:
        """The values' tokens, in the order given."""
        return self._values_of(tokens)


def _getter(positions: Sequence[int]) -> Callable[[Sequence[bytes]], tuple[bytes, ...]]:
    if len(positions) > 1:
        getter: Any = itemgetter(*positions)
        return getter  # type: ignore[no-any-return]
    if positions:
        only = positions[0]
        return lambda tokens: (tokens[only],)
    return lambda tokens: ()


def read_text(path: str) -> str:
    """A small file's text without surrounding white space, once. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65536).decode("utf-8", "replace").strip()
    finally:
        os.close(fd)


def read_or(path: str, default: str = "") -> str:
    """As `read_text`, or *default* where the file cannot be read."""
    try:
        return read_text(path)
    except OSError:
        return default


def list_or(path: str) -> list[str]:
    """Sorted names in a folder; empty where it cannot be read."""
    try:
        return sorted(os.listdir(path))
    except OSError:
        return []
