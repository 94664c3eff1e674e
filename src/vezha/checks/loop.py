"""Runs every target in its own time, and hands what it found to a sink."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from vezha.checks.check import Check
from vezha.checks.limits import PLUGINS_IN_FLIGHT_MAX, PROBES_IN_FLIGHT_MAX
from vezha.checks.probe import run_probe
from vezha.checks.state import TargetState, after
from vezha.model.labels import Labels
from vezha.world import World

Tell = Callable[[str, str, str, str], None]
"""Told of a change: `check_up` or `check_down`, the check, the target, why."""


class Sink(Protocol):
    """Where samples go."""

    async def write(
        self, values: Mapping[Labels, float], gone: Iterable[Labels], ts_ms: int
    ) -> None:
        """Store *values*, and end the series in *gone*, at *ts_ms*. Loses rather than raises."""
        ...


class Checks:
    """All checks of one file. One event loop."""

    def __init__(
        self,
        checks: list[Check],
        sink: Sink,
        world: World,
        tell: Tell,
        probes_max: int = PROBES_IN_FLIGHT_MAX,
        plugins_max: int = PLUGINS_IN_FLIGHT_MAX,
    ) -> None:
        self._checks = checks
        self._sink = sink
        self._world = world
        self._tell = tell
        self._any = asyncio.Semaphore(probes_max)
        self._plugins = asyncio.Semaphore(plugins_max)
        self.states = {(c.name, t): TargetState() for c in checks for t in c.targets}

    async def run(self, before: Checks | None = None) -> None:
        """For ever; cancelled at the end. What *before* knew of the same targets goes on, and
        series of targets that are no more end."""
        if before is not None:
            await self._carry(before)
        tasks = [
            asyncio.ensure_future(self._keep(check, target))
            for check in self._checks
            for target in check.targets
        ]
        try:
            # none ends by itself; the first that breaks breaks all, and is seen
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _carry(self, before: Checks) -> None:
        gone: set[Labels] = set()
        for key, state in before.states.items():
            if key in self.states:
                self.states[key] = state
            else:
                gone |= state.shown
        if gone:
            await self._sink.write({}, gone, int(self._world.clock.now() * 1000))

    async def _keep(self, check: Check, target: str) -> None:
        clock = self._world.clock
        phase_s = zlib.crc32(f"{check.name} {target}".encode()) % 1000 / 1000 * check.interval_s
        while True:
            now_s = clock.now()
            due_s = now_s - (now_s - phase_s) % check.interval_s + check.interval_s
            await asyncio.sleep(due_s - now_s)
            await self.run_once(check, target)

    async def run_once(self, check: Check, target: str) -> None:
        """One probe of one target, stored with the time at which it ended."""
        async with self._plugins if check.kind == "plugin" else self._any:
            outcome = await run_probe(check.probe, target, check.timeout_s, self._world)
        told = after(self.states[check.name, target], check, target, outcome)
        if told.changed:
            word = "check_up" if outcome.success else "check_down"
            self._tell(word, check.name, target, outcome.why)
        await self._sink.write(told.values, told.gone, int(self._world.clock.now() * 1000))
