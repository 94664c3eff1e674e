"""The web contour: pages, the HTTP API, the live stream.

Opens the ledger and a read-only view of the store, joins them with the rooms that bring
routes, and serves. Plain HTTP is for loopback and for a proxy in front; on any other address
without a certificate of its own it serves TLS with the channel's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette

from vezha import ui
from vezha.access.certificate import check_given
from vezha.access.errors import CertificateError
from vezha.alerting.ask import ask_of
from vezha.alerting.book import RuleBook
from vezha.api import (
    alertmanager,
    alertmanager_silences,
    calendars,
    causes,
    changes,
    checklist_runs,
    checklists,
    checks,
    contacts,
    dependencies,
    described,
    diary,
    drift,
    escalation_policies,
    freezes,
    handovers,
    heartbeats,
    incidents,
    load,
    marks,
    oncall,
    outbox,
    prometheus,
    receivers,
    releases,
    reports,
    rule_files,
    rules,
    rules_rehearsal,
    scenarios,
    signals,
    teams,
    unusual,
)
from vezha.api.app import OWN_ROUTES, make_app
from vezha.api.fleet import Fleet
from vezha.api.limits import LIVE_MESSAGE_BYTES_MAX, QUERY_WORKERS
from vezha.api.live import Hub
from vezha.api.metrics import ApiMetrics
from vezha.api.querying import Querying
from vezha.api.route import Route
from vezha.api.services import Services
from vezha.api.workers import Workers
from vezha.forecast.book import Book
from vezha.incidents.checklists.book import ChecklistBook
from vezha.ledger import Ledger
from vezha.legacy.described import Described
from vezha.legacy.doors import Doors
from vezha.model.columns import SampleSource
from vezha.query.engine import Engine
from vezha.scenario.book import ScenarioBook
from vezha.scenario.loop import Player
from vezha.server import doors
from vezha.server.bus import Bus, socket_path
from vezha.server.checking import CheckBook, keep_checking
from vezha.server.contour import StopSignal
from vezha.server.door import agent_door, is_loopback
from vezha.server.errors import SettingError
from vezha.server.forecasting import FOLDER
from vezha.server.protocol import Protocol
from vezha.server.retention import retention_rows
from vezha.server.scraping import keep_scraping
from vezha.server.settings import Settings
from vezha.server.source import Reading
from vezha.server.worker_process import start_query
from vezha.world import World

ROUTES: tuple[Route, ...] = (
    *OWN_ROUTES,
    *incidents.ROUTES,
    *checklists.ROUTES,
    *checklist_runs.ROUTES,
    *causes.ROUTES,
    *reports.ROUTES,
    *diary.ROUTES,
    *dependencies.ROUTES,
    *rules.ROUTES,
    *rule_files.ROUTES,
    *scenarios.ROUTES,
    *signals.ROUTES,
    *receivers.ROUTES,
    *outbox.ROUTES,
    *oncall.ROUTES,
    *escalation_policies.ROUTES,
    *teams.ROUTES,
    *handovers.ROUTES,
    *calendars.ROUTES,
    *contacts.ROUTES,
    *heartbeats.ROUTES,
    *checks.ROUTES,
    *load.ROUTES,
    *unusual.ROUTES,
    *marks.ROUTES,
    *alertmanager.ROUTES,
    *alertmanager_silences.ROUTES,
    *changes.ROUTES,
    *drift.ROUTES,
    *freezes.ROUTES,
    *releases.ROUTES,
)
"""The API's whole table, but for other people's protocols, which need the data contour's feed."""
DESCRIBED_METRICS = {
    "vezha_exemplars": "Exemplars kept.",
    "vezha_exemplar_series": "Series that have some.",
    "vezha_refused_exemplars": "Exemplars over a limit since the start.",
    "vezha_described_metrics": "Metrics that metadata are kept of.",
    "vezha_refused_metadata": "Metadata over a limit since the start.",
    "vezha_described_failures": "Times that either could not be written.",
}
ZEROS_METRIC = "vezha_ingest_zeros_total"
ZEROS_ABOUT = "Zeros stored where counters said that they began (`ingest.zero_at_start`)."
STOP_GRACE_S = 4
"""How long open requests and streams may still take when asked to stop."""
HEAD_BYTES_MAX = 64 * 1024
"""A request's line and headers; Grafana's GET queries are long."""
SWITCH_INTERVAL_S = 0.001
"""How long a thread that computes may keep others from the interpreter: a light query, or a tick
of the live stream, delays an answer by this and not by five times as much."""
BACKLOG = 512
"""Connections that the kernel keeps waiting for us."""


