"""Zip archives that Python runs, the same bytes for the same contents on any machine."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Iterable

SHEBANG = b"#!/usr/bin/env python3\n"
_TIME = (2020, 1, 1, 0, 0, 0)
_MODE = stat.S_IFREG | 0o644


def pack(members: Iterable[tuple[str, bytes]], *, compressed: bool = True) -> bytes:
    """The archive of names and contents, in that order; times, modes and compression are fixed."""
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members:
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
            entry.create_system = 3  # Unix, also when built elsewhere
            entry.external_attr = _MODE << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
