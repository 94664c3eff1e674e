"""Schemas: the ordered list of series that a frame's values belong to.

A schema is named by the first 8 bytes of the SHA-256 of its canonical bytes, so that equal
schemas of different hosts are one, and a server that knows one never asks for it again. The
labels `instance` and `job` are not in it: the server adds them, since it knows whose data it is.

A schema of checks from outside is the exception: there `job` is the check and `instance` the target,
in every series, whose names are a check's own; the server adds `from`, the host that looked.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

from vezha.model.labels import METRIC_NAME, Labels
from vezha.wire.errors import ProtocolError
from vezha.wire.limits import (
    LABEL_NAME_CHARS_MAX,
    LABEL_VALUE_CHARS_MAX,
    LABELS_PER_SERIES_MAX,
    SCHEMA_JSON_BYTES_MAX,
    SERIES_PER_SCHEMA_MAX,
)

SERVER_LABELS = ("instance", "job")
FROM = "from"
"""The label that says which host a check looked from."""
_CHECKS = ("probe_", "vezha_check_")


def tells_checks(series: Sequence[Labels]) -> bool:
    """Whether a schema is of checks. One that unpacks is so wholly, or not at all."""
    return any(name == "job" for name, _ in series[0])


def _check_owners(series: Sequence[Labels]) -> None:
    """Nobody names another host's series as its own. Raises ProtocolError `bad_schema`."""
    if not any(name in SERVER_LABELS for labels in series for name, _ in labels):
        return
    for labels in series:
        told = dict(labels)
        is_check = told[METRIC_NAME].startswith(_CHECKS) and FROM not in told
        if not is_check or not all(name in told for name in SERVER_LABELS):
            raise ProtocolError("bad_schema", "`instance` and `job` are set by the server")


def canonical_bytes(series: Sequence[Labels]) -> bytes:
    """The one way to write a schema: JSON without spaces, UTF-8, labels sorted by name."""
    return json.dumps(
        [[part for pair in labels for part in pair] for labels in series],
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode("utf-8", "surrogatepass")


def schema_id_of(canonical: bytes) -> int:
    """The name of a schema: the first 8 bytes of SHA-256, little-endian."""
    return int.from_bytes(hashlib.sha256(canonical).digest()[:8], "little")


def pack_schema(series: Sequence[Labels]) -> tuple[int, bytes]:
    """A schema's name and its compressed canonical bytes."""
    canonical = canonical_bytes(series)
    return schema_id_of(canonical), zlib.compress(canonical, 6)


def unpack_schema(schema_id: int, packed: bytes) -> tuple[Labels, ...]:
    """The series of a schema, checked. Raises ProtocolError `bad_schema` or `too_large`."""
    inflater = zlib.decompressobj()
    try:
        canonical = inflater.decompress(packed, SCHEMA_JSON_BYTES_MAX)
    except zlib.error as error:
        raise ProtocolError("bad_schema", f"cannot inflate: {error}") from None
    if inflater.unconsumed_tail or not inflater.eof:
        raise ProtocolError("too_large", f"a schema is over {SCHEMA_JSON_BYTES_MAX} bytes or cut")
    if schema_id_of(canonical) != schema_id:
        raise ProtocolError("bad_schema", "the name does not fit the content")
    try:
        rows = json.loads(canonical)
    except (ValueError, RecursionError):
        raise ProtocolError("bad_schema", "not JSON") from None
    if not isinstance(rows, list) or not 0 < len(rows) <= SERIES_PER_SCHEMA_MAX:
        raise ProtocolError("bad_schema", f"wants 1 to {SERIES_PER_SCHEMA_MAX} series")
    series = tuple(_checked(row) for row in rows)
    if len(set(series)) != len(series):
        raise ProtocolError("bad_schema", "a series stands twice")
    _check_owners(series)
    return series


def _checked(row: Any) -> Labels:
    if not isinstance(row, list) or len(row) % 2 or not 2 <= len(row) <= 2 * LABELS_PER_SERIES_MAX:
        raise ProtocolError("bad_schema", "a series is not a list of names and values")
    if not all(isinstance(part, str) and part for part in row):
        raise ProtocolError("bad_schema", "a label's name or value is not a text, or empty")
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        raise ProtocolError("bad_schema", "a label is not valid UTF-8") from None
    names, values = row[0::2], row[1::2]
    if any(len(n) > LABEL_NAME_CHARS_MAX for n in names):
        raise ProtocolError(
            "bad_schema", f"a label's name is over {LABEL_NAME_CHARS_MAX} characters"
        )
    if any(len(v) > LABEL_VALUE_CHARS_MAX for v in values):
        raise ProtocolError(
            "bad_schema", f"a label's value is over {LABEL_VALUE_CHARS_MAX} characters"
        )
    if any(names[i] >= names[i + 1] for i in range(len(names) - 1)):
        raise ProtocolError("bad_schema", "labels are not sorted by name, or one stands twice")
    if METRIC_NAME not in names:
        raise ProtocolError("bad_schema", "a series has no name")
    return tuple(zip(names, values, strict=True))
