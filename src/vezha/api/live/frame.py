"""Frames of the live stream, little-endian. The format's page is docs/reference/api.md.

head   u8 kind, u8 full (1) or delta (0), u16 revision, f64 time_s, u32 n
fleet  kind 1; full: n x 6 u8; delta: n x (u32 index, 6 u8)
host   kind 2; n x f32, NaN for a gap, in the order of the last "series" message
host's changes   kind 3; ceil(n / 8) bytes, the bit i % 8 of byte i / 8 says whether line i changed; then
       an f32 for each that did
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Values

HEAD = struct.Struct("<BBHdI")
KIND_FLEET = 1
KIND_HOST = 2
KIND_HOST_CHANGES = 3
DEAD_BAND = 2
"""A load that moved by fewer points than this stays as it is shown."""

Tiles = npt.NDArray[np.uint8]
Lines = npt.NDArray[np.float32]
"""A host's lines as viewers have them, little-endian float32[n]."""
_ROW = np.dtype([("index", "<u4"), ("cells", "u1", (6,))])


def fleet_full(tiles: Tiles, time_s: float, revision: int) -> bytes:
    """All hosts: uint8[n, 6]."""
    return HEAD.pack(KIND_FLEET, 1, revision & 0xFFFF, time_s, len(tiles)) + tiles.tobytes()


def fleet_delta(shown: Tiles, now: Tiles, time_s: float, revision: int) -> tuple[bytes, Tiles]:
    """The hosts that changed against what is *shown* (both uint8[n, 6]), and what is shown then.

    A changed state shows the whole host anew. A load is told only when it moved by
    `DEAD_BAND` points or began or ceased to be known, so that numbers do not flicker; what is
    held back stays measured against what viewers see, so that it cannot drift away.
    """
    moved = np.abs(now.astype(np.int16) - shown.astype(np.int16)) >= DEAD_BAND
    moved[:, 0] = now[:, 0] != shown[:, 0]
    rows = np.flatnonzero(moved.any(axis=1))
    after = shown.copy()
    after[rows] = now[rows]
    packed = np.empty(len(rows), _ROW)
    packed["index"] = rows
    packed["cells"] = now[rows]
    head = HEAD.pack(KIND_FLEET, 0, revision & 0xFFFF, time_s, len(rows))
    return head + packed.tobytes(), after


def host_lines(values: Values) -> Lines:
    """What viewers have of float64[n], NaN for a gap; infinite where float32 ends."""
    with np.errstate(over="ignore"):
        return values.astype("<f4")


def host_values(lines: Lines, time_s: float, revision: int) -> bytes:
    """All lines of one host."""
    head = HEAD.pack(KIND_HOST, 0, revision & 0xFFFF, time_s, len(lines))
    return head + lines.tobytes()


def host_changes(shown: Lines, now: Lines, time_s: float, revision: int) -> bytes:
    """The lines that changed against what is *shown* (as many, in the same order), bit for bit."""
    changed = shown.view("<u4") != now.view("<u4")  # of numbers a gap would differ from a gap
    head = HEAD.pack(KIND_HOST_CHANGES, 0, revision & 0xFFFF, time_s, len(now))
    mask: bytes = np.packbits(changed, bitorder="little").tobytes()
    told: bytes = now[changed].tobytes()
    return head + mask + told
