"""The queue before a remote engine: columns on disk until the engine took them.

Append-only segments `<number>.q` of records u32 length · u32 CRC-32 · zstd(u32 count, i64 refs,
i64 times, f64 values). `position.json` says how far the engine has them; what lies before is
deleted by whole segments. A crash between sending and noting the position sends again: at least
once, and engines drop what they have. Bounded by bytes: the oldest segment goes first, counted.
"""

from __future__ import annotations

import json
import struct
import threading
import zlib
from dataclasses import dataclass

import numpy as np
import zstandard

from vezha.model.columns import Refs, Times, Values
from vezha.world import AppendFile, Disk

_HEAD = struct.Struct("<II")
_COUNT = struct.Struct("<I")
SEGMENT_BYTES_MAX = 16 << 20
RECORD_BYTES_MAX = 64 << 20
RECORD_SAMPLES_MAX = 2_000_000


@dataclass(frozen=True, slots=True)
class Columns:
    """Some samples: int64 refs, int64 ms, float64 values, equally long."""

    refs: Refs
    ts_ms: Times
    values: Values

    def __len__(self) -> int:
        return len(self.refs)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the queue: a segment's number and a byte in it."""

    segment: int
    offset: int


class RemoteQueue:
    """One writer thread appends, one sender thread reads."""

    def __init__(self, disk: Disk, folder: str, bytes_max: int) -> None:
        """Open or make the queue. Raises OSError."""
        self._disk = disk
        self._folder = folder
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._packer = zstandard.ZstdCompressor(level=1)
        self.dropped_segments = 0
        self.torn_bytes = 0
        disk.make_folder(folder)
        numbers = [int(n[:-2]) for n in disk.list_names(folder) if n.endswith(".q")]
        self._sizes = {n: disk.size(self._path(n)) for n in sorted(numbers)}
        self.position = self._stored_position()
        self._active = max([*self._sizes, self.position.segment], default=0) + 1
        self._file: AppendFile | None = None

    def _path(self, number: int) -> str:
        return f"{self._folder}/{number:012d}.q"

    def _stored_position(self) -> Position:
        first = min(self._sizes, default=0)
        try:
            told = json.loads(self._disk.read(f"{self._folder}/position.json"))
            position = Position(int(told["segment"]), int(told["offset"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return Position(first, 0)
        return position if position.segment >= first else Position(first, 0)

    def append(self, columns: Columns) -> None:
        """Put samples; durable on return. Raises OSError; then nothing of them is in the queue."""
        data = b""
        for at in range(0, len(columns), RECORD_SAMPLES_MAX):
            part = slice(at, at + RECORD_SAMPLES_MAX)
            refs = columns.refs[part]
            plain = b"".join(
                [
                    _COUNT.pack(len(refs)),
                    refs.astype("<i8").tobytes(),
                    columns.ts_ms[part].astype("<i8").tobytes(),
                    columns.values[part].astype("<f8").tobytes(),
                ]
            )
            body = self._packer.compress(plain)
            data += _HEAD.pack(len(body), zlib.crc32(body)) + body
        with self._lock:
            if self._file is None or self._file.size >= SEGMENT_BYTES_MAX:
                self._roll()
            assert self._file is not None
            try:
                self._file.write(data)
                self._file.sync()
            except OSError:
                # what was torn ends this segment; the next append begins another
                self._file.close()
                self._file = None
                raise
            self._sizes[self._active] = self._file.size
            self._keep_bounds()

    def _roll(self) -> None:
        if self._file is not None:
            self._file.close()
            self._active += 1
        while self._active in self._sizes:
            self._active += 1
        self._file = self._disk.open_append(self._path(self._active))
        self._disk.sync_folder(self._folder)
        self._sizes[self._active] = self._file.size

    def _keep_bounds(self) -> None:
        while sum(self._sizes.values()) > self._bytes_max and len(self._sizes) > 1:
            oldest = min(self._sizes)
            self._disk.remove(self._path(oldest))
            del self._sizes[oldest]
            if self.position.segment <= oldest:
                self.dropped_segments += 1
                self.position = Position(min(self._sizes), 0)

    def read(self, samples_max: int) -> tuple[Columns, Position] | None:
        """Samples from the position on, at least one record and then up to *samples_max*, and
        the position behind them; None when there is nothing."""
        with self._lock:
            at, sizes = self.position, dict(self._sizes)
        found: list[Columns] = []
        total = 0
        while total < samples_max:
            record, end = self._record(at, sizes)
            if record is None:
                later = [n for n in sizes if n > at.segment]
                if not later or at.segment == self._active:
                    break
                if at.segment in sizes and sizes[at.segment] > at.offset:
                    self.torn_bytes += sizes[at.segment] - at.offset
                at = Position(min(later), 0)
                continue
            found.append(record)
            total += len(record)
            at = end
        if not found:
            return None
        joined = Columns(
            np.concatenate([c.refs for c in found]),
            np.concatenate([c.ts_ms for c in found]),
            np.concatenate([c.values for c in found]),
        )
        return joined, at

    def _record(self, at: Position, sizes: dict[int, int]) -> tuple[Columns | None, Position]:
        if at.segment not in sizes or at.offset + _HEAD.size > sizes[at.segment]:
            return None, at
        try:
            head = self._disk.read(self._path(at.segment), at.offset, _HEAD.size)
            length, crc = _HEAD.unpack(head)
            if length > RECORD_BYTES_MAX:
                return None, at
            body = self._disk.read(self._path(at.segment), at.offset + _HEAD.size, length)
        except (FileNotFoundError, struct.error):
            return None, at
        if len(body) != length or zlib.crc32(body) != crc:
            return None, at
        most = _COUNT.size + 24 * RECORD_SAMPLES_MAX
        plain = zstandard.ZstdDecompressor().decompress(body, max_output_size=most)
        (count,) = _COUNT.unpack_from(plain)
        refs = np.frombuffer(plain, "<i8", count, _COUNT.size).astype(np.int64)
        ts_ms = np.frombuffer(plain, "<i8", count, _COUNT.size + 8 * count).astype(np.int64)
        values = np.frombuffer(plain, "<f8", count, _COUNT.size + 16 * count).astype(np.float64)
        return Columns(refs, ts_ms, values), Position(at.segment, at.offset + _HEAD.size + length)

    def done(self, position: Position) -> None:
        """Everything before *position* was taken."""
        body = json.dumps({"segment": position.segment, "offset": position.offset}).encode()
        self._disk.write_whole(f"{self._folder}/position.json", body)
        with self._lock:
            if (position.segment, position.offset) > (self.position.segment, self.position.offset):
                self.position = position
            for number in [n for n in self._sizes if n < self.position.segment]:
                self._disk.remove(self._path(number))
                del self._sizes[number]

    @property
    def waiting_bytes(self) -> int:
        """Bytes on disk that were not taken yet."""
        with self._lock:
            return sum(self._sizes.values()) - min(
                self.position.offset, self._sizes.get(self.position.segment, 0)
            )

    def close(self) -> None:
        """Close the open segment."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
