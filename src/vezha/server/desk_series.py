"""What the ledger tells of people's work, as series: once a minute, through the data contour's feed.

In the ops contour. A round that fails is left out and told in the log; the next one tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog
from sqlalchemy import Connection, func, select
from sqlalchemy.exc import SQLAlchemyError

from vezha.incidents.checklists.figures import figures_series, read_figures
from vezha.incidents.times import read_incidents, series_of
from vezha.ledger import Ledger
from vezha.ledger.tables import checklist_run
from vezha.legacy.batch import batch_of
from vezha.legacy.doors import Doors
from vezha.legacy.errors import BadBody, NotNow
from vezha.model.labels import Labels
from vezha.model.stages import Stages
from vezha.notify.alarm_rate import rates_series, read_rates
from vezha.server.limits import (
    DESK_SERIES_CHECKLIST_MS,
    DESK_SERIES_EVERY_S,
    DESK_SERIES_RATES_H,
)
from vezha.world import World

WEEK_MS = 7 * 86_400_000
_log = structlog.get_logger("desk")


class DeskSeries:
    """Figures of the desk. `run` as a task; `write` once."""

    def __init__(
        self, ledger: Ledger, doors: Doors, world: World, receivers: Callable[[], Iterable[str]]
    ) -> None:
        self._ledger = ledger
        self._receivers = receivers
        self._doors = doors
        self._world = world
        self.stages = Stages()
        """Of detection, as far as the ops contour has part in it."""
        self._stamp: tuple[object, ...] = ()
        self._known: list[tuple[Labels, float]] = []

    async def run(self) -> None:
        """For ever; cancelled at the end."""
        while True:
            await asyncio.sleep(DESK_SERIES_EVERY_S)
            try:
                await self.write()
            except (SQLAlchemyError, NotNow, BadBody) as fault:
                _log.warning("figures of the desk are left out", why=str(fault))

    async def write(self) -> int:
        """One round; how many series. Raises SQLAlchemyError, NotNow, BadBody."""
        now_ms = int(self._world.clock.now() * 1000)
        rows = await asyncio.to_thread(self._read, now_ms)
        if rows:
            numbers = [self._doors.table.number(labels) for labels, _ in rows]
            values = [value for _, value in rows]
            await self._doors.feed.write(batch_of(numbers, [now_ms] * len(rows), values))
        return len(rows)

    def _read(self, now_ms: int) -> list[tuple[Labels, float]]:
        with self._ledger.read() as connection:
            rates = read_rates(connection, now_ms, DESK_SERIES_RATES_H, self._receivers())
            times = self._times(connection, now_ms)
            stages = self.stages.series(instance="vezha-server", job="vezha", contour="ops")
            return [*self._checklists(connection, now_ms), *rates_series(rates), *times, *stages]

    def _times(self, connection: Connection, now_ms: int) -> list[tuple[Labels, float]]:
        """How long detection, response and recovery took, of the last week's incidents."""
        return series_of(read_incidents(connection, now_ms - WEEK_MS))

    def _checklists(self, connection: Connection, now_ms: int) -> list[tuple[Labels, float]]:
        """Read again only where a run has changed: there may be many events."""
        runs = select(func.count(), func.max(checklist_run.c.updated_ms))
        stamp = tuple(connection.execute(runs).one())
        if stamp != self._stamp:
            found = read_figures(connection, now_ms - DESK_SERIES_CHECKLIST_MS)
            self._stamp, self._known = stamp, figures_series(found)
        return self._known
