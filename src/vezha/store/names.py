"""The register of names: what the catalog was told, once more, in a file of its own.

`names.log` only grows, a record for everything that became known. Little-endian:

    "VNR1" · u8 kind · u32 bytes of payload · u32 CRC-32 of payload
    kind 1: a delta (zstd of msgpack; see `delta.Delta`)
    kind 2: a tombstone: i64 start_ms · i64 end_ms · i64 refs[n]

A record is written before the catalog has what it says, and synced before a checkpoint lets go of
the WAL. So a catalog that is damaged is made anew from here (`rebuild`), with the same numbers. The
magic belongs to format 2 of the catalog: a catalog of another format begins another register.
Reading goes on behind what is damaged, at the next record that is whole.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
import zstandard

from vezha.store.delta import Delta, pack_delta, unpack_delta
from vezha.store.errors import StoreCorrupt
from vezha.store.limits import NAMES_RECORD_BYTES_MAX
from vezha.store.tombstone import Tombstone
from vezha.world.disk import AppendFile, Disk

FILE = "names.log"
_MAGIC = b"VNR1"
_HEAD = struct.Struct("<4sBII")
_SPAN = struct.Struct("<qq")
_DELTA, _TOMBSTONE = 1, 2


@dataclass(slots=True)
class Names:
    """What a register holds; `damaged`: spans [from, to) of bytes that cannot be read."""

    deltas: list[Delta] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)
    damaged: list[tuple[int, int]] = field(default_factory=list)


def read_names(data: bytes) -> Names:
    """Every whole record in *data*."""
    found = Names()
    at = 0
    while at < len(data):
        end = _read_record(data, at, found)
        if end < 0:
            end = data.find(_MAGIC, at + 1)
            end = len(data) if end < 0 else end
            if found.damaged and found.damaged[-1][1] == at:
                at = found.damaged.pop()[0]
            found.damaged.append((at, end))
        at = end
    return found


def _read_record(data: bytes, at: int, found: Names) -> int:
    """Where the record at *at* ends; negative where none is whole."""
    if at + _HEAD.size > len(data):
        return -1
    magic, kind, size, crc = _HEAD.unpack_from(data, at)
    end: int = at + _HEAD.size + size
    if magic != _MAGIC or size > NAMES_RECORD_BYTES_MAX or end > len(data):
        return -1
    payload = data[end - size : end]
    if zlib.crc32(payload) != crc:
        return -1
    try:
        if kind == _DELTA:
            found.deltas.append(unpack_delta(zstandard.ZstdDecompressor().decompress(payload)))
        elif kind == _TOMBSTONE:
            start, stop = _SPAN.unpack_from(payload)
            refs = np.frombuffer(payload, np.int64, -1, _SPAN.size)
            found.tombstones.append(Tombstone(0, start, stop, refs))
        else:
            return -1
    except (zstandard.ZstdError, StoreCorrupt, ValueError):
        return -1
    return end


def _record(kind: int, payload: bytes) -> bytes:
    return _HEAD.pack(_MAGIC, kind, len(payload), zlib.crc32(payload)) + payload


def delta_record(delta: Delta) -> bytes:
    """A delta as it lies in the register."""
    return _record(_DELTA, zstandard.ZstdCompressor(level=3).compress(pack_delta(delta)))


def tombstone_record(start_ms: int, end_ms: int, refs: bytes) -> bytes:
    """A tombstone as it lies in the register."""
    return _record(_TOMBSTONE, _SPAN.pack(start_ms, end_ms) + refs)


class NamesLog:
    """The file of one store's writer. Used under the catalog's lock, or at opening."""

    def __init__(self, disk: Disk, folder: str) -> None:
        self._disk = disk
        self.path = f"{folder}/{FILE}"
        disk.make_folder(folder)
        self._file: AppendFile | None = None

    @property
    def size(self) -> int:
        """Bytes; 0 where there is none."""
        if self._file is not None:
            return self._file.size
        return self._disk.size(self.path) if self._disk.exists(self.path) else 0

    def read(self, offset: int = 0) -> Names:
        """What there is from a byte on."""
        return read_names(self._disk.read(self.path, offset) if self.size > offset else b"")

    def append(self, record: bytes) -> int:
        """Write a record, not synced; the size after it. Raises OSError."""
        if self._file is None:
            self._file = self._disk.open_append(self.path)
        good = self._file.size
        try:
            self._file.write(record)
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(good)
            raise
        return self._file.size

    def sync(self) -> None:
        """Make what was appended durable."""
        if self._file is not None:
            self._file.sync()

    def replace(self, records: list[bytes]) -> int:
        """Begin anew with *records*; the size then."""
        self.close()
        data = b"".join(records)
        self._disk.write_whole(self.path, data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
