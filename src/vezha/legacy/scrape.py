"""Scraping: asking exporters for their text, as Prometheus does.

`scrape.yml` in the state folder is Prometheus's own `scrape_configs` with static targets. Each
target has a phase of its own within its interval, so that a thousand of them are no burst. Beside
the exporter's series each scrape gives `up`, `scrape_duration_seconds` and
`scrape_samples_scraped`; a series that is gone, and all of a target that does not answer, end
with a stale marker.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import structlog
import yaml

from vezha.legacy import exposition_proto
from vezha.legacy.batch import SampleBatch, batch_of, joined
from vezha.legacy.described import Described
from vezha.legacy.errors import BadBody, NotNow
from vezha.legacy.exposition import Exposition, Labeller
from vezha.legacy.exposition_proto import ProtoExposition
from vezha.legacy.feed import FeedClient
from vezha.legacy.limits import SCRAPE_BYTES_MAX, SCRAPE_TARGETS_MAX, SCRAPE_TIMEOUT_S
from vezha.legacy.series import SeriesTable
from vezha.legacy.started import StartedCounters
from vezha.model.columns import STALE_NAN
from vezha.model.labels import Labels, labels_of, metric
from vezha.model.metadata import MetricMetadata
from vezha.model.native import ends_series
from vezha.world import World

log = structlog.get_logger("vezha.scrape")

PROTOCOLS = {
    "PrometheusProto": exposition_proto.ACCEPT,
    "OpenMetricsText1.0.0": "application/openmetrics-text;version=1.0.0",
    "OpenMetricsText0.0.1": "application/openmetrics-text;version=0.0.1",
    "PrometheusText0.0.4": "text/plain;version=0.0.4",
}
"""Formats by the names that Prometheus's `scrape_protocols` gives them."""
_TEXTS = ("OpenMetricsText1.0.0", "PrometheusText0.0.4")
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?")


class ScrapeConfigError(Exception):
    """`scrape.yml` cannot be used: one sentence with the place and the fix."""


@dataclass(frozen=True, slots=True)
class Target:
    """One address to ask."""

    url: str
    labels: Labels
    interval_s: float
    timeout_s: float
    honor_labels: bool = False
    protocols: tuple[str, ...] = _TEXTS
    native: bool = False
    classic: bool = False

    @property
    def accept(self) -> str:
        """What is asked for, the first most."""
        asked = enumerate(self.protocols)
        return ",".join(f"{PROTOCOLS[name]};q={0.9 - at / 10:.1f}" for at, name in asked)


def duration_s(text: Any, where: str) -> float:
    """A duration as Prometheus writes it: `1m30s`. Raises ScrapeConfigError."""
    found = _DURATION.fullmatch(str(text))
    if not found or not any(found.groups()):
        raise ScrapeConfigError(f"{where}: {text!r} is no duration, such as 15s")
    hours, minutes, seconds, ms = (int(g or 0) for g in found.groups())
    return hours * 3600 + minutes * 60 + seconds + ms / 1000


_JOB_KEYS = {
    "job_name", "scrape_interval", "scrape_timeout", "metrics_path", "scheme", "params",
    "static_configs", "honor_labels", "scrape_protocols", "scrape_native_histograms",
    "always_scrape_classic_histograms",
}  # fmt: skip


def parse_scrape_config(text: str, where: str = "scrape.yml") -> list[Target]:
    """Targets of a configuration. Raises ScrapeConfigError; nothing is silently left out."""
    try:
        tree = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ScrapeConfigError(f"{where} is not YAML: {error}") from None
    if not isinstance(tree, dict) or set(tree) - {"global", "scrape_configs"}:
        raise ScrapeConfigError(f"{where}: wants `scrape_configs`, and perhaps `global`")
    defaults = tree.get("global") or {}
    unknown = set(defaults) - {"scrape_interval", "scrape_timeout"}
    if unknown:
        raise ScrapeConfigError(f"{where}: global: {sorted(unknown)[0]} is not supported here")
    targets: list[Target] = []
    for job in tree.get("scrape_configs") or []:
        targets += _job_targets(job, defaults, where)
    if len(targets) > SCRAPE_TARGETS_MAX:
        raise ScrapeConfigError(f"{where}: {len(targets)} targets, over {SCRAPE_TARGETS_MAX}")
    return targets


