"""The spool: every frame is on disk before it is sent, and stays until the server has it durable.

Rules:
1. Append-only segments `<first seq, 20 digits>.seg`; within one, numbers are consecutive.
2. A record is u32 length · u32 CRC-32 · u8 kind · body; kind 1 is a schema (u64 id, packed), kind
   2 a frame. A segment holds every schema that its frames name, before the first of them.
3. Each start begins a new epoch: numbers go on at the next multiple of 2**40. A number that was
   lost with an unsynced tail is therefore never given to another frame.
4. A torn tail ends its segment; it is never appended to again.
5. Bounded by bytes and by age: the oldest segment goes first, and what was not yet durable at the
   server in it is counted as dropped. Whatever the server has is trimmed by whole segments.
6. A disk that takes nothing (full, broken) costs nothing at first: frames wait in memory, bounded
   and counted, and go to a new segment as soon as the disk takes them again. If not even the
   epoch could be written at the start, this life stays in memory: its stream has no home, and
   its numbers must never stand beside those of the stream that has.

The stream's id names the spool: a wiped or new spool is another stream, so that its numbers are
never taken for duplicates of the old one's. One lock; the sampler appends, the link reads.
"""

from __future__ import annotations

import contextlib
import errno
import json
import struct
import threading
import zlib
from array import array
from collections import OrderedDict
from dataclasses import dataclass, field

from vezha.agent.limits import (
    SPOOL_LOOSE_FRAMES_MAX,
    SPOOL_RECENT_FRAMES,
    SPOOL_RECORD_BYTES_MAX,
    SPOOL_SEGMENT_BYTES_MAX,
)
from vezha.wire.ranges import Ranges
from vezha.world import AppendFile, World

_HEAD = struct.Struct("<IIB")
_SCHEMA_ID = struct.Struct("<Q")
_KIND_SCHEMA = 1
_KIND_FRAME = 2
EPOCH_SHIFT = 40


@dataclass
class _Segment:
    """One file: numbers `first` to `first + count - 1`, oldest frame made at `began_s`."""

    first: int
    path: str
    began_s: float
    count: int = 0
    size: int = 0
    schemas: dict[int, tuple[int, int]] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return self.first + self.count - 1


