"""Keeps scraping what `scrape.yml` of the state folder names, and follows its changes."""

from __future__ import annotations

from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog

from vezha.legacy.doors import Doors
from vezha.legacy.scrape import ScrapeConfigError, Scrapes, parse_scrape_config
from vezha.server.followed import follow
from vezha.world import World

log = structlog.get_logger("vezha.scrape")


async def keep_scraping(file: Path, doors: Doors, world: World) -> None:
    """For ever; cancelled at the end. A file that cannot be used changes nothing, and says so."""

    def start(text: str) -> Coroutine[Any, Any, None]:
        targets = parse_scrape_config(text, str(file)) if text else []
        scrapes = Scrapes(targets, doors.table, doors.feed, world, doors.described, doors.started)
        doors.scrapes = scrapes
        log.info("scraping", targets=len(targets))
        return scrapes.run()

    await follow(file, start, ScrapeConfigError, log)