def _job_targets(job: Any, defaults: Mapping[str, Any], where: str) -> list[Target]:
    if not isinstance(job, dict) or not isinstance(job.get("job_name"), str):
        raise ScrapeConfigError(f"{where}: a scrape config lacks job_name")
    place = f"{where}: job {job['job_name']}"
    unknown = set(job) - _JOB_KEYS
    if unknown:
        raise ScrapeConfigError(f"{place}: {sorted(unknown)[0]} is not supported here; remove it")
    interval = job.get("scrape_interval", defaults.get("scrape_interval", "15s"))
    interval_s = duration_s(interval, place)
    timeout = job.get("scrape_timeout", defaults.get("scrape_timeout"))
    timeout_s = SCRAPE_TIMEOUT_S if timeout is None else duration_s(timeout, place)
    scheme = job.get("scheme", "http")
    if scheme not in ("http", "https"):
        raise ScrapeConfigError(f"{place}: scheme is http or https")
    native = bool(job.get("scrape_native_histograms", False))
    protocols = _protocols(job.get("scrape_protocols"), native, place)
    query = str(httpx.QueryParams(job.get("params") or {}))
    path = job.get("metrics_path", "/metrics") + (f"?{query}" if query else "")
    out = []
    for static in job.get("static_configs") or []:
        extra = static.get("labels") or {}
        for address in static.get("targets") or []:
            labels = {"job": job["job_name"], "instance": str(address)}
            labels |= {str(k): str(v) for k, v in extra.items()}
            out.append(
                Target(
                    f"{scheme}://{address}{path}",
                    labels_of(labels),
                    max(1.0, interval_s),
                    min(timeout_s, max(1.0, interval_s)),
                    bool(job.get("honor_labels", False)),
                    protocols,
                    native,
                    bool(job.get("always_scrape_classic_histograms", False)),
                )
            )
    return out


def _protocols(wanted: Any, native: bool, place: str) -> tuple[str, ...]:
    """Formats in the order in which they are wanted. Only protobuf has native histograms."""
    if wanted is None:
        return ("PrometheusProto", *_TEXTS) if native else _TEXTS
    known = isinstance(wanted, list) and wanted and all(name in PROTOCOLS for name in wanted)
    if not known or len(set(wanted)) != len(wanted):
        raise ScrapeConfigError(
            f"{place}: scrape_protocols is a list of some of {', '.join(PROTOCOLS)}, each once"
        )
    return tuple(wanted)


@dataclass(slots=True)
class _Scraper:
    """One target, its readers by format, and what it showed the last time."""

    target: Target
    reader: Exposition
    proto: ProtoExposition
    own: tuple[Labels, Labels, Labels]
    generation: int = 0
    shown: set[int] = field(default_factory=set)


