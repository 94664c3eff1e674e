"""Counters that say when they began get a zero there: real bodies of every protocol that tells it,
through the doors into a sink."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import cramjam
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from vezha.gateway.feed import Feed
from vezha.gateway.intake import Intake
from vezha.legacy.batch import SampleBatch, batch_of
from vezha.legacy.doors import Answer, Doors
from vezha.legacy.exposition import Labeller
from vezha.legacy.exposition_proto import MetricFamily, ProtoExposition
from vezha.legacy.limits import STARTED_BACK_MS_MAX
from vezha.legacy.protobuf import Request2
from vezha.legacy.series import SeriesTable
from vezha.legacy.started import StartedCounters
from vezha.model.labels import Labels, metric
from vezha.testing.sink import MemorySink
from vezha.world import World

WRITE_2 = {
    "content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "content-encoding": "snappy",
}
OPENMETRICS = {"content-type": "application/openmetrics-text; version=1.0.0"}
OTLP = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
Columns = dict[Labels, list[tuple[int, float]]]


def through(tmp_path: Path, use: Callable[[Doors], Awaitable[None]], *, on: bool = True) -> Columns:
    """What a sink has after *use* went through doors."""
    sink = MemorySink()

    async def run() -> None:
        path = str(tmp_path / "feed.sock")
        intake = Intake(sink, lambda: 0, interval_s=0.001)
        receiver = Feed(intake, path)
        await receiver.start()
        task = asyncio.create_task(intake.run())
        doors = Doors(path, World(), None, on)
        await use(doors)
        doors.close()
        receiver.stop()
        task.cancel()
        await intake.finish()

    asyncio.run(run())
    return sink.columns


async def parts(data: bytes) -> AsyncIterator[bytes]:
    yield data


def request_2(*samples: tuple[int, float, int], created: int = 0) -> bytes:
    """Of the counter `shop_total`: time, value, start."""
    request = Request2(symbols=["", "__name__", "shop_total", "pod", "a"])
    series = request.timeseries.add(labels_refs=[1, 2, 3, 4], created_timestamp=created)
    for ts, value, start in samples:
        series.samples.add(timestamp=ts, value=value, start_timestamp=start)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


SHOP = metric("shop_total", pod="a")


def written(tmp_path: Path, *bodies: bytes, on: bool = True) -> list[tuple[int, float]]:
    async def use(doors: Doors) -> None:
        for body in bodies:
            answer: Answer = await doors.remote_write(WRITE_2, parts(body))
            assert answer.status == 204, answer.body
            assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1"

    return through(tmp_path, use, on=on)[SHOP]


def test_remote_write_2(tmp_path: Path) -> None:
    bodies = [
        request_2((10_000, 40.0, 7_000)),
        request_2((25_000, 90.0, 7_000)),
        request_2((40_000, 5.0, 31_000)),  # it began anew
        request_2((55_000, 9.0, 31_000)),
        request_2((70_000, 12.0, 69_999)),
        request_2((85_000, 12.0, 70_000)),  # a delta: it begins where the last one ended
    ]
    assert written(tmp_path, *bodies) == [
        (7_000, 0.0), (10_000, 40.0), (25_000, 90.0), (31_000, 0.0), (40_000, 5.0), (55_000, 9.0),
        (69_999, 0.0), (70_000, 12.0), (85_000, 12.0),
    ]  # fmt: skip


def test_it_is_off_unless_it_is_wanted(tmp_path: Path) -> None:
    assert written(tmp_path, request_2((10_000, 40.0, 7_000)), on=False) == [(10_000, 40.0)]


def test_drafts_of_remote_write_2_told_it_once_for_a_series(tmp_path: Path) -> None:
    body = request_2((10_000, 40.0, 0), created=6_000)
    assert written(tmp_path, body) == [(6_000, 0.0), (10_000, 40.0)]


@pytest.mark.parametrize("start", [0, 10_000, 10_001, -5])
def test_a_start_that_says_nothing(tmp_path: Path, start: int) -> None:
    assert written(tmp_path, request_2((10_000, 40.0, start))) == [(10_000, 40.0)]


def test_what_lies_far_back_was_counted_then(tmp_path: Path) -> None:
    now = 10 * STARTED_BACK_MS_MAX
    body = request_2((now, 40.0, now - STARTED_BACK_MS_MAX - 1))
    assert written(tmp_path, body) == [(now, 40.0)]


def test_a_start_behind_samples_that_are_there_is_none(tmp_path: Path) -> None:
    bodies = [request_2((20_000, 40.0, 5_000)), request_2((30_000, 50.0, 15_000))]
    assert written(tmp_path, *bodies) == [(5_000, 0.0), (20_000, 40.0), (30_000, 50.0)]


def test_what_was_not_stored_is_said_again() -> None:
    started = StartedCounters(SeriesTable())

    def told() -> SampleBatch:
        batch = batch_of([0], [10_000], [4.0])
        batch.starts = [(0, 7_000, 10_000)]
        return batch

    whole = started.completed(told())
    assert len(whole) == 2
    started.forget(whole)
    assert len(started.completed(told())) == 2
    assert len(started.completed(told())) == 1
    assert started.zeros == 2


def test_what_is_not_stored_of_it_is_counted(tmp_path: Path) -> None:
    counted: list[dict[str, int]] = []

    async def use(doors: Doors) -> None:
        await doors.remote_write(WRITE_2, parts(request_2((10_000, 40.0, 7_000))))
        counted.append(doors.counters.left_out)

    through(tmp_path, use, on=False)
    through(tmp_path, use, on=True)
    assert counted == [{"start_timestamps": 1}, {}]


def test_otlp(tmp_path: Path) -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    total = scope.metrics.add(name="calls").sum
    total.aggregation_temporality, total.is_monotonic = 2, True
    total.data_points.add(as_int=7, time_unix_nano=9 * 10**9, start_time_unix_nano=4 * 10**9)
    shape = scope.metrics.add(name="took").histogram
    shape.aggregation_temporality = 2
    shape.data_points.add(
        count=3, sum=1.5, explicit_bounds=[1.0], bucket_counts=[2, 1],
        time_unix_nano=9 * 10**9, start_time_unix_nano=4 * 10**9,
    )  # fmt: skip
    level = scope.metrics.add(name="level").gauge
    level.data_points.add(as_double=1, time_unix_nano=9 * 10**9, start_time_unix_nano=4 * 10**9)
    body = gzip.compress(request.SerializeToString())

    async def use(doors: Doors) -> None:
        for _ in range(2):
            assert (await doors.otlp(OTLP, parts(body))).status == 200

    columns = through(tmp_path, use)
    assert columns.pop(metric("level")) == [(9_000, 1.0)] * 2
    assert len(columns) == 5
    assert all(samples[0] == (4_000, 0.0) for samples in columns.values())
    assert columns[metric("calls_total")] == [(4_000, 0.0), (9_000, 7.0), (9_000, 7.0)]


TEXT = b"""# TYPE calls counter
calls_total{to="x"} 12 9
calls_created{to="x"} 4.25
calls_total{to="y"} 3
# TYPE took histogram
took_bucket{le="1.0"} 2
took_bucket{le="+Inf"} 3
took_count 3
took_sum 1.5
took_created 4.25
# EOF
"""


def test_openmetrics(tmp_path: Path) -> None:
    async def use(doors: Doors) -> None:
        doors._world = Clocked()  # type: ignore[assignment]
        for _ in range(2):
            answer = await doors.text(OPENMETRICS, parts(TEXT))
            assert answer.status == 204, answer.body

    columns = through(tmp_path, use)
    zeros = sorted(dict(labels)["__name__"] for labels, samples in columns.items()
                   if (4_250, 0.0) in samples)  # fmt: skip
    assert zeros == ["calls_total", "took_bucket", "took_bucket", "took_count", "took_sum"]
    assert columns[metric("calls_total", to="y")] == [(9_000, 3.0)] * 2
    assert columns[metric("took_count")] == [(4_250, 0.0), (9_000, 3.0), (9_000, 3.0)]


class Clocked:
    """A world in which it is nine seconds past the beginning."""

    def __init__(self) -> None:
        self.clock = self

    def now(self) -> float:
        return 9.0

    def monotonic(self) -> float:
        return 9.0


def test_protobuf_exposition() -> None:
    def family(name: str, kind: int, **fields: Any) -> bytes:
        made = MetricFamily(name=name, type=kind)
        made.metric.add(**fields)
        data = bytes(made.SerializeToString())
        return bytes([len(data)]) + data

    created = {"seconds": 4, "nanos": 250_000_000}
    body = (
        family("calls_total", 0, counter={"value": 12.0, "created": created})
        + family("level", 1, gauge={"value": 1.0, "created": created})
        + family("told", 2, summary={"sample_count": 2, "sample_sum": 3.0, "created": created,
                                     "quantile": [{"quantile": 0.5, "value": 1.0}]})
        + family("took", 4, histogram={"sample_count": 3, "sample_sum": 1.5, "created": created,
                                       "bucket": [{"cumulative_count": 2, "upper_bound": 1.0}]})
    )  # fmt: skip
    table = SeriesTable()
    batch = ProtoExposition(table, Labeller()).decode(body, 9_000)
    whole = StartedCounters(table).completed(batch)
    zeros = [table.labels(n) for n, ts, v in zip(whole.numbers.tolist(), whole.ts_ms.tolist(),
             whole.values.tolist(), strict=True) if (ts, v) == (4_250, 0.0)]  # fmt: skip
    assert sorted(dict(labels)["__name__"] for labels in zeros) == [
        "calls_total", "told_count", "told_sum", "took_bucket", "took_bucket", "took_count", "took_sum",
    ]  # fmt: skip
