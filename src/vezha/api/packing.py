"""Compressing large answers, in the thread that made them: whole, or piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

GZIP_FROM_BYTES = 4_096
"""Smaller answers are sent as they are: a packet holds most of them anyway."""


@dataclass(frozen=True, slots=True)
class Packed:
    """JSON, perhaps compressed."""

    data: bytes
    gzip: bool

    def response(self) -> Response:
        """As an answer."""
        headers = {"Vary": "Accept-Encoding"}
        if self.gzip:
            headers["Content-Encoding"] = "gzip"
        return Response(self.data, media_type="application/json", headers=headers)


def accepts_gzip(request: Request) -> bool:
    """Whether the client takes gzip."""
    wanted = request.headers.get("accept-encoding", "").lower()
    return any(part.strip().split(";")[0] == "gzip" for part in wanted.split(","))


def pack(data: bytes, gzip: bool, level: int = 1) -> Packed:
    """*data* compressed where it is wanted and worth it."""
    if not gzip or len(data) < GZIP_FROM_BYTES:
        return Packed(data, False)
    packer = zlib.compressobj(level, wbits=31)
    return Packed(packer.compress(data) + packer.flush(), True)


def pack_pieces(pieces: Iterable[bytes], gzip: bool, level: int = 1) -> Iterator[bytes]:
    """*pieces*, compressed as one where it is wanted."""
    if not gzip:
        yield from pieces
        return
    packer = zlib.compressobj(level, wbits=31)
    for piece in pieces:
        packed = packer.compress(piece)
        if packed:
            yield packed
    yield packer.flush()