class Spool:
    """Frames on disk, by number."""

    def __init__(
        self, world: World, folder: str, bytes_max: int, age_max_s: float, segment_bytes: int = 0
    ) -> None:
        """Open, or make, the spool in *folder*. A disk that refuses even that is survived: the
        spool is then in memory, under a stream id of its own."""
        self._disk = world.disk
        self._clock = world.clock
        self._folder = folder
        self._bytes_max = bytes_max
        self._age_max_s = age_max_s
        self._segment_bytes = segment_bytes or min(SPOOL_SEGMENT_BYTES_MAX, bytes_max // 4)
        self._lock = threading.Lock()
        self._segments: list[_Segment] = []
        self._active: _Segment | None = None
        self._file: AppendFile | None = None
        self._recent: OrderedDict[int, bytes] = OrderedDict()
        self._loose: OrderedDict[int, bytes] = OrderedDict()
        self._loose_schemas: dict[int, bytes] = {}
        self._schemas: OrderedDict[int, bytes] = OrderedDict()
        self._read_cache: tuple[int, bytes, array[int]] | None = None
        self._unsynced: set[str] = set()
        self._homeless = False
        self.dropped_frames = 0
        self.disk_errors = 0
        self.torn_bytes = 0
        self.stream = ""
        self.epoch_first_seq = 0
        self.next_seq = 0
        try:
            self._disk.make_folder(folder)
            self._open_segments()
            self._begin_epoch(world)
        except OSError:
            self.disk_errors += 1
            self._homeless = True
            self._segments = []
            self.stream = world.chance.token(16).hex()
            self.epoch_first_seq = self.next_seq = 0

    # opening ---------------------------------------------------------------------------------------

    def _begin_epoch(self, world: World) -> None:
        path = f"{self._folder}/epoch.json"
        try:
            told = json.loads(self._disk.read(path))
            self.stream, epoch = str(told["stream"]), int(told["epoch"])
        except FileNotFoundError:
            self.stream, epoch = "", -1
        except (ValueError, KeyError, TypeError):
            # an unreadable epoch is a new spool: old numbers could not be told from new ones
            self.stream, epoch = "", -1
        if not self.stream:
            for segment in self._segments:
                self.dropped_frames += segment.count
                self._drop(segment)
            self._segments = []
            self.stream = world.chance.token(16).hex()
        highest = self._segments[-1].last if self._segments else -1
        epoch = max(epoch + 1, (highest >> EPOCH_SHIFT) + 1)
        body = json.dumps({"stream": self.stream, "epoch": epoch}).encode()
        self._disk.write_whole(path, body)
        self.epoch_first_seq = self.next_seq = epoch << EPOCH_SHIFT

    def _open_segments(self) -> None:
        for name in self._disk.list_names(self._folder):
            stem, dot, ending = name.partition(".")
            if ending != "seg" or not dot or not stem.isdigit():
                continue
            path = f"{self._folder}/{name}"
            segment = _Segment(int(stem), path, self._clock.now())
            data = self._disk.read(path)
            offsets, end = _scan(data, segment)
            self.torn_bytes += len(data) - end
            segment.count, segment.size = len(offsets), len(data)
            if segment.count:
                self._segments.append(segment)
                # an earlier life may have been killed before it synced
                self._unsynced.add(path)
            else:
                self._disk.remove(path)

    # writing ---------------------------------------------------------------------------------------

    def put_schema(self, schema_id: int, packed: bytes) -> None:
        """Have a schema ready for the frames that will name it."""
        with self._lock:
            self._schemas[schema_id] = packed
            self._schemas.move_to_end(schema_id)
            while len(self._schemas) > 64:
                self._schemas.popitem(last=False)

    def append(self, seq: int, schema_id: int, record: bytes) -> None:
        """Store frame *seq*, which must be `next_seq`."""
        with self._lock:
            assert seq == self.next_seq, (seq, self.next_seq)
            self.next_seq += 1
            self._recent[seq] = record
            while len(self._recent) > SPOOL_RECENT_FRAMES:
                self._recent.popitem(last=False)
            try:
                self._write_loose()
                self._write(seq, schema_id, record)
            except OSError:
                self.disk_errors += 1
                self._close_active()
                self._loose[seq] = record
                packed = self._schemas.get(schema_id)
                if packed is not None:
                    self._loose_schemas[schema_id] = packed
                while len(self._loose) > SPOOL_LOOSE_FRAMES_MAX:
                    self._loose.popitem(last=False)
                    self.dropped_frames += 1
            self._keep_bounds()

    def _write_loose(self) -> None:
        while self._loose:
            seq, record = next(iter(self._loose.items()))
            (schema_id,) = _SCHEMA_ID.unpack_from(record, 16)
            self._write(seq, schema_id, record)
            del self._loose[seq]
        self._loose_schemas.clear()

    def _write(self, seq: int, schema_id: int, record: bytes) -> None:
        if self._homeless:
            raise OSError(errno.EROFS, "the spool could not be opened")
        segment = self._active
        if (
            segment is None
            or seq != segment.last + 1
            or segment.size + len(record) > self._segment_bytes
        ):
            segment = self._begin_segment(seq)
        assert self._file is not None
        data = b""
        packed = self._schemas.get(schema_id) or self._loose_schemas.get(schema_id)
        if schema_id not in segment.schemas:
            assert packed is not None, "a frame names a schema that was never put"
            data = _record(_KIND_SCHEMA, _SCHEMA_ID.pack(schema_id) + packed)
        schema_end = segment.size + len(data)
        data += _record(_KIND_FRAME, record)
        self._file.write(data)
        if schema_end > segment.size and packed is not None:
            segment.schemas[schema_id] = (schema_end - len(packed), len(packed))
        segment.size = self._file.size
        segment.count += 1

    def _begin_segment(self, seq: int) -> _Segment:
        self._close_active()
        path = f"{self._folder}/{seq:020d}.seg"
        self._file = self._disk.open_append(path)
        if self._file.size:
            self._file.truncate(0)  # left by a write that failed
        segment = _Segment(seq, path, self._clock.now())
        self._segments.append(segment)
        self._active = segment
        return segment

    def _close_active(self) -> None:
        segment = self._active
        if self._file is not None and segment is not None:
            with contextlib.suppress(OSError):  # what it holds is synced by its path
                self._file.close()
            self._unsynced.add(segment.path)
        self._active = self._file = None
        if segment is not None and not segment.count:
            self._segments.remove(segment)
            self._drop(segment)

    def sync(self) -> None:
        """Make what was appended survive a loss of power. The link calls it while disconnected."""
        with self._lock:
            paths = set(self._unsynced)
            if self._active is not None:
                paths.add(self._active.path)
        try:
            for path in sorted(paths):
                if self._disk.exists(path):  # or trimmed meanwhile
                    file = self._disk.open_append(path)
                    file.sync()
                    file.close()
            self._disk.sync_folder(self._folder)
        except OSError:
            self.disk_errors += 1
            return
        with self._lock:
            self._unsynced -= paths

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        with self._lock:
            self._close_active()

    # bounds ----------------------------------------------------------------------------------------

    def _keep_bounds(self) -> None:
        total = sum(s.size for s in self._segments)
        now = self._clock.now()
        while len(self._segments) > 1:
            oldest = self._segments[0]
            if total <= self._bytes_max and now - oldest.began_s <= self._age_max_s:
                return
            total -= oldest.size
            self.dropped_frames += oldest.count
            self._drop(oldest)
            del self._segments[0]

    def _drop(self, segment: _Segment) -> None:
        self._unsynced.discard(segment.path)
        try:
            self._disk.remove(segment.path)
        except OSError:
            self.disk_errors += 1

    def trim(self, durable: Ranges) -> None:
        """Let go of segments that the server has whole."""
        with self._lock:
            for seq in [s for s in self._loose if s in durable]:
                del self._loose[seq]
            keep = []
            for segment in self._segments:
                whole = segment.count and durable.covers(segment.first, segment.last)
                if whole and segment is not self._active:
                    self._drop(segment)
                else:
                    keep.append(segment)
            self._segments = keep

    # reading ---------------------------------------------------------------------------------------

    def stored_from(self, seq: int) -> int | None:
        """The smallest stored number >= *seq*, or None."""
        with self._lock:
            found = None
            for segment in self._segments:
                if segment.count and segment.last >= seq:
                    found = max(seq, segment.first)
                    break
            for loose in self._loose:
                if loose >= seq:
                    return loose if found is None else min(found, loose)
            return found

    def read(self, seq: int) -> bytes | None:
        """Frame *seq*, or None if it is gone or its segment cannot be read."""
        with self._lock:
            record = self._recent.get(seq) or self._loose.get(seq)
            if record is not None:
                return record
            segment = self._segment_of(seq)
            if segment is None:
                return None
            cached = self._read_cache
            if cached is None or cached[0] != segment.first or len(cached[2]) < segment.count:
                try:
                    data = self._disk.read(segment.path)
                except OSError:
                    self.disk_errors += 1
                    return None
                offsets, _ = _scan(data, _Segment(segment.first, segment.path, 0.0))
                cached = self._read_cache = (segment.first, data, offsets)
            at = seq - segment.first
            if at >= len(cached[2]):
                return None
            start = cached[2][at]
            (length, _, _) = _HEAD.unpack_from(cached[1], start)
            return cached[1][start + _HEAD.size : start + _HEAD.size + length]

    def _segment_of(self, seq: int) -> _Segment | None:
        for segment in self._segments:
            if segment.first <= seq <= segment.last:
                return segment
        return None

    def schema(self, schema_id: int) -> bytes | None:
        """A schema that stored frames name, packed."""
        with self._lock:
            packed = self._schemas.get(schema_id) or self._loose_schemas.get(schema_id)
            if packed is not None:
                return packed
            for segment in reversed(self._segments):
                place = segment.schemas.get(schema_id)
                if place is not None:
                    try:
                        return self._disk.read(segment.path, *place)
                    except OSError:
                        self.disk_errors += 1
            return None

    def schema_ids(self, most: int) -> list[int]:
        """Schemas of what is stored, the newest *most* of them."""
        with self._lock:
            found: dict[int, None] = dict.fromkeys(reversed(self._schemas))
            for segment in reversed(self._segments):
                found.update(dict.fromkeys(segment.schemas))
            return list(found)[:most]

    @property
    def size_bytes(self) -> int:
        """Bytes on disk."""
        with self._lock:
            return sum(s.size for s in self._segments)

    def waiting(self, durable: Ranges) -> int:
        """Frames stored that the server does not have."""
        with self._lock:
            total = len(self._loose)
            for segment in self._segments:
                if segment.count:
                    have = durable.count_from(segment.first) - durable.count_from(segment.last + 1)
                    total += segment.count - have
            return total


def _record(kind: int, body: bytes) -> bytes:
    crc = zlib.crc32(body, kind)
    return _HEAD.pack(len(body), crc, kind) + body


def _scan(data: bytes, segment: _Segment) -> tuple[array[int], int]:
    """Offsets of the whole frame records in *data*, and where the good part ends; schemas go
    into *segment*."""
    offsets: array[int] = array("L")
    at = 0
    view = memoryview(data)
    while at + _HEAD.size <= len(data):
        length, crc, kind = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if length > SPOOL_RECORD_BYTES_MAX or end > len(data):
            break
        if zlib.crc32(view[at + _HEAD.size : end], kind) != crc:
            break
        if kind == _KIND_FRAME:
            offsets.append(at)
        elif kind == _KIND_SCHEMA and length > 8:
            (schema_id,) = _SCHEMA_ID.unpack_from(data, at + _HEAD.size)
            segment.schemas[schema_id] = (at + _HEAD.size + 8, length - 8)
        at = end
    return offsets, at
