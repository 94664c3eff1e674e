"""A disk in memory that forgets, tears and fills up: the twin of `vezha.world.disk`.

Rules, each as unkind as a real file system may be:

1. What was written but not synced may be lost at a crash, wholly or from any byte on; the
   last piece that stays may end in garbage (a torn sector).
2. A new name, a removed name or a renamed file is durable only after `sync_folder` of its
   folder; until then a crash may bring either state. `write_whole` is durable on return.
3. A write that does not fit keeps what fits and raises ENOSPC.
4. After a crash every open file is dead; the disk itself goes on with what was durable.

Everything follows from the seed. SQLite does not write through `Disk`, so its crash safety is
tested by killing a real process instead.
"""

from __future__ import annotations

import errno
import os
import random
from dataclasses import dataclass, field


class PowerCut(BaseException):
    """The machine lost its power in the middle of an operation on the disk.

    A BaseException, so that no handler of ordinary errors survives the cut.
    """


def _folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def _common_prefix_size(a: bytes, b: bytes) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


@dataclass
class _File:
    """One file: what is on the medium, and what the running system sees."""

    seen: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    name_durable: bool = False


@dataclass
class _Fault:
    operation: str
    after: int
    error: int
    times: int


class MemoryDisk:
    """A `Disk` in memory.

    `capacity_bytes` bounds the sum of all files (None: no bound) and may be changed at any
    time. `operations` counts writes, syncs, truncations, removals and replacements so far.
    """

    def __init__(self, seed: int = 0, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.operations = 0
        self._random = random.Random(seed)
        self._files: dict[str, _File] = {}
        self._removed: dict[str, _File] = {}
        self._folders: set[str] = set()
        self._faults: list[_Fault] = []
        self._cut_at: int | None = None
        self._life = 0

    # Faults

    def fail(self, operation: str, after: int = 0, error: int = errno.EIO, times: int = 1) -> None:
        """Let *operation* ("write", "sync", "truncate", "remove", "replace") raise OSError.

        The first *after* calls still succeed, the next *times* fail.
        """
        assert operation in ("write", "sync", "truncate", "remove", "replace")
        self._faults.append(_Fault(operation, after, error, times))

    def heal(self) -> None:
        """Take back every fault and power cut that has not happened yet."""
        self._faults.clear()
        self._cut_at = None

    def cut_power_at(self, operation: int) -> None:
        """Raise `PowerCut` in the middle of the operation that makes `operations` this number."""
        self._cut_at = operation

    def crash(self) -> None:
        """Lose what a power cut may lose. Open files die; the disk can be used again at once."""
        self._life += 1
        self._cut_at = None
        self._faults.clear()
        for path, file in sorted(self._removed.items()):
            if path not in self._files and self._random.random() < 0.5:
                self._files[path] = file
        self._removed.clear()
        for path, file in sorted(self._files.items()):
            if not file.name_durable and self._random.random() < 0.5:
                del self._files[path]
                continue
            file.durable = self._torn(file)
            file.seen = bytearray(file.durable)
            file.name_durable = True

    def used_bytes(self) -> int:
        """The sum of all files' sizes."""
        return sum(len(f.seen) for f in self._files.values())

    def corrupt(self, path: str, offset: int, value: int | None = None) -> None:
        """Change one byte on the medium (to *value*, or by flipping a random bit)."""
        file = self._files[path]
        new = file.seen[offset] ^ (1 << self._random.randrange(8)) if value is None else value
        file.seen[offset] = new
        if offset < len(file.durable):
            file.durable = file.durable[:offset] + bytes([new]) + file.durable[offset + 1 :]

    def _torn(self, file: _File) -> bytes:
        seen = bytes(file.seen)
        if seen == file.durable:
            return seen
        same = _common_prefix_size(seen, file.durable)
        if len(seen) <= same:  # an unsynced truncation
            return self._random.choice((seen, file.durable))
        keep = self._random.randint(same, len(seen))
        kept = bytearray(seen[:keep])
        if keep > same and self._random.random() < 0.3:
            garbage = min(keep - same, self._random.randint(1, 512))
            kept[keep - garbage :] = self._random.randbytes(garbage)
        return bytes(kept)

    def _operate(self, name: str) -> bool:
        """Count an operation; True where the power goes in its middle. May raise OSError."""
        self.operations += 1
        for fault in self._faults:
            if fault.operation != name:
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)
            raise OSError(fault.error, os.strerror(fault.error))
        return self._cut_at is not None and self.operations >= self._cut_at

    def _room(self) -> int | None:
        if self.capacity_bytes is None:
            return None
        return max(0, self.capacity_bytes - self.used_bytes())

    def _cut(self) -> None:
        self._cut_at = None
        raise PowerCut

    # Disk

    def open_append(self, path: str) -> _AppendFile:
        """Open for appending; made if absent. The name is durable after `sync_folder`."""
        self._need_folder(path)
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = _File()
        return _AppendFile(self, file, self._life)

    def read(self, path: str, offset: int = 0, size: int = -1) -> bytes:
        """Bytes of a file, synced or not. Raises FileNotFoundError."""
        seen = self._get(path).seen
        return bytes(seen[offset:] if size < 0 else seen[offset : offset + size])

    def write_whole(self, path: str, data: bytes, mode: int = 0o600) -> None:
        """Replace a file's content atomically and durably; *mode* is of no effect here."""
        self._need_folder(path)
        room = self._room()
        if room is not None and len(data) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._operate("replace") and self._random.random() < 0.5:
            self._cut()
        self._files[path] = _File(bytearray(data), bytes(data), name_durable=True)
        self._removed.pop(path, None)
        if self._cut_at is not None and self.operations >= self._cut_at:
            self._cut()

    def list_names(self, folder: str) -> list[str]:
        """Sorted names in a folder; empty if it is absent."""
        prefix = folder.rstrip("/") + "/"
        paths = [*self._files, *self._folders]
        return sorted({p[len(prefix) :].split("/")[0] for p in paths if p.startswith(prefix)})

    def size(self, path: str) -> int:
        """Bytes. Raises FileNotFoundError."""
        return len(self._get(path).seen)

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        return path in self._files or path.rstrip("/") in self._folders

    def remove(self, path: str) -> None:
        """Delete a file; absent is fine. May come back at a crash before `sync_folder`."""
        if path not in self._files:
            return
        cut = self._operate("remove")
        file = self._files.pop(path)
        if file.name_durable:
            self._removed[path] = file
        if cut:
            self._cut()

    def make_folder(self, path: str) -> None:
        """Make a folder with its parents; folders are always durable here."""
        parts = path.rstrip("/").split("/")
        for i in range(1, len(parts) + 1):
            if folder := "/".join(parts[:i]):
                self._folders.add(folder)

    def sync_folder(self, path: str) -> None:
        """Make names in a folder durable."""
        if self._operate("sync"):
            self._cut()
        folder = path.rstrip("/")
        for name, file in self._files.items():
            if _folder_of(name) == folder:
                file.name_durable = True
        for name in [n for n in self._removed if _folder_of(n) == folder]:
            del self._removed[name]

    def free_bytes(self, path: str) -> int:
        """Space left (a petabyte where there is no bound)."""
        room = self._room()
        return 1 << 50 if room is None else room

    def _need_folder(self, path: str) -> None:
        folder = _folder_of(path)
        if folder and folder != "/" and folder not in self._folders:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def _get(self, path: str) -> _File:
        if path not in self._files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._files[path]


