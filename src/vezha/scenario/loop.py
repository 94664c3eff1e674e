"""Plays scenarios that have `every`: the server looks, writes down how it stood, tells nobody.

Slots count whole periods since 1970, so whichever process comes first plays and every other one
finds the slot taken; a slot that was missed while the server stood is not made up for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from vezha.alerting.ask import Ask
from vezha.ledger import Ledger
from vezha.scenario import limits
from vezha.scenario.book import ScenarioBook
from vezha.scenario.file import Scenario
from vezha.scenario.look import look_all
from vezha.scenario.round import keep_play
from vezha.world import World

_log = structlog.get_logger("scenario")


def slot_of(scenario: Scenario, now_ms: int) -> int:
    """The period in which an instant lies."""
    return now_ms // scenario.every_ms


class Player:
    """Plays what is due. `step` does all the work and may be called at any time."""

    def __init__(
        self, book: ScenarioBook, ledger: Ledger, ask: Ask, world: World,
        nudge: Callable[[str], None] = lambda _topic: None,
    ) -> None:  # fmt: skip
        self._book, self._ledger, self._ask = book, ledger, ask
        self._world, self._nudge = world, nudge
        self._played: dict[str, int] = {}

    def step(self) -> int:
        """Play each scenario that is due; how many were."""
        now_ms = int(self._world.clock.now() * 1000)
        count = 0
        for scenario in self._book.shelf().scenarios.values():
            if not scenario.every_ms:
                continue
            slot = slot_of(scenario, now_ms)
            if self._played.get(scenario.name, -1) >= slot:
                continue
            looks = look_all(scenario, self._ask, now_ms)
            with self._ledger.begin() as connection:
                number = keep_play(connection, scenario, looks, now_ms, slot=slot)
            self._played[scenario.name] = slot
            count += number is not None
        if count:
            self._nudge("scenarios")
        return count

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.step)
            except SQLAlchemyError as fault:
                _log.error("the ledger is not reachable; trying again", error=str(fault))
            await asyncio.sleep(limits.PLAY_EVERY_S)
