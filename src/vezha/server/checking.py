"""Keeps running the checks that `checks.yml` of the state folder names, and follows its changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from vezha.api.heartbeats import know_heartbeat
from vezha.checks.check import Check
from vezha.checks.config import parse_checks
from vezha.checks.errors import CheckConfigError
from vezha.checks.heartbeat import Beat, HeartbeatProbe
from vezha.checks.loop import Checks
from vezha.delivery.errors import SpecError
from vezha.delivery.selector import parse_selector
from vezha.ledger import Ledger
from vezha.legacy.batch import batch_of
from vezha.legacy.doors import Doors
from vezha.legacy.errors import BadBody, NotNow
from vezha.model.columns import STALE_NAN
from vezha.model.labels import Labels
from vezha.server.followed import follow
from vezha.world import World

log = structlog.get_logger("vezha.checks")


@dataclass(slots=True)
class CheckBook:
    """The checks in force, for those who ask; replaced as a whole."""

    checks: tuple[Check, ...] = ()
    heartbeats: Mapping[str, HeartbeatProbe] = field(default_factory=dict)

    def take(self, checks: list[Check]) -> None:
        """Put *checks* in force."""
        self.checks = tuple(checks)
        self.heartbeats = {c.name: c.probe for c in checks if isinstance(c.probe, HeartbeatProbe)}


class FeedSink:
    """Hands samples to the data contour's feed."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def write(
        self, values: Mapping[Labels, float], gone: Iterable[Labels], ts_ms: int
    ) -> None:
        """What cannot be taken now is a gap; the next probe is due soon."""
        ended = list(gone)
        try:
            numbers = [self._doors.table.number(labels) for labels in (*values, *ended)]
            both = [*values.values(), *(STALE_NAN for _ in ended)]
            await self._doors.feed.write(batch_of(numbers, [ts_ms] * len(numbers), both))
        except (NotNow, BadBody) as error:
            log.warning("check_unwritten", why=str(error))


def tell_change(word: str, check: str, target: str, why: str) -> None:
    """A target came up or went down."""
    log.info(word, check=check, target=target, why=why)


def parse_file(text: str, read_file: Callable[[str], bytes], where: str) -> list[Check]:
    """The checks of `checks.yml`, their selectors looked at, too. Raises CheckConfigError."""
    checks = parse_checks(text, read_file, where)
    for check in checks:
        try:
            if check.seen_from:
                parse_selector(check.seen_from)
        except SpecError as error:
            raise CheckConfigError(f"{where}: check {check.name}: from: {error}") from None
    return checks


def read_secret_file(world: World, folder: Path, path: str) -> bytes:
    """A secret's file; a relative path is meant from the folder of `checks.yml`."""
    return world.disk.read(str(folder / path))


async def keep_checking(
    file: Path, doors: Doors, world: World, book: CheckBook, ledger: Ledger
) -> None:
    """For ever; cancelled at the end. A file that cannot be used changes nothing, and says so."""

    async def last_beat(name: str) -> Beat:
        now_ms = int(world.clock.now() * 1000)
        return await asyncio.to_thread(know_heartbeat, ledger, name, now_ms)

    sink = FeedSink(doors)
    running: Checks | None = None

    def start(text: str) -> Coroutine[Any, Any, None]:
        nonlocal running
        found = _parsed(text, file, world)
        book.take(found)
        log.info("checking", checks=len(found))
        before = running
        here = [c.with_beats(last_beat) for c in found if not c.seen_from]
        running = Checks(here, sink, world, tell_change)
        return running.run(before)

    await follow(file, start, CheckConfigError, log)


def _parsed(text: str, file: Path, world: World) -> list[Check]:
    def read(path: str) -> bytes:
        return read_secret_file(world, file.parent, path)

    return parse_file(text, read, str(file)) if text else []