class _AppendFile:
    def __init__(self, disk: MemoryDisk, file: _File, life: int) -> None:
        self._disk = disk
        self._file = file
        self._life = life
        self._size = len(file.seen)
        self._open = True

    @property
    def size(self) -> int:
        return self._size

    def _need_open(self) -> None:
        if not self._open or self._life != self._disk._life:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def write(self, data: bytes) -> None:
        self._need_open()
        try:
            cut = self._disk._operate("write")
        except OSError:
            self._put(data[: self._disk._random.randint(0, len(data))])
            raise
        if cut:
            self._put(data[: self._disk._random.randint(0, len(data))])
            self._disk._cut()
        room = self._disk._room()
        overwritten = max(0, len(self._file.seen) - self._size)
        if room is not None and len(data) > room + overwritten:
            self._put(data[: room + overwritten])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._put(data)
        self._size += len(data)

    def _put(self, data: bytes) -> None:
        # like pwrite at the known size, so that the rest of a failed write is overwritten
        self._file.seen[self._size : self._size + len(data)] = data

    def sync(self) -> None:
        self._need_open()
        if self._disk._operate("sync"):
            if self._disk._random.random() < 0.5:
                self._file.durable = bytes(self._file.seen)
            self._disk._cut()
        self._file.durable = bytes(self._file.seen)

    def truncate(self, size: int) -> None:
        self._need_open()
        cut = self._disk._operate("truncate")
        del self._file.seen[size:]
        self._file.seen.extend(bytes(size - len(self._file.seen)))
        self._size = size
        if cut:
            self._disk._cut()

    def close(self) -> None:
        self._open = False
