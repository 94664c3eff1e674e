"""Keeps scraping what `scrape.yml` of the state folder names, and follows its changes."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import structlog

from vezha.legacy.doors import Doors
from vezha.legacy.scrape import ScrapeConfigError, Scrapes, parse_scrape_config
from vezha.server.limits import SCRAPE_FILE_BYTES_MAX, SCRAPE_FILE_LOOK_S
from vezha.world import World

log = structlog.get_logger("vezha.scrape")


async def keep_scraping(file: Path, doors: Doors, world: World) -> None:
    """For ever; cancelled at the end. A file that cannot be used changes nothing, and says so."""
    told = ""
    task: asyncio.Task[None] | None = None
    try:
        while True:
            text = _read(file)
            if text != told:
                told = text
                try:
                    targets = parse_scrape_config(text, str(file)) if text else []
                except ScrapeConfigError as error:
                    log.error("scrape_config_refused", why=str(error))
                else:
                    await _end(task)
                    log.info("scraping", targets=len(targets))
                    scrapes = Scrapes(targets, doors.table, doors.feed, world, doors.described)
                    doors.scrapes = scrapes
                    task = asyncio.create_task(scrapes.run())
            await asyncio.sleep(SCRAPE_FILE_LOOK_S)
            if task is not None and task.done():
                # ours, not an exporter's: those end in `up` 0
                error_ = task.exception()
                log.error("scraping_broke", error=repr(error_))
                task, told = None, ""
    finally:
        await _end(task)


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(SCRAPE_FILE_BYTES_MAX).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        log.error("scrape_config_unreadable", why=error.strerror)
        return ""