@dataclass(slots=True)
class Parts:
    """What the web contour joins; tests give twins."""

    ledger: Ledger
    source: SampleSource
    world: World
    publish: Callable[[str], None]
    doors: Doors | None = None
    checks: CheckBook = field(default_factory=CheckBook)
    query_workers: int = 0
    """Processes for heavy queries; 0 evaluates everything in this one."""


def run(settings: Settings, ready: Callable[[], None], stop: StopSignal) -> int:
    """Serve until *stop*. Called by the supervisor's child."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    uvloop.run(_serve(settings, ready, stop))
    return 0


async def _serve(settings: Settings, ready: Callable[[], None], stop: StopSignal) -> None:
    ledger = Ledger.open(settings.ledger_url)
    reading, world = Reading.of(settings), World()
    reader = reading.reader()
    source = reading.joined(reader, world)
    bus = Bus(settings.state.run, "web")
    try:
        await asyncio.to_thread(ledger.migrate)
        beside = Described(str(settings.state.store), settings.retention.samples_s, world)
        feed = socket_path(settings.state.run, "feed")
        feeding = Doors(feed, world, beside, settings.ingest.zero_at_start)
        parts = Parts(ledger, source, world, bus.publish, feeding, query_workers=QUERY_WORKERS)
        app, services = create_app(settings, parts)
        assert services.hub is not None
        bus.subscribe(services.hub.nudge)
        server = _Server(uvicorn_config(settings, app), ready)

        async def end() -> None:
            await stop.wait_async()
            server.should_exit = True

        ending = asyncio.create_task(end())
        scraping = asyncio.create_task(
            keep_scraping(settings.state.path / "scrape.yml", feeding, world)
        )
        checking = asyncio.create_task(
            keep_checking(settings.state.path / "checks.yml", feeding, world, parts.checks, ledger)
        )
        await server.serve()
        ending.cancel()
        scraping.cancel()
        checking.cancel()
        await asyncio.gather(scraping, checking, return_exceptions=True)
        feeding.close()
    finally:
        bus.close()
        reader.close()
        ledger.close()


class _Server(uvicorn.Server):
    """Says when it serves, and leaves signals to the supervisor's child."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._ready()


def _described(feeding: Doors | None) -> dict[str, Any]:
    if feeding is None or feeding.described is None:
        return {}
    stored = feeding.described
    return {described.EXEMPLARS: stored.exemplars, described.METADATA: stored.metadata}


def _show_described(metrics: ApiMetrics, stored: Described) -> None:
    for name, about in DESCRIBED_METRICS.items():
        key = name.removeprefix("vezha_")
        metrics.show(name, about, partial(_figure, stored, key))


def _figure(stored: Described, key: str) -> float:
    return stored.stats()[key]


