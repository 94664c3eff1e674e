"""Deltas: what became known, on its way into the WAL, the register of names and the catalog."""

from __future__ import annotations

import msgspec

from vezha.model.labels import Labels
from vezha.store.errors import StoreCorrupt


class Delta(msgspec.Struct, array_like=True):
    """What became known since the last batch; lies in the WAL before the data that needs it.

    Arrays are little-endian int32 (`columns`, `hosts` of new series) and int64 (`refs`).
    """

    columns: list[tuple[int, Labels]] = []
    hosts: list[tuple[int, Labels]] = []
    series: list[tuple[int, bytes, bytes]] = []
    schemas: list[tuple[int, list[Labels]]] = []
    layouts: list[tuple[int, int, Labels, bytes]] = []
    origins: list[tuple[int, str]] = []

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__struct_fields__)


_encode = msgspec.msgpack.encode
_decode_delta = msgspec.msgpack.Decoder(Delta).decode


def pack_delta(delta: Delta) -> bytes:
    """A delta as it lies in the WAL."""
    return _encode(delta)


def unpack_delta(data: bytes) -> Delta:
    """The other way. Raises StoreCorrupt."""
    try:
        return _decode_delta(data)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"a delta cannot be read: {error}") from None
