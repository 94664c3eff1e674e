"""A file that says what runs: its work is begun anew whenever the file changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog

from vezha.server.limits import FOLLOWED_FILE_BYTES_MAX, FOLLOWED_FILE_LOOK_S


async def follow(
    file: Path,
    start: Callable[[str], Coroutine[Any, Any, None]],
    refusal: type[Exception],
    log: structlog.stdlib.BoundLogger,
) -> None:
    """For ever; cancelled at the end, and its work with it.

    *start* makes the work of a text ("" where there is no file) or raises *refusal*: then what runs
    goes on, and the log says why. Work that breaks is our fault: it is told and begun anew.
    """
    told: str | None = ""
    task: asyncio.Task[None] | None = None
    try:
        while True:
            text = _read(file, log)
            if text != told:
                told = text
                try:
                    work = start(text)
                except refusal as error:
                    log.error("file_refused", file=file.name, why=str(error))
                else:
                    await _end(task)
                    task = asyncio.create_task(work)
            await asyncio.sleep(FOLLOWED_FILE_LOOK_S)
            if task is not None and task.done():
                # an empty file has nothing to run
                if (broken := task.exception()) is not None:
                    log.error("file_work_broke", file=file.name, error=repr(broken))
                    told = None
                task = None
    finally:
        await _end(task)


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        # whether it was cancelled or broke just then: what follows it must begin
        await asyncio.wait([task])


def _read(file: Path, log: structlog.stdlib.BoundLogger) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(FOLLOWED_FILE_BYTES_MAX).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        log.error("file_unreadable", file=file.name, why=error.strerror)
        return ""
