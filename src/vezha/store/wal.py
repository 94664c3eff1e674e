"""The write-ahead log: what was put since the last tiles, durable before anyone is told so.

Segments `wal/0000000000000001.wal` go through `world.disk` and only grow. A record is one group
commit; little-endian:

    "VWR1" · u32 bytes of payload · u32 CRC-32 of payload · u32 entries
    payload: entries, each u8 kind · u32 bytes · data
      1 delta: new series, layouts, schemas, streams (msgpack; see `delta.Delta`)
      2 frame: u32 layout · u32 origin · u64 seq · i64 ts_ms · the frame as it was received
      3 samples: u32 n · i64 refs[n] · i64 ts_ms[n] · f64 values[n]
      4 roster: u32 number · i64 refs[n]; the same number may come again with others
      5 row: u32 number of a roster before it · i64 ts_ms · f64 values[n]

A crash can tear only the last record: what does not fit at the end is cut there. Where whole records
follow, it is damage (a disk that rots): it costs the records that it lies in, and reading goes on
behind it, at the next magic of a record that is whole. After a failed write or sync a segment is never written again (what
the kernel kept of it is unknown); the next commit goes to a new one.
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from vezha.store.limits import WAL_RECORD_BYTES_MAX
from vezha.world.disk import AppendFile, Disk

DELTA, FRAME, SAMPLES, ROSTER, ROW = 1, 2, 3, 4, 5
ENTRY = struct.Struct("<BI")
FRAME_HEAD = struct.Struct("<BIIIQq")  # kind, bytes, layout, origin, seq, ts_ms
FRAME_BODY = struct.Struct("<IIQq")
SAMPLES_HEAD = struct.Struct("<BII")  # kind, bytes, n
ROSTER_HEAD = struct.Struct("<BII")  # kind, bytes, number
ROW_HEAD = struct.Struct("<BIIq")  # kind, bytes, number, ts_ms
ROW_BODY = struct.Struct("<Iq")
_RECORD = struct.Struct("<4sIII")
_MAGIC = b"VWR1"


@dataclass(frozen=True, slots=True)
class Segment:
    """What reading a segment gave: its records' payloads, where the last whole one ends, and the
    spans [from, to) of bytes before that which are none."""

    payloads: list[bytes]
    good_bytes: int
    bytes_on_disk: int
    damaged: list[tuple[int, int]] = field(default_factory=list)


def segment_name(number: int) -> str:
    """The file of a segment."""
    return f"{number:016d}.wal"


def pack_record(entries: list[bytes], count: int) -> bytes:
    """A record of *count* entries, given as pieces."""
    payload = b"".join(entries)
    return _RECORD.pack(_MAGIC, len(payload), zlib.crc32(payload), count) + payload


def pack_payload(payload: bytes) -> bytes:
    """A record of the payload of one that was read."""
    return pack_record([payload], sum(1 for _ in entries_of(payload)))


def read_records(data: bytes) -> Segment:
    """The records in *data* that are whole."""
    payloads: list[bytes] = []
    damaged: list[tuple[int, int]] = []
    good = at = 0
    while at >= 0:
        payload = _record_at(data, at)
        if payload is None:
            at = data.find(_MAGIC, at + 1)
            continue
        if at > good:
            damaged.append((good, at))
        payloads.append(payload)
        good = at = at + _RECORD.size + len(payload)
    return Segment(payloads, good, len(data), damaged)


def _record_at(data: bytes, at: int) -> bytes | None:
    """The payload of the record at *at*; None where none is whole."""
    if at + _RECORD.size > len(data):
        return None
    magic, size, crc, _ = _RECORD.unpack_from(data, at)
    start, end = at + _RECORD.size, at + _RECORD.size + size
    if magic != _MAGIC or size > WAL_RECORD_BYTES_MAX or end > len(data):
        return None
    payload = data[start:end]
    return payload if zlib.crc32(payload) == crc else None


def entries_of(payload: bytes) -> Iterator[tuple[int, memoryview]]:
    """(kind, data) of each entry; a payload passed its checksum, so it is well-formed."""
    view = memoryview(payload)
    at = 0
    while at < len(view):
        kind, size = ENTRY.unpack_from(view, at)
        start = at + ENTRY.size
        yield kind, view[start : start + size]
        at = start + size


class Wal:
    """The segments of one store. Used by one thread at a time."""

    def __init__(self, disk: Disk, folder: str) -> None:
        self._disk = disk
        self._folder = folder
        self._file: AppendFile | None = None
        self._number = -1
        disk.make_folder(folder)

    def path(self, number: int) -> str:
        """Where a segment lies."""
        return f"{self._folder}/{segment_name(number)}"

    def numbers(self) -> list[int]:
        """Numbers of the segments there are, ascending."""
        names = self._disk.list_names(self._folder)
        return [int(n[:-4]) for n in names if n.endswith(".wal") and n[:-4].isdigit()]

    def read(self, number: int) -> Segment:
        """Read a segment."""
        return read_records(self._disk.read(self.path(number)))

    def append(self, number: int, record: bytes) -> None:
        """Write a record to segment *number* and sync it. Raises OSError; then the segment may
        hold any part of the record and must not be appended to again."""
        if number != self._number:
            self.close()
            self._file = self._disk.open_append(self.path(number))
            self._number = number
            self._disk.sync_folder(self._folder)
        assert self._file is not None
        good = self._file.size
        try:
            self._file.write(record)
            self._file.sync()
        except OSError:
            # so that a record which failed is not found whole; it will come again elsewhere
            with contextlib.suppress(OSError):
                self._file.truncate(good)
                self._file.sync()
            self.close()
            raise

    def close(self) -> None:
        """Close the segment that is being written."""
        if self._file is not None:
            self._file.close()
        self._file, self._number = None, -1

    def remove_through(self, number: int) -> int:
        """Delete segments up to *number*; how many there were."""
        old = [n for n in self.numbers() if n <= number]
        for segment in old:
            self._disk.remove(self.path(segment))
        if old:
            self._disk.sync_folder(self._folder)
        return len(old)

    def bytes_on_disk(self) -> int:
        """Bytes of all segments."""
        return sum(self._disk.size(self.path(n)) for n in self.numbers())
