"""The feed: how another process of the same server hands over samples that did not come in frames.

A Unix stream socket between two contours. Series are announced once per connection under numbers
that the feeder chooses; then batches of columns name them. Each batch is answered once it is
durable, or refused as a whole with a reason. Messages, little-endian, each behind its u32 length:

    1 SERIES   u32 count, then JSON (UTF-8) [[number, name, value, name, value, …], …]
    2 SAMPLES  u64 batch, u32 count, u32 number[count], i64 ts_ms[count], f64 value[count]
    3 DURABLE  u64 batch, u32 refused samples
    4 REFUSED  u64 batch, u8 retry (0 never, 1 later), UTF-8 text
    5 DELETE   u64 batch, then JSON {"matchers": [[name, operator, value], …], "start_ms", "end_ms"}
    6 DELETED  u64 batch, u32 series
    7 LIST     u32 list, u32 number[n]: series that come together, under a number that is used again
    8 ROWS     u64 batch, u32 list, i64 ts_ms[1 or n], f64 value[n]: a batch like SAMPLES

A DELETE is answered by DELETED, or REFUSED; what it names is gone for every reader by then.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from vezha.model.labels import Labels
from vezha.wire.errors import ProtocolError

FEED_MESSAGE_BYTES_MAX = 64 << 20
FEED_SAMPLES_MAX = 1_000_000
"""Samples in one batch."""
FEED_LISTS_MAX = 256
"""Lists of series of one connection."""

SERIES, SAMPLES, DURABLE, REFUSED, DELETE, DELETED, LIST, ROWS = range(1, 9)
_LENGTH = struct.Struct("<I")
_SAMPLES = struct.Struct("<BQI")
_DURABLE = struct.Struct("<BQI")
_REFUSED = struct.Struct("<BQB")
_BATCH = struct.Struct("<BQ")
_LIST = struct.Struct("<BI")
_ROWS = struct.Struct("<BQI")


@dataclass(frozen=True)
class SeriesAnnounced:
    """Numbers and label sets."""

    series: list[tuple[int, Labels]]


@dataclass(frozen=True)
class SamplesFed:
    """One batch as raw columns: u32, i64 and f64 little-endian, `count` of each."""

    batch: int
    count: int
    numbers: memoryview
    ts_ms: memoryview
    values: memoryview


@dataclass(frozen=True)
class ListAnnounced:
    """Series that come together: their numbers as raw u32, little-endian."""

    list: int
    numbers: memoryview


@dataclass(frozen=True)
class RowsFed:
    """One batch of a list's series: `columns` are raw i64 times, one or as many as there are
    series, and then as many raw f64 values."""

    batch: int
    list: int
    columns: memoryview


@dataclass(frozen=True)
class BatchDurable:
    """The batch is on disk, but for `refused` samples that the store would not take."""

    batch: int
    refused: int


@dataclass(frozen=True)
class BatchRefused:
    """Nothing of the batch was taken."""

    batch: int
    retry: bool
    text: str


@dataclass(frozen=True)
class DeleteAsked:
    """Samples of the series that fit, in [start, end] (ms; None: all) are to go."""

    batch: int
    matchers: list[tuple[str, str, str]]
    start_ms: int | None
    end_ms: int | None


@dataclass(frozen=True)
class SeriesDeleted:
    """So many series lost samples."""

    batch: int
    series: int


FeedMessage = (
    DeleteAsked
    | SeriesDeleted
    | SeriesAnnounced
    | SamplesFed
    | ListAnnounced
    | RowsFed
    | BatchDurable
    | BatchRefused
)


def pack_series(series: Iterable[tuple[int, Labels]]) -> bytes:
    """A SERIES message with its length."""
    rows = [[number, *(part for pair in labels for part in pair)] for number, labels in series]
    body = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()
    return _framed(bytes([SERIES]) + _LENGTH.pack(len(rows)) + body)


def pack_samples(batch: int, count: int, numbers: bytes, ts_ms: bytes, values: bytes) -> bytes:
    """A SAMPLES message with its length; the columns as raw little-endian bytes."""
    assert len(numbers) == 4 * count
    assert len(ts_ms) == len(values) == 8 * count
    return _framed(_SAMPLES.pack(SAMPLES, batch, count) + numbers + ts_ms + values)


def pack_list(number: int, numbers: bytes) -> bytes:
    """A LIST message with its length; numbers of series as raw little-endian u32."""
    return _framed(_LIST.pack(LIST, number) + numbers)


def pack_rows(batch: int, number: int, ts_ms: bytes, values: bytes) -> bytes:
    """A ROWS message with its length; one time or one for each value, raw little-endian."""
    assert len(ts_ms) in (8, len(values))
    size = _LENGTH.pack(_ROWS.size + len(ts_ms) + len(values))
    return b"".join((size, _ROWS.pack(ROWS, batch, number), ts_ms, values))


def pack_durable(batch: int, refused: int) -> bytes:
    """A DURABLE message with its length."""
    return _framed(_DURABLE.pack(DURABLE, batch, refused))


def pack_refused(batch: int, retry: bool, text: str) -> bytes:
    """A REFUSED message with its length."""
    return _framed(_REFUSED.pack(REFUSED, batch, retry) + text.encode("utf-8", "replace"))


def pack_delete(ask: DeleteAsked) -> bytes:
    """A DELETE message with its length."""
    body = {"matchers": ask.matchers, "start_ms": ask.start_ms, "end_ms": ask.end_ms}
    return _framed(_BATCH.pack(DELETE, ask.batch) + json.dumps(body).encode())


def pack_deleted(batch: int, series: int) -> bytes:
    """A DELETED message with its length."""
    return _framed(_DURABLE.pack(DELETED, batch, series))


def _framed(body: bytes) -> bytes:
    return _LENGTH.pack(len(body)) + body


def unpack_feed(body: bytes) -> FeedMessage:
    """A message without its length. Raises ProtocolError."""
    try:
        kind = body[0]
        if kind == SERIES:
            return _unpack_series(body)
        if kind == SAMPLES:
            _, batch, count = _SAMPLES.unpack_from(body)
            at, view = _SAMPLES.size, memoryview(body)
            if count > FEED_SAMPLES_MAX or len(body) != at + 20 * count:
                raise ProtocolError("bad_message", f"{len(body)} bytes for {count} samples")
            return SamplesFed(
                batch,
                count,
                view[at : at + 4 * count],
                view[at + 4 * count : at + 12 * count],
                view[at + 12 * count :],
            )
        if kind == LIST:
            _, number = _LIST.unpack_from(body)
            size = len(body) - _LIST.size
            if number >= FEED_LISTS_MAX or size % 4 or not 0 < size <= 4 * FEED_SAMPLES_MAX:
                raise ProtocolError("bad_message", f"feed: list {number} of {size} bytes")
            return ListAnnounced(number, memoryview(body)[_LIST.size :])
        if kind == ROWS:
            _, batch, number = _ROWS.unpack_from(body)
            return RowsFed(batch, number, memoryview(body)[_ROWS.size :])
        if kind == DURABLE:
            return BatchDurable(*_DURABLE.unpack(body)[1:])
        if kind == DELETED:
            return SeriesDeleted(*_DURABLE.unpack(body)[1:])
        if kind == DELETE:
            return _unpack_delete(_BATCH.unpack_from(body)[1], body[_BATCH.size :])
        if kind == REFUSED:
            _, batch, retry = _REFUSED.unpack_from(body)
            return BatchRefused(
                batch, bool(retry), body[_REFUSED.size :].decode("utf-8", "replace")
            )
    except (struct.error, IndexError) as error:
        raise ProtocolError("bad_message", f"feed: {error}") from None
    raise ProtocolError("bad_message", f"feed: unknown kind {kind}")


def _unpack_series(body: bytes) -> SeriesAnnounced:
    try:
        rows = json.loads(body[1 + _LENGTH.size :])
        series = []
        for number, *parts in rows:
            if not isinstance(number, int) or len(parts) % 2 or not 0 <= number < 1 << 32:
                raise ProtocolError("bad_message", "feed: a series is malformed")
            if not all(isinstance(p, str) for p in parts):
                raise ProtocolError("bad_message", "feed: a label is not a text")
            series.append((number, tuple(zip(parts[0::2], parts[1::2], strict=True))))
    except (ValueError, TypeError, RecursionError):
        raise ProtocolError("bad_message", "feed: series are not JSON") from None
    return SeriesAnnounced(series)


def _unpack_delete(batch: int, body: bytes) -> DeleteAsked:
    try:
        told = json.loads(body)
        matchers = [(str(n), str(o), str(v)) for n, o, v in told["matchers"]]
        bounds = [None if told[k] is None else int(told[k]) for k in ("start_ms", "end_ms")]
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        raise ProtocolError("bad_message", "feed: a delete is malformed") from None
    return DeleteAsked(batch, matchers, bounds[0], bounds[1])


class FeedInbox:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now. Raises ProtocolError."""
        buffer = self._buffer
        buffer += data
        out = []
        at = 0
        with memoryview(buffer) as view:
            while len(buffer) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer, at)
                if length > FEED_MESSAGE_BYTES_MAX:
                    raise ProtocolError("too_large", f"feed: a message of {length} bytes")
                end = at + _LENGTH.size + length
                if len(buffer) < end:
                    break
                out.append(bytes(view[at + _LENGTH.size : end]))
                at = end
        del buffer[:at]
        return out
