"""The data contour: agent → wire → gateway → store → alerting → the ledger's rows.

This module is that sentence. The event loop's thread receives, writes the head and seals; a
thread commits; a thread evaluates rules over the same store; what came out of them goes back to
the loop, which is the only one that writes samples. Nothing here waits for people or their
queries: those live in the other contours.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import structlog
import uvloop
from sqlalchemy.exc import SQLAlchemyError

from vezha.alerting.loop import Alerting, AlertingSettings
from vezha.alerting.tripwire import message_wires
from vezha.gateway.feed import Feed
from vezha.gateway.listener import Gateway
from vezha.gateway.strain import REASONS
from vezha.ledger import Ledger
from vezha.model.columns import Values
from vezha.model.labels import Labels, labels_of, metric
from vezha.model.stages import FIRED
from vezha.query import Engine
from vezha.server.bus import Bus, socket_path
from vezha.server.changes import LedgerChanges
from vezha.server.contour import StopSignal
from vezha.server.errors import StateError
from vezha.server.identities import LedgerIdentities
from vezha.server.limits import (
    DIRECTIVES_LOOK_S,
    GC_THRESHOLDS,
    HOSTS_NUDGE_S,
    IDENTITIES_REFRESH_S,
    OPEN_FILES_WANTED,
    OWN_SERIES_INTERVAL_S,
    RELEASES_LOOK_S,
    SEEN_INTERVAL_S,
    TOLD_INTERVAL_S,
)
from vezha.server.retention import store_settings
from vezha.server.settings import Settings
from vezha.server.source import Reading
from vezha.store import Store, TooManySeries
from vezha.store.errors import StoreCorrupt, StoreInUse
from vezha.store.mirror import Mirror
from vezha.store.remote import RemoteSender
from vezha.store.remote_described import Described
from vezha.store.remote_queue import RemoteQueue
from vezha.wire import message as m
from vezha.wire.limits import TRIPWIRES_MAX
from vezha.world import World

log = structlog.get_logger("vezha.data")

OWN_INSTANCE = "vezha-server"
AGENT_FILE = "vezha-agent.pyz"
"""The agent that new hosts fetch from the channel, built at the start, in the folder `run`."""


def run(settings: Settings, ready: Callable[[], None], stop: StopSignal) -> int:
    """Serve until *stop*. Raises errors for the operator."""
    _raise_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, ready, stop))
    return 0


async def _serve(settings: Settings, ready: Callable[[], None], stop: StopSignal) -> None:
    world = World()
    ledger = Ledger.open(settings.ledger_url)
    store = _open_store(settings, world)
    try:
        identities = LedgerIdentities(ledger, world)
        contour = DataContour(settings, world, ledger, store, identities)
        await contour.start()
        ready()
        log.info("data_ready", port=contour.port, hosts=len(identities.hosts))
        await stop.wait_async()
        await contour.stop()
    finally:
        store.close()
        ledger.close()


class DataContour:
    """The objects of the data contour, joined."""

    def __init__(
        self,
        settings: Settings,
        world: World,
        ledger: Ledger,
        store: Store,
        identities: LedgerIdentities,
    ) -> None:
        self._settings = settings
        self._world = world
        self._ledger = ledger
        self._store = store
        self._described = Described(str(settings.state.store), world)
        self._mirror, self._sender = _remote(settings, world, store, self._described)
        self._identities = identities
        self._loop = asyncio.get_running_loop()
        self._bus = Bus(settings.state.run, "data")
        self._changes = LedgerChanges(ledger, world, str(settings.state.releases))
        authority, self._certificate, self._key = settings.tls_files
        self._gateway = Gateway(
            self._mirror or store,
            identities,
            world,
            ca_pem="" if settings.tls.cert and not settings.tls.ca else _read(world, authority),
            on_written=self._nudge_rules,
            on_crossing=self._crossed,
            agent_file=str(settings.state.run / AGENT_FILE),
            refusals=(TooManySeries,),
            changes=self._changes,
            root=self._changes.root,
        )
        self._gateway.desk.on_progress = lambda: self._bus.publish("progress")
        self._gateway.on_fenced = self._fenced
        self._engine = Engine(Reading.of(settings).joined(store, world))
        self._alerting = Alerting(
            self._engine,
            ledger,
            self._write_from_rules,
            world,
            settings.rule_folders,
            AlertingSettings(builtin=settings.rules.builtin, external_url=settings.public_url),
            notify_ops=lambda: self._bus.publish("alerts"),
        )
        stages = self._gateway.intake.stages
        self._alerting.on_fired = lambda seconds: stages.observe(FIRED, seconds)
        self._alerting.on_tripwires = self._tripwires_changed
        self._gateway.tripwires = self._tripwires_of
        self._feed = Feed(
            self._gateway.intake,
            socket_path(settings.state.run, "feed"),
            (TooManySeries,),
            on_written=self._nudge_rules,
            delete=store.delete,
        )
        self._rules_wake = threading.Event()
        self._rules_urgent = threading.Event()
        self._stopping = threading.Event()
        self._rules_thread = threading.Thread(target=self._evaluate, name="rules", daemon=True)
        self._tasks: list[asyncio.Task[None]] = []
        self._refresh_wanted = asyncio.Event()
        self._directives_wanted = asyncio.Event()
        self._hosts_nudge: asyncio.TimerHandle | None = None
        identities.on_hosts = self._hosts_changed
        self._tripwires_sent = 0
        self.port = 0

    # life --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Know the hosts, listen, evaluate. Raises OSError."""
        for host in self._identities.watched:
            self._gateway.fleet.row(host)
        self._loop.set_exception_handler(self._loop_trouble)
        listen = self._settings.channel.listen
        self.port = await self._gateway.start(listen.host, listen.port, self._tls())
        await self._feed.start()
        self._bus.subscribe(self._nudged)
        self._rules_thread.start()
        if self._sender is not None:
            self._sender.start()
        self._tasks = [
            asyncio.create_task(self._keep_identities()),
            asyncio.create_task(self._keep_told()),
            asyncio.create_task(self._keep_directives()),
            asyncio.create_task(self._keep_releases()),
            asyncio.create_task(self._tell_own()),
        ]
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    async def stop(self) -> None:
        """Send agents away, finish what came, stop evaluating."""
        self._stopping.set()
        self._rules_urgent.set()
        self._rules_wake.set()
        await asyncio.to_thread(self._rules_thread.join, 5.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._feed.stop()
        await self._gateway.stop()
        if self._sender is not None and self._mirror is not None:
            await asyncio.to_thread(self._sender.stop)
            self._mirror.queue.close()
        self._bus.close()

    def _loop_trouble(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A peer that does not speak TLS (a port scan, a wrong address) is counted, not told: it
        could fill the log. Everything else is ours and goes to the log whole."""
        error = context.get("exception")
        if isinstance(error, (ssl.SSLError, ConnectionError)) or "SSL handshake" in str(
            context.get("message")
        ):
            self._gateway.intake.counters.refuse("handshake")
            return
        loop.default_exception_handler(context)

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key)
        return context

    # rules -------------------------------------------------------------------------------------------

    def _nudge_rules(self) -> None:
        self._alerting.nudge()
        self._rules_wake.set()

    def _evaluate(self) -> None:
        """The rules' thread. A rule that fails is alerting's business; anything else is ours."""
        while not self._stopping.is_set():
            self._rules_wake.clear()
            self._rules_urgent.clear()
            if self._stopping.is_set():
                return
            try:
                self._alerting.tick()
            except SQLAlchemyError as error:
                log.error("rules_ledger_failed", error=str(error)[:300])
                self._stopping.wait(1.0)
            self._rules_wake.wait(self._alerting.wait_s())
            # a nudge wakes us early; what is due when, alerting knows; a crossing waits for nothing
            self._rules_urgent.wait(self._alerting.wait_s())

    # tripwires ---------------------------------------------------------------------------------------

    def _crossed(self, host: str, crossing: m.Crossing) -> None:
        """An agent tells of a threshold that it watches: evaluate that rule at once."""
        told = (crossing.tripwire, crossing.active, crossing.time_ms, crossing.value)
        if self._alerting.crossed(host, told, crossing.labels):
            self._rules_urgent.set()
            self._rules_wake.set()

    def _tripwires_of(self, host: str) -> m.Tripwires:
        wires = message_wires(self._alerting.tripwires, host)
        self._tripwires_sent += 1
        return m.Tripwires(self._tripwires_sent, wires[:TRIPWIRES_MAX])

    def _tripwires_changed(self) -> None:
        """Called on the rules' thread; the loop sends."""
        self._loop.call_soon_threadsafe(self._gateway.push_tripwires)

    def _write_from_rules(self, series: list[Labels], ts_ms: int, values: Values) -> None:
        """Called on the rules' thread; the loop writes."""
        self._loop.call_soon_threadsafe(self._write, series, ts_ms, values)

    def _write(self, series: list[Labels], ts_ms: int, values: Values) -> None:
        if series:
            sink = self._gateway.intake.sink
            refs = sink.resolve(series)
            sink.write(refs, np.full(len(refs), ts_ms, np.int64), values)
            self._gateway.intake.wrote()

    # who may connect, and what they tell -----------------------------------------------------------

    def _nudged(self, topic: str) -> None:
        if topic in ("agents", "hosts"):
            self._refresh_wanted.set()
        elif topic == "directives":
            self._directives_wanted.set()

    def _hosts_changed(self) -> None:
        """A host is new, or said what it is: the pages show it at once. On any thread."""
        self._loop.call_soon_threadsafe(self._nudge_hosts_soon)

    def _nudge_hosts_soon(self) -> None:
        # A whole fleet that enrols makes one nudge of many: reading 10,000 hosts has its price.
        if self._hosts_nudge is None:
            self._hosts_nudge = self._loop.call_later(HOSTS_NUDGE_S, self._nudge_hosts)

    def _nudge_hosts(self) -> None:
        self._hosts_nudge = None
        self._refresh_wanted.set()  # and `vezha_host_info` knows it
        if not self._stopping.is_set():
            self._bus.publish("hosts")

    async def _keep_identities(self) -> None:
        while True:
            try:
                async with asyncio.timeout(IDENTITIES_REFRESH_S):
                    await self._refresh_wanted.wait()
            except TimeoutError:
                pass
            self._refresh_wanted.clear()
            try:
                gone = await asyncio.to_thread(self._identities.refresh)
            except SQLAlchemyError as error:
                # those whom we know may go on; nobody new comes in until the ledger is back
                log.error("identities_unread", error=str(error)[:300])
                continue
            for agent_id in gone:
                self._gateway.drop_agent(agent_id)
            for host in set(self._gateway.fleet.rows) - self._identities.watched:
                self._gateway.fleet.forget(host)
            self._tell_hosts()

    def _tell_hosts(self) -> None:
        """`vezha_host_info`: the one series that carries a host's labels."""
        series = []
        for host, labels in self._identities.hosts.items():
            series.append(
                labels_of(
                    {**labels, "__name__": "vezha_host_info", "instance": host, "job": "node"}
                )
            )
        self._write(series, int(self._world.clock.now() * 1000), np.ones(len(series)))

    async def _keep_told(self) -> None:
        seen_s = 0.0
        while True:
            await asyncio.sleep(TOLD_INTERVAL_S)
            now_s = self._world.clock.monotonic()
            seen: Mapping[str, int] = {}
            if now_s - seen_s >= SEEN_INTERVAL_S:
                seen_s, seen = now_s, self._gateway.seen()
            try:
                await asyncio.to_thread(self._identities.write_told, seen)
                if await asyncio.to_thread(self._changes.write_states):
                    self._bus.publish("progress")
            except SQLAlchemyError as error:
                log.error("facts_unwritten", error=str(error)[:300])

    # change -----------------------------------------------------------------------------------------

    async def _keep_directives(self) -> None:
        """What hosts should run, from the ledger to the agents: each second, and when nudged."""
        while True:
            try:
                news = await asyncio.to_thread(self._changes.refresh)
                if news:
                    self._gateway.push_desired(news)
            except SQLAlchemyError as error:
                log.error("directives_unread", error=str(error)[:300])
            try:
                async with asyncio.timeout(DIRECTIVES_LOOK_S):
                    await self._directives_wanted.wait()
            except TimeoutError:
                pass
            self._directives_wanted.clear()

    def _fenced(self, host: str, old: str, new: str) -> None:
        self._loop.run_in_executor(None, self._changes.audit_fenced, host, old, new)

    async def _keep_releases(self) -> None:
        while True:
            await asyncio.to_thread(self._changes.keep_fresh)
            await asyncio.sleep(RELEASES_LOOK_S)

    # what this contour says of itself --------------------------------------------------------------

    async def _tell_own(self) -> None:
        while True:
            await asyncio.sleep(OWN_SERIES_INTERVAL_S)
            figures = self._own_figures()
            series = [
                metric(name, instance=OWN_INSTANCE, job="vezha", **labels)
                for name, labels in ((n, dict(ls)) for n, ls in figures)
            ]
            values = list(figures.values())
            for labels, value in self._gateway.intake.stages.series(
                instance=OWN_INSTANCE, job="vezha"
            ):
                series.append(labels)
                values.append(value)
            now_ms = int(self._world.clock.now() * 1000)
            self._write(series, now_ms, np.array(values, np.float64))

    def _own_figures(self) -> dict[tuple[str, Labels], float]:
        intake = self._gateway.intake
        counters = intake.counters
        usage = resource.getrusage(resource.RUSAGE_SELF)
        own: dict[tuple[str, Labels], float] = {
            ("vezha_gateway_connected_agents", ()): self._gateway.connected,
            ("vezha_gateway_frames_total", ()): counters.frames,
            ("vezha_gateway_samples_total", ()): counters.samples,
            ("vezha_gateway_received_bytes_total", ()): counters.frame_bytes,
            ("vezha_gateway_replays_total", ()): counters.replays,
            ("vezha_gateway_connects_total", ()): counters.connects,
            ("vezha_gateway_commits_total", ()): counters.commits,
            ("vezha_gateway_commit_seconds_total", ()): counters.commit_s,
            ("vezha_gateway_commit_failures_total", ()): counters.commit_failures,
            ("process_cpu_seconds_total", labels_of({"contour": "data"})): usage.ru_utime
            + usage.ru_stime,
        }
        own["vezha_gateway_fetched_bytes_total", ()] = self._gateway.desk.fetched_bytes
        own["vezha_gateway_progress_total", ()] = self._gateway.desk.progress_written
        for role, ends_s in self._changes.expiries_s.items():
            left_s = ends_s - self._world.clock.now()
            own["vezha_trust_expires_seconds", labels_of({"role": role})] = left_s
        slowed = self._gateway.slowed()
        for reason in REASONS:
            own["vezha_gateway_slowed", labels_of({"reason": reason})] = float(reason in slowed)
        for code, count in counters.refused.items():
            own["vezha_gateway_refused_total", labels_of({"code": code})] = count
        for name, value in self._store.stats().items():
            own[f"vezha_store_{name}", ()] = value
        if self._sender is not None and self._mirror is not None:
            own["vezha_remote_sent_samples_total", ()] = self._sender.sent_samples
            own["vezha_remote_refused_samples_total", ()] = self._sender.refused_samples
            own["vezha_remote_sent_exemplars_total", ()] = self._described.sent_exemplars
            own["vezha_remote_sent_metadata_total", ()] = self._described.sent_metadata
            own["vezha_remote_failures", ()] = self._sender.failures
            own["vezha_remote_waiting_bytes", ()] = self._mirror.queue.waiting_bytes
        return own


def _open_store(settings: Settings, world: World) -> Store:
    """The store for writing. Raises StateError."""
    try:
        return Store.open(str(settings.state.store), world, store_settings(settings.retention))
    except (StoreInUse, StoreCorrupt) as error:
        raise StateError(str(error)) from None


def _remote(
    settings: Settings, world: World, store: Store, described: Described
) -> tuple[Mirror | None, RemoteSender | None]:
    """The queue and the sender of a remote engine, where one is set."""
    if not settings.remote.write_url:
        return None, None
    folder = str(settings.state.store / "remote")
    queue = RemoteQueue(world.disk, folder, settings.remote.queue_bytes_max)
    headers = (
        {"Authorization": f"Bearer {settings.remote.token}"} if settings.remote.token else None
    )
    sender = RemoteSender(
        settings.remote.write_url, queue, store.labels, world, headers=headers, described=described
    )
    return Mirror(store, queue), sender


def _read(world: World, path: str) -> str:
    return world.disk.read(path).decode()


def _raise_open_files() -> None:
    """Each agent is an open file; ask for as many as we may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_WANTED)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
