"""The ops contour: transitions → incidents → messages.

Nudged by the bus and looking by itself each second; everything it does is in the ledger, so it
can be killed at any instant and goes on where it was.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from vezha.alerting.book import RuleBook
from vezha.diary.loop import Diarist
from vezha.incidents.blaming import Blamer
from vezha.incidents.loop import Desk
from vezha.incidents.oncall.escalation import Escalator
from vezha.incidents.oncall.handover import HandoverClerk
from vezha.incidents.onset import Onsets
from vezha.ledger import Ledger
from vezha.legacy.doors import Doors
from vezha.model.stages import DISPATCHED, GATHERED
from vezha.notify.loop import Notifier
from vezha.notify.vault import Vault
from vezha.server.asking import Asking
from vezha.server.bus import Bus, socket_path
from vezha.server.chronicle import Chronicle
from vezha.server.contour import StopSignal
from vezha.server.deadman import Deadman
from vezha.server.delivering import Delivering
from vezha.server.desk_series import DeskSeries
from vezha.server.forecasting import keep_forecasting
from vezha.server.limits import HANDOVER_EVERY_S
from vezha.server.posting import poster
from vezha.server.settings import Settings
from vezha.world import World

_LOOK_EVERY_S = 1.0
_WAKING = ("alerts", "incidents", "outbox")
"""Topics after which there may be something to do at once."""
_log = structlog.get_logger("ops")


def run(settings: Settings, ready: Callable[[], None], stop: StopSignal) -> int:
    """Serve until *stop*; the exit code. Raises OperatorError of the ledger."""
    ledger = Ledger.open(settings.ledger_url)
    ledger.migrate()
    try:
        asyncio.run(_serve(settings, ledger, World(), ready, stop))
    finally:
        ledger.close()
    return 0


async def _serve(
    settings: Settings, ledger: Ledger, world: World, ready: Callable[[], None], stop: StopSignal
) -> None:
    bus = Bus(settings.state.run, "ops")
    wake = asyncio.Event()
    bus.subscribe(lambda topic: wake.set() if topic in _WAKING else None)
    desk = Desk(ledger, world, str(settings.state.dependencies))
    notifier = Notifier(
        ledger, world, settings.notify_file, os.environ, settings.public_url, desk,
        Vault(settings.notify_key),
    )  # fmt: skip
    escalator, clerk = Escalator(ledger, world), HandoverClerk(ledger, world)
    loop = asyncio.get_running_loop()
    notifier.on_sent = lambda: _publish(loop, bus, wake)

    def wake_up() -> None:
        loop.call_soon_threadsafe(wake.set)

    stop.on_set(wake_up)
    doors = Doors(socket_path(settings.state.run, "feed"), world)
    book = RuleBook(settings.rule_folders, settings.rules.builtin)
    deadman = Deadman(settings.deadman, ledger, book, doors, notifier.names, world)
    desk_series = DeskSeries(ledger, doors, world, lambda: list(notifier.plan.receivers))
    stages = desk_series.stages
    desk.on_taken = lambda seconds: stages.observe(GATHERED, seconds)
    notifier.on_dispatched = lambda seconds: stages.observe(DISPATCHED, seconds)
    asking = Asking(settings)
    chronicle = Chronicle(
        ledger,
        world,
        doors,
        Blamer(ledger, world, asking.range),
        Diarist(
            ledger,
            world,
            asking.instant,
            settings.diary_time_zone,
            poster(settings.diary.receivers, notifier.find, settings.public_url, world),
        ),
        Onsets(ledger, world, book, asking.range),
        lambda: _publish(loop, bus, wake),
    )
    delivering = Delivering(settings, ledger, asking.engine, doors, bus, world)
    beside: list[asyncio.Task[None]] = []
    try:
        await notifier.start()
        ready()
        beside = [
            asyncio.create_task(one.run()) for one in (deadman, desk_series, chronicle, delivering)
        ]
        beside.append(asyncio.create_task(keep_forecasting(settings, world)))
        hand_over_s = 0.0
        while not stop.is_set():
            wake.clear()
            try:
                if await asyncio.to_thread(desk.step):
                    bus.publish("incidents")
                if await asyncio.to_thread(escalator.step):
                    bus.publish("incidents")
                await notifier.step()
                # last, and seldom: nothing that must be told at once waits for it
                if world.clock.monotonic() >= hand_over_s:
                    hand_over_s = world.clock.monotonic() + HANDOVER_EVERY_S
                    if await asyncio.to_thread(clerk.step):
                        wake.set()
            except SQLAlchemyError as fault:
                _log.error("the ledger is not reachable; trying again", error=str(fault))
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await wake.wait()
            except TimeoutError:
                continue
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        doors.close()
        asking.close()
        await notifier.close()
        bus.close()


def _publish(loop: asyncio.AbstractEventLoop, bus: Bus, wake: asyncio.Event) -> None:
    """Something was sent or pressed: pages may look, and we look again (from any thread)."""
    bus.publish("incidents")
    if not loop.is_closed():
        loop.call_soon_threadsafe(wake.set)