class Scrapes:
    """All targets, each asked in its own time. One event loop."""

    def __init__(
        self,
        targets: list[Target],
        table: SeriesTable,
        feed: FeedClient,
        world: World,
        described: Described | None = None,
        started: StartedCounters | None = None,
    ) -> None:
        self._described = described
        self._started = started
        self._table = table
        self._feed = feed
        self._world = world
        self._scrapers = [
            _Scraper(
                target,
                Exposition(table, target.labels, target.honor_labels),
                ProtoExposition(
                    table,
                    Labeller(target.labels, target.honor_labels),
                    native=target.native,
                    classic=target.classic,
                ),
                (
                    _own("up", target),
                    _own("scrape_duration_seconds", target),
                    _own("scrape_samples_scraped", target),
                ),
            )
            for target in targets
        ]

    async def run(self) -> None:
        """For ever; cancelled at the end."""
        limits = httpx.Limits(max_connections=500, max_keepalive_connections=500)
        async with (
            httpx.AsyncClient(limits=limits, follow_redirects=False, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            for scraper in self._scrapers:
                group.create_task(self._keep(client, scraper))

    async def _keep(self, client: httpx.AsyncClient, scraper: _Scraper) -> None:
        interval_s = scraper.target.interval_s
        phase_s = zlib.crc32(scraper.target.url.encode()) % 1000 / 1000 * interval_s
        while True:
            now_s = self._world.clock.now()
            due_s = now_s - (now_s - phase_s) % interval_s + interval_s
            await asyncio.sleep(due_s - now_s)
            batch = await self._scrape(client, scraper, round(due_s * 1000))
            try:
                if self._started is not None:
                    batch = self._started.completed(batch)
                await self._feed.write(batch)
                if self._described is not None:
                    await self._described.keep(batch)
            except NotNow as error:
                if self._started is not None:
                    self._started.forget(batch)
                # as with any pull: what was not taken is a gap, and the next scrape is due soon
                log.warning("scrape_unwritten", target=scraper.target.url, why=str(error))

    async def _scrape(
        self, client: httpx.AsyncClient, scraper: _Scraper, now_ms: int
    ) -> SampleBatch:
        target = scraper.target
        began_s = self._world.clock.monotonic()
        up, batch = 0.0, joined([])
        try:
            body, content_type = await _fetch(client, target)
            if content_type.startswith(exposition_proto.CONTENT_TYPE):
                batch = scraper.proto.decode(body, now_ms)
            else:
                batch = scraper.reader.decode(body, now_ms, "openmetrics" in content_type)
            up = 1.0
        except (httpx.HTTPError, BadBody, TimeoutError) as error:
            log.info("scrape_failed", target=target.url, why=str(error) or type(error).__name__)
        took_s = self._world.clock.monotonic() - began_s
        if scraper.generation != self._table.generation:
            scraper.generation = self._table.generation
            scraper.shown = set()
        shown = set(np.unique(batch.numbers).tolist())
        gone = [
            number
            for number in sorted(scraper.shown - shown)
            if ends_series(self._table.labels(number))
        ]
        scraper.shown = shown
        numbers = [self._table.number(labels) for labels in scraper.own]
        figures = batch_of(numbers, [now_ms] * 3, [up, took_s, float(len(batch))])
        stale = batch_of(gone, [now_ms] * len(gone), [STALE_NAN] * len(gone))
        return joined([batch, figures, stale])

    def metadata(self) -> list[tuple[Labels, str, MetricMetadata]]:
        """What each target said of its metrics: (the target's labels, metric, metadata)."""
        return [
            (scraper.target.labels, name, about)
            for scraper in self._scrapers
            for name, about in {**scraper.reader.metadata, **scraper.proto.metadata}.items()
        ]


async def _fetch(client: httpx.AsyncClient, target: Target) -> tuple[bytes, str]:
    async with asyncio.timeout(target.timeout_s):
        headers = {
            "Accept": target.accept,
            "X-Prometheus-Scrape-Timeout-Seconds": f"{target.timeout_s:g}",
        }
        async with client.stream(
            "GET", target.url, headers=headers, timeout=target.timeout_s
        ) as answer:
            answer.raise_for_status()
            parts = []
            size = 0
            async for part in answer.aiter_bytes():
                size += len(part)
                if size > SCRAPE_BYTES_MAX:
                    raise BadBody(f"shows over {SCRAPE_BYTES_MAX} bytes")
                parts.append(part)
            return b"".join(parts), answer.headers.get("content-type", "")


def _own(name: str, target: Target) -> Labels:
    return metric(name, **dict(target.labels))
