"""Delivery in the ops contour: the loop in a thread of its own, its nudges, its series.

Nudged by `changes` (people) and `progress` (agents), and looking by itself each second. A store
that is slow to answer delays a rollout's next step, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from vezha.delivery.change import Kind
from vezha.delivery.drift import read_drift
from vezha.delivery.engine_signals import EngineSignals
from vezha.delivery.loop import Delivery
from vezha.delivery.outside import Webhooks
from vezha.ledger import Ledger
from vezha.ledger.tables import attempt, change, rollout
from vezha.legacy.batch import batch_of
from vezha.legacy.doors import Doors
from vezha.legacy.errors import BadBody, NotNow
from vezha.model.labels import Labels, metric
from vezha.query.engine import Engine
from vezha.server.bus import Bus
from vezha.server.limits import DELIVERY_LOOK_EVERY_S, DELIVERY_SERIES_EVERY_S
from vezha.server.metadata import MetadataGuard
from vezha.server.rule_files import RuleFiles
from vezha.server.settings import Settings
from vezha.trust.folder import ReleaseFolder
from vezha.world import World

_log = structlog.get_logger("delivery")
_WAKING = ("changes", "progress")
_OPEN = ("running", "held", "reverting")
_BUSY = ("waiting", "offered", "downloaded", "staged", "started", "reverting")


class Delivering:
    """Runs the delivery loop until cancelled."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        engine: Engine,
        doors: Doors,
        bus: Bus,
        world: World,
    ) -> None:
        self._ledger = ledger
        self._doors = doors
        self._bus = bus
        self._world = world
        self._wake = asyncio.Event()
        self._webhooks = Webhooks(secret=settings.hooks.gate_secret, clock=world.clock)
        folder = ReleaseFolder(world, str(settings.state.releases))
        self._loop = Delivery(
            ledger,
            world,
            EngineSignals(engine),
            rules=RuleFiles(settings.state.delivered, folder, ledger, world),
            outside=self._webhooks,
            metadata=MetadataGuard(folder, world).trouble,
            on_directives=lambda: bus.publish("directives"),
        )
        bus.subscribe(lambda topic: self._wake.set() if topic in _WAKING else None)

    async def run(self) -> None:
        """For ever; cancelled at the end."""
        telling = asyncio.create_task(self._keep_telling())
        try:
            while True:
                self._wake.clear()
                try:
                    if await asyncio.to_thread(self._loop.step):
                        self._bus.publish("changes")
                except SQLAlchemyError as fault:
                    _log.error("delivery_waits", error=str(fault)[:200])
                except Exception:
                    # our own mistake in one rollout must not take the whole contour with it
                    _log.exception("delivery_broke")
                try:
                    async with asyncio.timeout(DELIVERY_LOOK_EVERY_S):
                        await self._wake.wait()
                except TimeoutError:
                    continue
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            self._webhooks.close()

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(DELIVERY_SERIES_EVERY_S)
            try:
                await self._write(await asyncio.to_thread(self.series))
            except (SQLAlchemyError, NotNow, BadBody) as fault:
                _log.warning("series of delivery are left out", why=str(fault)[:200])

    async def _write(self, samples: list[tuple[Labels, float]]) -> None:
        now_ms = int(self._world.clock.now() * 1000)
        numbers = [self._doors.table.number(labels) for labels, _ in samples]
        values = [value for _, value in samples]
        await self._doors.feed.write(batch_of(numbers, [now_ms] * len(numbers), values))

    def series(self) -> list[tuple[Labels, float]]:
        """Rollouts by state, hosts of open rollouts by state, how long each has been held."""
        return delivery_series(self._ledger, int(self._world.clock.now() * 1000))


def delivery_series(ledger: Ledger, now_ms: int) -> list[tuple[Labels, float]]:
    """The samples of delivery as of now."""
    with ledger.read() as connection:
        rollouts = connection.execute(
            select(rollout.c.id, rollout.c.state, rollout.c.held_ms, rollout.c.pace, change.c.kind,
                   change.c.id.label("change_id"))
            .join(change, change.c.id == rollout.c.change_id)
            .where(rollout.c.state.in_(_OPEN))
        ).all()  # fmt: skip
        hosts = connection.execute(
            select(attempt.c.state, func.count().label("n"))
            .where(attempt.c.rollout_id.in_([r.id for r in rollouts]))
            .group_by(attempt.c.state)
        ).all()
        reverted = connection.execute(
            select(func.count()).where(rollout.c.state == "reverted")
        ).scalar_one()
        drifts = Counter(d.kind for d in read_drift(connection))

    def own(name: str, **labels: str) -> Labels:
        return metric(name, instance="vezha-server", job="vezha", **labels)

    samples = [
        (
            own("vezha_delivery_rollouts", state=state),
            float(sum(r.state == state for r in rollouts)),
        )
        for state in _OPEN
    ]
    counts = {r.state: r.n for r in hosts}
    samples += [(own("vezha_delivery_hosts", state=s), float(counts.get(s, 0))) for s in _BUSY]
    samples.append((own("vezha_delivery_reverted_total"), float(reverted)))
    samples += [
        (own("vezha_delivery_drifted_hosts", kind=kind.value), float(drifts[kind]))
        for kind in (Kind.AGENT, Kind.CONFIG)
    ]
    held = [r for r in rollouts if r.held_ms is not None]
    longest = max((now_ms - r.held_ms for r in held), default=0)
    samples.append((own("vezha_delivery_held_seconds"), longest / 1000))
    for row in rollouts:
        labels = {"change": str(row.change_id), "kind": row.kind}
        if row.pace is not None:
            samples.append((own("vezha_delivery_pace", **labels), float(row.pace)))
    return samples
