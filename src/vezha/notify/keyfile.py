"""A file with a key that the server makes for itself, whole or not at all, for its own user only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def read_or_make(path: str, make: Callable[[], bytes]) -> bytes:
    """What the file at *path* holds, which is made where there is none. Raises OSError."""
    file = Path(path)
    if not file.exists():
        # the first of two processes wins
        fresh = file.with_name(f".{file.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(make())
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(fresh, file)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return file.read_bytes()
