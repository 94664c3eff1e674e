"""What the ops contour does beside telling people: onsets, blame, the diary, delivery's figures.

Each has its own slow rhythm and a thread of its own; a store that is slow to answer holds back
nothing but the next round of the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from vezha.delivery.figures import read_delivered, summarise
from vezha.diary.loop import Diarist
from vezha.incidents.blaming import Blamer
from vezha.incidents.cause import caused_by_people
from vezha.incidents.onset import Onsets
from vezha.ledger import Ledger
from vezha.legacy.batch import batch_of
from vezha.legacy.doors import Doors
from vezha.legacy.errors import BadBody, NotNow
from vezha.model.labels import Labels, metric
from vezha.server.limits import (
    BLAME_EVERY_S,
    DIARY_EVERY_S,
    FIGURES_DAYS,
    FIGURES_EVERY_S,
    ONSET_EVERY_S,
)
from vezha.world import World

_log = structlog.get_logger("chronicle")
_DAY_MS = 86_400_000


class Chronicle:
    """Runs all of it until cancelled; `on_change` is called when it changed incidents."""

    def __init__(
        self,
        ledger: Ledger,
        world: World,
        doors: Doors,
        blamer: Blamer,
        diarist: Diarist,
        onsets: Onsets,
        on_change: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._world = world
        self._doors = doors
        self._blamer = blamer
        self._diarist = diarist
        self._onsets = onsets
        self._on_change = on_change

    async def run(self) -> None:
        """For ever; cancelled at the end."""
        await asyncio.gather(
            self._every(ONSET_EVERY_S, self._date_back),
            self._every(BLAME_EVERY_S, self._blame),
            self._every(DIARY_EVERY_S, self._write_diary),
            self._every(FIGURES_EVERY_S, self._tell_figures),
        )

    async def _every(self, pause_s: float, act: Callable[[], object]) -> None:
        while True:
            try:
                samples = await asyncio.to_thread(act)
                if isinstance(samples, list) and samples:
                    await self._write(samples)
            except (SQLAlchemyError, NotNow, BadBody) as fault:
                _log.warning("chronicle_waits", what=act.__name__, error=str(fault)[:200])
            except Exception:
                _log.exception("chronicle_broke", what=act.__name__)
            await asyncio.sleep(pause_s)

    def _date_back(self) -> None:
        if self._onsets.step():
            self._on_change()

    def _blame(self) -> None:
        if self._blamer.step():
            self._on_change()

    def _write_diary(self) -> None:
        self._diarist.step()

    def _tell_figures(self) -> list[tuple[Labels, float]]:
        return self.figures(int(self._world.clock.now() * 1000))

    async def _write(self, samples: list[tuple[Labels, float]]) -> None:
        now_ms = int(self._world.clock.now() * 1000)
        numbers = [self._doors.table.number(series) for series, _ in samples]
        values = [value for _, value in samples]
        await self._doors.feed.write(batch_of(numbers, [now_ms] * len(numbers), values))

    def figures(self, now_ms: int) -> list[tuple[Labels, float]]:
        """The figures of the last FIGURES_DAYS by kind, as samples."""
        with self._ledger.read() as connection:
            caused = caused_by_people(connection)
            since_ms = now_ms - FIGURES_DAYS * _DAY_MS
            found = read_delivered(connection, since_ms, now_ms + 1, caused)
        samples: list[tuple[Labels, float]] = []
        for row in summarise(found, ("kind",), FIGURES_DAYS):
            for name, value in (
                ("vezha_delivery_changes", float(row.changes)),
                ("vezha_delivery_lead_time_seconds", row.lead_time_s),
                ("vezha_delivery_failed_ratio", row.failed_ratio),
                ("vezha_delivery_failed_recovery_seconds", row.failed_recovery_s),
                ("vezha_delivery_rework_ratio", row.rework_ratio),
            ):
                if value is not None:
                    own = metric(name, kind=row.kind, instance="vezha-server", job="vezha")
                    samples.append((own, value))
        return samples
