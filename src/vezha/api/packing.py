"""Compressing large answers, in the thread that made them: whole, or piece by piece.

A client that takes zstd gets that (RFC 8878): it costs both sides a third of what gzip does, and is
shorter.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import cramjam
import zstandard
from starlette.requests import Request
from starlette.responses import Response

from vezha.api.header import header_of

PACKED_FROM_BYTES = 4_096
"""Smaller answers are sent as they are: a packet holds most of them anyway."""
GZIP, ZSTD, PLAIN = "gzip", "zstd", ""
"""Names of codings as they stand in `Content-Encoding`; PLAIN is none."""


@dataclass(frozen=True, slots=True)
class Packed:
    """JSON, perhaps compressed: `coding` says how."""

    data: bytes
    coding: str = PLAIN

    def response(self) -> Response:
        """As an answer."""
        return PackedResponse(self)


class PackedResponse(Response):
    """A whole answer, made with what is known before."""

    media_type = "application/json"

    def __init__(self, packed: Packed) -> None:
        # what Starlette's does
        self.status_code = 200
        self.background = None
        self.body = packed.data
        length = b"%d" % len(packed.data)
        self.raw_headers = [*_HEADERS[packed.coding], (b"content-length", length)]


_JSON = (b"content-type", b"application/json")
_VARIES = (b"vary", b"Accept-Encoding")
_HEADERS = {
    PLAIN: (_JSON, _VARIES),
    **{coding: (_JSON, _VARIES, (b"content-encoding", coding.encode())) for coding in (GZIP, ZSTD)},
}


def headers_of(coding: str) -> dict[str, str]:
    """What says how an answer is compressed."""
    headers = {"Vary": "Accept-Encoding"}
    if coding:
        headers["Content-Encoding"] = coding
    return headers


def coding_for(request: Request) -> str:
    """The best coding that the client takes."""
    return _best(header_of(request, b"accept-encoding"))


@lru_cache(64)
def _best(accepted: str) -> str:
    """Of an `Accept-Encoding` (RFC 9110, 12.5.3). Of weights only zero counts, which refuses."""
    taken = set()
    for part in accepted.lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        weights = [word[2:] for word in parameters if word.startswith("q=")]
        if all(weight.strip("0.") for weight in weights):
            taken.add(name)
    return ZSTD if ZSTD in taken else GZIP if GZIP in taken else PLAIN


def pack(data: bytes, coding: str, level: int = 1) -> Packed:
    """*data* compressed where it is wanted and worth it."""
    if not coding or len(data) < PACKED_FROM_BYTES:
        return Packed(data)
    if coding == ZSTD:
        return Packed(zstandard.ZstdCompressor(level=level).compress(data), ZSTD)
    return Packed(bytes(cramjam.gzip.compress(data, level)), GZIP)


def pack_pieces(pieces: Iterable[bytes], coding: str, level: int = 1) -> Iterator[bytes]:
    """*pieces*, compressed as one where it is wanted."""
    if not coding:
        yield from pieces
        return
    packer = (
        zstandard.ZstdCompressor(level=level).compressobj()
        if coding == ZSTD
        else zlib.compressobj(level, wbits=31)
    )
    for piece in pieces:
        packed = packer.compress(piece)
        if packed:
            yield packed
    yield packer.flush()
