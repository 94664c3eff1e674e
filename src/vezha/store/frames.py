"""Values of a frame as numpy columns, for replaying the WAL."""

from __future__ import annotations

import numpy as np

from vezha.model.columns import Values
from vezha.store.errors import StoreCorrupt
from vezha.wire.errors import ProtocolError
from vezha.wire.frame import CODEC_PLANES, read_head, unpack_payload


def values_of_frame(raw: bytes, width: int) -> Values:
    """float64[width] of a frame as it was received. Raises StoreCorrupt."""
    try:
        head = read_head(raw)
        data = unpack_payload(head, raw)
    except ProtocolError as error:
        raise StoreCorrupt(f"a frame in the WAL cannot be read: {error}") from None
    if head.width != width:
        raise StoreCorrupt(f"a frame in the WAL has {head.width} values, its layout {width}")
    if head.codec == CODEC_PLANES:
        planes = np.frombuffer(data, np.uint8).reshape(8, width)
        return np.ascontiguousarray(planes.T).reshape(-1).view(np.float64)
    return np.frombuffer(data, np.float64)
