"""Small pictures of pages: PNG with a palette, written with numpy and zlib alone.

A page has few colours, most of them shades between text and ground. The most frequent ones are
kept, then those that are farthest from all that is kept (a small red sign must stay red); each
other takes the nearest. That makes a picture three to five times smaller than true colour.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

COLOURS_MAX = 256
FREQUENT = 96
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NEAREST_BLOCK = 4096


def palette_png(pixels: NDArray[np.uint8]) -> bytes:
    """The pixels [height, width, 3] as a PNG of at most 256 colours."""
    height, width, _ = pixels.shape
    wide = pixels.astype(np.uint32)
    keys = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    found, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    kept = found[_choose(_channels(found), counts)]
    index = _nearest(_channels(found), _channels(kept))[inverse.reshape(height, width)]
    body = np.zeros((height, width + 1), np.uint8)
    body[:, 1:] = index
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", _channels(kept).astype(np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(body.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _channels(keys: NDArray[np.uint32]) -> NDArray[np.int32]:
    parts = np.stack([keys >> 16, (keys >> 8) & 255, keys & 255], axis=1)
    return parts.astype(np.int32)


def _choose(colours: NDArray[np.int32], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which of the colours [n, 3] are kept, by index: at most 256."""
    order = np.argsort(-counts, kind="stable")
    if len(order) <= COLOURS_MAX:
        return order
    chosen = list(order[:FREQUENT])
    distance = np.full(len(colours), np.iinfo(np.int64).max)
    for at in chosen:
        distance = np.minimum(distance, ((colours - colours[at]) ** 2).sum(axis=1))
    weight = np.sqrt(counts)
    while len(chosen) < COLOURS_MAX:
        at = int(np.argmax(distance * weight))
        chosen.append(at)
        distance = np.minimum(distance, ((colours - colours[at]) ** 2).sum(axis=1))
    return np.array(chosen)


def _nearest(colours: NDArray[np.int32], kept: NDArray[np.int32]) -> NDArray[np.uint8]:
    """For each colour [n, 3] the index of the nearest of `kept` [k, 3]."""
    found = np.empty(len(colours), np.uint8)
    for at in range(0, len(colours), _NEAREST_BLOCK):
        block = colours[at : at + _NEAREST_BLOCK, None, :] - kept[None, :, :]
        found[at : at + _NEAREST_BLOCK] = np.argmin((block * block).sum(axis=2), axis=1)
    return found


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
