"""What lies beside the samples, metadata and exemplars: where it is damaged, it is set aside.

Senders repeat metadata, and exemplars are only the newest ones: neither is worth a start that fails.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog

from vezha.store.salvage import is_damage

log = structlog.get_logger(__name__)
BESIDE = ("exemplars.db", "metadata.db")
T = TypeVar("T")


def set_aside(path: str) -> None:
    """Rename a file, and what SQLite keeps beside it, to `….damaged`."""
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").replace(f"{path}.damaged{suffix}")


def opened(path: str, open_it: Callable[[], T]) -> T:
    """What *open_it* gives of the file; if that is damaged, it is set aside, and a new one begins."""
    try:
        return open_it()
    except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
        if isinstance(error, sqlite3.Error) and not is_damage(error):
            raise
        log.error("a file is damaged and is set aside", file=path, error=str(error))
        set_aside(path)
        return open_it()


def complaint_of(path: str) -> str:
    """What is wrong with a file; nothing if it is whole, or absent."""
    if not Path(path).exists():
        return ""
    try:
        db = sqlite3.connect(f"{Path(path).resolve().as_uri()}?mode=ro", uri=True, timeout=5.0)
        try:
            rows = db.execute("PRAGMA integrity_check").fetchall()
        finally:
            db.close()
    except sqlite3.DatabaseError as error:
        return str(error)
    return "; ".join(text for (text,) in rows if text != "ok")