def create_app(settings: Settings, parts: Parts) -> tuple[Starlette, Services]:
    """The whole web contour as one application, and the services behind it."""
    reading = Reading.of(settings)
    engine = Engine(parts.source, reading.limits, reading.options)
    services = Services(
        parts.ledger,
        parts.world,
        door=agent_door(settings, parts.world),
        extra={
            rules.BOOK: RuleBook(settings.rule_folders, settings.rules.builtin),
            rule_files.FOLDER: str(settings.state.rules),
            rules_rehearsal.RELEASES: str(settings.state.releases),
            dependencies.FILE: str(settings.state.dependencies),
            checklists.BOOK: ChecklistBook(*settings.checklist_folders),
            receivers.FILE: settings.notify_file,
            receivers.KEY: settings.notify_key,
            reports.HOOKS: reports.HookSecrets(
                settings.hooks.github_secret, settings.hooks.gitlab_token
            ),
            diary.TIME_ZONE: settings.diary_time_zone,
            diary.PUBLIC_URL: settings.public_url,
            scenarios.BOOK: ScenarioBook(str(settings.state.scenarios)),
            load.SHELF: load.Shelf(
                Book(parts.world, str(settings.state.path / FOLDER), readonly=True)
            ),
            heartbeats.HEARTBEATS: lambda: parts.checks.heartbeats,
            **_described(parts.doors),
            prometheus.RETENTION: retention_rows(settings.retention),
            prometheus.BEGAN_S: parts.world.clock.now(),
            checks.CHECKS: lambda: parts.checks.checks,
            alertmanager.BEGAN: int(parts.world.clock.now() * 1000),
        },
        session_idle_s=settings.web.session_lifetime_s,
    )
    routes = ROUTES
    if parts.doors is not None:
        services.extra["doors"] = parts.doors
        routes = (*ROUTES, *doors.ROUTES)
    workers = None
    if parts.query_workers:
        workers = Workers(start_query, parts.world, parts.query_workers, reading.message())
    querying = Querying(
        engine, parts.source, parts.world, services.metrics,
        timeout_s=settings.query.timeout_s, workers=workers, slow_s=settings.query.slow_s,
        remembered=reading.remembered(engine, parts.source),
    )  # fmt: skip
    services.querying = querying
    if parts.doors is not None and parts.doors.described is not None:
        _show_described(services.metrics, parts.doors.described)
    if parts.doors is not None:
        started = parts.doors.started
        services.metrics.show(ZEROS_METRIC, ZEROS_ABOUT, lambda: float(started.zeros))
    services.fleet = Fleet(parts.ledger, parts.world, querying.vector, querying.recent)
    services.hub = Hub(
        services.fleet,
        engine,
        parts.world,
        services.metrics,
        lambda: incidents.open_incidents(parts.ledger, signals.scores_of(services)),
    )
    lifespan = _lifespan(services, parts.publish)
    app = make_app(services, routes, pages=ui.routes(), lifespan=lifespan)
    return app, services


def _lifespan(
    services: Services, publish: Callable[[str], None]
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        assert services.hub is not None
        assert services.querying is not None
        hub, loop = services.hub, asyncio.get_running_loop()

        def nudge(topic: str) -> None:
            # Handlers run on threads; the bus takes any, the hub wants its loop's.
            publish(topic)
            loop.call_soon_threadsafe(hub.nudge, topic)

        services.nudge = nudge
        ticking = asyncio.create_task(hub.run())
        player = Player(
            services.extra[scenarios.BOOK],
            services.ledger,
            ask_of(services.querying.engine),
            services.world,
            nudge,
        )
        playing = asyncio.create_task(player.run())
        try:
            yield
        finally:
            ticking.cancel()
            playing.cancel()
            await asyncio.gather(ticking, playing, return_exceptions=True)
            services.querying.close()

    return lifespan


def uvicorn_config(settings: Settings, app: Starlette) -> uvicorn.Config:
    """How uvicorn serves *app*. Raises `SettingError` for a certificate that cannot be used."""
    certificate, key = tls_files(settings)
    return uvicorn.Config(
        app,
        host=settings.web.listen.host,
        port=settings.web.listen.port,
        ssl_certfile=certificate or None,
        ssl_keyfile=key or None,
        proxy_headers=bool(settings.web.trusted_proxies),
        forwarded_allow_ips=list(settings.web.trusted_proxies),
        server_header=False,
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        http=Protocol,
        ws="websockets-sansio",
        ws_max_size=LIVE_MESSAGE_BYTES_MAX,
        timeout_graceful_shutdown=STOP_GRACE_S,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
    )


def tls_files(settings: Settings) -> tuple[str, str]:
    """Certificate and key to serve HTTPS with, or two empty strings for plain HTTP.

    Plain HTTP is for loopback, and for a proxy that the settings trust or name (`public_url`).
    """
    web = settings.web
    if bool(web.tls_cert) != bool(web.tls_key):
        raise SettingError("web.tls_cert and web.tls_key go together: set both or neither")
    if web.tls_cert:
        try:
            check_given(World(), web.tls_cert, web.tls_key)
        except CertificateError as error:
            raise SettingError(f"web.tls_cert: {error}") from error
        return web.tls_cert, web.tls_key
    if is_loopback(web.listen.host) or web.trusted_proxies or web.public_url:
        return "", ""
    _, certificate, key = settings.tls_files
    return certificate, key
