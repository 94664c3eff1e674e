"""Frames: all values of one schema at one instant, as one small record.

The same bytes lie in the agent's spool, travel, and lie in the server's WAL; one CRC-32 made by
the agent guards them all the way. Layout, little-endian, 32 bytes of head:

    u8 version (1) · u8 codec · u16 flags (0) · u32 count · u64 seq · u64 schema · i64 ts_ms
    payload (count float64, as the codec says) · u32 CRC-32 of all before

Codec 0 is the plain float64s. Codec 1 is them in byte planes (all first bytes, then all second
bytes, …), which puts the zeros of whole numbers side by side, then zlib.
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from vezha.wire.errors import ProtocolError
from vezha.wire.limits import MESSAGE_BYTES_MAX, SERIES_PER_SCHEMA_MAX

VERSION = 1
CODEC_RAW = 0
CODEC_PLANES = 1
ZLIB_LEVEL = 1

_HEAD = struct.Struct("<BBHIQQq")
_CRC = struct.Struct("<I")
_CRC_OF_WHOLE = 0x2144DF1C
"""The CRC-32 of any bytes that end with their own CRC-32."""
HEAD_BYTES = _HEAD.size
TS_MS_MAX = 1 << 45
"""Some thousand years: further away is nonsense, and sums with it must not overflow."""
SEQ_MAX = 1 << 63


class FrameHead(NamedTuple):
    """What a frame says of itself before its values are unpacked; `width` counts its values."""

    codec: int
    width: int
    seq: int
    schema_id: int
    ts_ms: int


def pack_frame(seq: int, schema_id: int, ts_ms: int, values: Sequence[float]) -> bytes:
    """One frame. *values* are floats in the schema's order."""
    count = len(values)
    if isinstance(values, array) and values.typecode == "d" and sys.byteorder == "little":
        raw = values.tobytes()
    else:
        raw = struct.pack(f"<{count}d", *values)
    planes = b"".join([raw[i::8] for i in range(8)])
    packed = zlib.compress(planes, ZLIB_LEVEL)
    if len(packed) < len(raw):
        codec, payload = CODEC_PLANES, packed
    else:
        codec, payload = CODEC_RAW, raw
    body = _HEAD.pack(VERSION, codec, 0, count, seq, schema_id, ts_ms) + payload
    return body + _CRC.pack(zlib.crc32(body))


def read_head(record: bytes) -> FrameHead:
    """The head of a frame whose checksum holds. Raises ProtocolError `bad_frame`."""
    if not HEAD_BYTES + 4 <= len(record) <= MESSAGE_BYTES_MAX:
        raise ProtocolError("bad_frame", f"{len(record)} bytes cannot be a frame")
    if zlib.crc32(record) != _CRC_OF_WHOLE:
        raise ProtocolError("bad_frame", "the checksum does not fit")
    version, codec, flags, count, seq, schema_id, ts_ms = _HEAD.unpack_from(record)
    if version != VERSION or flags or codec > CODEC_PLANES:
        raise ProtocolError("bad_frame", f"version {version}, codec {codec}, flags {flags}")
    if not 0 < count <= SERIES_PER_SCHEMA_MAX or not 0 <= ts_ms < TS_MS_MAX or seq >= SEQ_MAX:
        raise ProtocolError("bad_frame", f"count {count}, time {ts_ms}, seq {seq}")
    return FrameHead(codec, count, seq, schema_id, ts_ms)


def unpack_payload(head: FrameHead, record: bytes) -> bytes:
    """`8 * head.width` bytes: byte planes for codec 1, plain float64s for codec 0.

    The server turns planes back with numpy, the agent and tests with `values_of`.
    Raises ProtocolError `bad_frame`.
    """
    size = 8 * head.width
    payload = memoryview(record)[HEAD_BYTES:-4]
    if head.codec == CODEC_RAW:
        if len(payload) != size:
            raise ProtocolError("bad_frame", f"{len(payload)} bytes for {head.width} values")
        return bytes(payload)
    inflater = zlib.decompressobj()
    try:
        planes = inflater.decompress(payload, size + 1)
    except zlib.error as error:
        raise ProtocolError("bad_frame", f"cannot inflate: {error}") from None
    if len(planes) != size or not inflater.eof:
        raise ProtocolError("bad_frame", f"inflates to {len(planes)} bytes, not {size}")
    return planes


def values_of(record: bytes) -> tuple[FrameHead, tuple[float, ...]]:
    """A frame and its values, without numpy. Raises ProtocolError."""
    head = read_head(record)
    data = unpack_payload(head, record)
    if head.codec == CODEC_PLANES:
        plain = bytearray(len(data))
        for i in range(8):
            plain[i::8] = data[i * head.width : (i + 1) * head.width]
        data = bytes(plain)
    return head, struct.unpack(f"<{head.width}d", data)
