"""Scraping a real HTTP server: what it shows, what ends, what a bad configuration says."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from vezha.legacy.batch import SampleBatch
from vezha.legacy.feed import FeedClient
from vezha.legacy.scrape import ScrapeConfigError, Scrapes, Target, parse_scrape_config
from vezha.legacy.series import SeriesTable
from vezha.model.columns import is_stale
from vezha.model.labels import labels_of
from vezha.world import World

GOOD = """
global: {scrape_interval: 5s}
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["127.0.0.1:9100", "db-1:9100"]
        labels: {site: kyiv}
  - job_name: slow
    scrape_interval: 1m30s
    scheme: https
    metrics_path: /probe
    params: {module: [http_2xx]}
    honor_labels: true
    static_configs: [{targets: ["x:1"]}]
"""


def test_the_configuration() -> None:
    first, _, third = parse_scrape_config(GOOD)
    assert first == Target(
        "http://127.0.0.1:9100/metrics",
        labels_of({"instance": "127.0.0.1:9100", "job": "node", "site": "kyiv"}),
        5.0,
        5.0,
    )
    assert (third.url, third.interval_s, third.honor_labels) == (
        "https://x:1/probe?module=http_2xx",
        90.0,
        True,
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x: 1", "scrape_configs"),
        ("scrape_configs: [{}]", "job_name"),
        ("scrape_configs: [{job_name: a, relabel_configs: []}]", "job a: relabel_configs is not"),
        ("scrape_configs: [{job_name: a, scrape_interval: soon}]", "no duration"),
        ("global: {external_labels: {}}", "external_labels"),
        ("{", "not YAML"),
    ],
)
def test_a_bad_configuration_says_where(text: str, says: str) -> None:
    with pytest.raises(ScrapeConfigError, match=says):
        parse_scrape_config(text)


def test_formats_are_asked_for_in_order() -> None:
    job = "scrape_configs: [{job_name: a, static_configs: [{targets: ['x:1']}], %s}]"
    (plain,) = parse_scrape_config(job % "honor_labels: false")
    assert "protobuf" not in plain.accept
    (native,) = parse_scrape_config(job % "scrape_native_histograms: true")
    assert native.native
    assert native.accept.startswith("application/vnd.google.protobuf;proto=io.prometheus.client")
    assert native.accept.endswith("text/plain;version=0.0.4;q=0.7")
    (own,) = parse_scrape_config(job % "scrape_protocols: [PrometheusText0.0.4, PrometheusProto]")
    assert own.accept.startswith("text/plain;version=0.0.4;q=0.9,application/vnd")
    for wrong in ("[]", "[Nonsense]", "x", "[PrometheusProto, PrometheusProto]"):
        with pytest.raises(ScrapeConfigError, match="scrape_protocols is a list"):
            parse_scrape_config(job % f"scrape_protocols: {wrong}")


def test_what_is_gone_ends_with_a_stale_marker() -> None:
    asyncio.run(_scrape_thrice())


async def _scrape_thrice() -> None:
    answers = ["a 1\nb 2\n", "a 3\n", None]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        text = answers.pop(0)
        if text is None:
            writer.write(b"HTTP/1.1 500 no\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            head = f"HTTP/1.1 200 ok\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + text.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    table = SeriesTable()
    target = Target(f"http://127.0.0.1:{port}/metrics", labels_of({"job": "x"}), 1.0, 1.0)
    scrapes = Scrapes([target], table, FeedClient("/nowhere", table), World())

    def shown(batch: SampleBatch) -> dict[str, float | str]:
        names = [dict(table.labels(n))["__name__"] for n in batch.numbers.tolist()]
        stale = is_stale(batch.values)
        pairs = zip(names, batch.values.tolist(), stale.tolist(), strict=True)
        return {n: "stale" if s else v for n, v, s in pairs if n != "scrape_duration_seconds"}

    async with httpx.AsyncClient() as client:
        scraper = scrapes._scrapers[0]
        got = [shown(await scrapes._scrape(client, scraper, 1000 * i)) for i in range(3)]
    server.close()
    assert got == [
        {"a": 1.0, "b": 2.0, "up": 1.0, "scrape_samples_scraped": 2.0},
        {"a": 3.0, "b": "stale", "up": 1.0, "scrape_samples_scraped": 1.0},
        {"a": "stale", "up": 0.0, "scrape_samples_scraped": 0.0},
    ]
