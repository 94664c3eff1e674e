"""Native histograms from the wire to PromQL: what is asked of the store is what was sent."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from tests.unit.store.conftest import T0_MS, Bench

from vezha.legacy.batch import SampleBatch
from vezha.legacy.errors import BadBody
from vezha.legacy.native import of_remote_write
from vezha.legacy.otlp import decode_otlp
from vezha.legacy.protobuf import Request2, WriteRequest
from vezha.legacy.remote_write import RemoteWrite
from vezha.legacy.series import SeriesTable
from vezha.model.columns import STALE_NAN, Matcher, MatchOp, Selection
from vezha.model.labels import Labels, metric
from vezha.model.native import CUSTOM_SCHEMA, NativeSample, parts_of
from vezha.query import Engine
from vezha.query.histogram import Hint, Histogram
from vezha.query.memory import MemorySource
from vezha.query.native_source import with_histograms

counts = st.dictionaries(st.integers(-20, 20), st.integers(1, 10**12), max_size=12)


def message_of(target: Any, h: Histogram, ts_ms: int, floats: bool) -> None:
    """*h* as a sender writes it: spans, and counts as differences or as they are."""
    target.timestamp, target.schema, target.sum = ts_ms, h.schema, h.sum
    target.zero_threshold = h.zero_threshold
    target.reset_hint = 3 if h.hint is Hint.GAUGE else 2
    if floats:
        target.count_float, target.zero_count_float = h.count, h.zero_count
    else:
        target.count_int, target.zero_count_int = int(h.count), int(h.zero_count)
    target.custom_values.extend(h.bounds)
    for side, buckets in (("positive", h.positive), ("negative", h.negative)):
        before, value = None, 0
        for index in sorted(buckets):
            spans = getattr(target, f"{side}_spans")
            if before is None or index != before + 1:
                spans.add(offset=index if before is None else index - before - 1, length=0)
            spans[-1].length += 1
            if floats:
                getattr(target, f"{side}_counts").append(buckets[index])
            else:
                getattr(target, f"{side}_deltas").append(int(buckets[index]) - value)
            before, value = index, int(buckets[index])


@given(st.integers(-4, 8), counts, counts, st.booleans(), st.booleans())
def test_a_message_gives_the_histogram(
    schema: int, positive: dict[int, int], negative: dict[int, int], floats: bool, gauge: bool
) -> None:
    h = Histogram(
        schema=schema, count=float(sum(positive.values()) + sum(negative.values()) + 3), sum=1.5,
        zero_threshold=0.001, zero_count=3.0,
        positive={i: float(c) for i, c in positive.items()},
        negative={i: float(c) for i, c in negative.items()},
        hint=Hint.GAUGE if gauge else Hint.UNKNOWN,
    )  # fmt: skip
    request = WriteRequest()
    message_of(request.timeseries.add().histograms.add(), h, 7, floats)
    sample = of_remote_write(request.timeseries[0].histograms[0])
    assert sample is not None
    memory = MemorySource()
    for part, value in parts_of(sample):
        memory.append(metric("h", __histogram__=part), 7, value)
    got = with_histograms(memory).select(Selection((), 0, 100))
    assert got.labels == [metric("h")]
    assert got.histograms is not None
    assert got.histograms.tolist() == [h]


def latencies(at: int, host: int) -> Histogram:
    """A counter histogram that grows; buckets come later than others."""
    positive = {i: float((at + 1) * (i + host + 1)) for i in range(min(at // 5 + 1, 8))}
    return Histogram(
        schema=2, count=sum(positive.values()) + at, sum=float(at * 3 + host),
        zero_threshold=1e-6, zero_count=float(at), positive=positive,
    )  # fmt: skip


def sent(seconds: int, host: int, version: int) -> tuple[bytes, list[tuple[Labels, int, Any]]]:
    """A request of one second of two hosts, and what it says."""
    labels = metric("rpc_seconds", instance=f"h{host}", job="j")
    h, ts = latencies(seconds, host), T0_MS - 100_000 + 1000 * seconds
    bounds = Histogram(
        schema=CUSTOM_SCHEMA, count=6.0 * seconds, sum=9.0, bounds=(0.5, 1.0, 2.5),
        positive={0: 2.0 * seconds, 3: 4.0 * seconds} if seconds else {},
    )  # fmt: skip
    custom = metric("size_bytes", instance=f"h{host}", job="j")
    plain = metric("up", instance=f"h{host}", job="j")
    if version == 2:
        symbols: list[str] = [""]
        request = Request2()

        def refs(of: Labels) -> list[int]:
            out = []
            for pair in of:
                for text in pair:
                    if text not in symbols:
                        symbols.append(text)
                    out.append(symbols.index(text))
            return out

        for of, histogram in ((labels, h), (custom, bounds)):
            series = request.timeseries.add(labels_refs=refs(of))
            message_of(series.histograms.add(), histogram, ts, floats=host == 1)
        request.timeseries.add(labels_refs=refs(plain)).samples.add(
            value=1.0, timestamp=ts, start_timestamp=ts - 1
        )
        request.symbols.extend(symbols)
    else:
        request = WriteRequest()
        for of, histogram in ((labels, h), (custom, bounds)):
            series = request.timeseries.add()
            for name, value in of:
                series.labels.add(name=name, value=value)
            message_of(series.histograms.add(), histogram, ts, floats=host == 1)
        series = request.timeseries.add()
        for name, value in plain:
            series.labels.add(name=name, value=value)
        series.samples.add(value=1.0, timestamp=ts)
    says = [(labels, ts, h), (custom, ts, bounds), (plain, ts, 1.0)]
    return bytes(request.SerializeToString()), says


QUERIES = (
    "rpc_seconds",
    "up + 1",
    "histogram_count(rpc_seconds)",
    "histogram_quantile(0.9, sum(rate(rpc_seconds[30s])))",
    "histogram_fraction(0, 1, increase(rpc_seconds[1m]))",
    "histogram_quantile(0.5, size_bytes)",
    "sum by (instance) (size_bytes)",
    "count_over_time(rpc_seconds[20s])",
    "avg_over_time(rpc_seconds[20s])",
    "histogram_sum(delta(size_bytes[30s]))",
    'count({job="j"})',
)


@pytest.mark.parametrize("state", ["head", "tiles", "recovered", "merged"])
@pytest.mark.parametrize("version", [1, 2])
def test_promql_over_what_was_sent(tmp_path: Path, state: str, version: int) -> None:
    bench = Bench(tmp_path)
    table = SeriesTable()
    writer = RemoteWrite(table)
    memory = MemorySource()
    histograms = 0
    for second in range(60):
        for host in range(2):
            body, says = sent(second, host, version)
            if version == 1:
                batch = writer.decode(np.frombuffer(bytearray(body), np.uint8))
            else:
                batch = writer.decode_2(np.frombuffer(bytearray(body), np.uint8))
            histograms += batch.histograms
            assert batch.parts == len(batch) - 1
            put(bench, table, batch)
            for labels, ts, value in says:
                if isinstance(value, float):
                    memory.append(labels, ts, value)
                else:
                    memory.append(labels, ts, 0.0, value)
        if state == "merged" and second % 20 == 7:
            bench.store.flush()
    # one series ends
    end = T0_MS - 39_000
    ended = Histogram(sum=STALE_NAN)
    request = WriteRequest()
    series = request.timeseries.add()
    for name, text in metric("rpc_seconds", instance="h1", job="j"):
        series.labels.add(name=name, value=text)
    message_of(series.histograms.add(), ended, end, floats=False)
    put(
        bench, table, writer.decode(np.frombuffer(bytearray(request.SerializeToString()), np.uint8))
    )
    memory.append(metric("rpc_seconds", instance="h1", job="j"), end, STALE_NAN)
    assert histograms == 240
    if state in ("tiles", "merged"):
        bench.store.flush()
    if state == "merged":
        bench.clock.time_s += 2 * 3600
        assert bench.store.compact() > 0
    if state == "recovered":
        bench.commit()
        bench.restart()
    ours, theirs = Engine(bench.store), Engine(memory)
    for query in QUERIES:
        for at in (T0_MS - 80_000, T0_MS - 41_000, end):
            assert shown(ours, query, at) == shown(theirs, query, at), query
        got = [
            engine.range(query, T0_MS - 100_000, T0_MS - 35_000, 5_000) for engine in (ours, theirs)
        ]
        assert got[0].labels == got[1].labels
        assert np.array_equal(got[0].present, got[1].present)
    source = ours.source
    assert {dict(s)["__name__"] for s in source.series((), 0, T0_MS)} == {
        "rpc_seconds", "size_bytes", "up",
    }  # fmt: skip
    assert source.label_names((), 0, T0_MS) == ["__name__", "instance", "job"]
    # deleted with its parts
    bench.store.delete((Matcher("__name__", MatchOp.EQ, "rpc_seconds"),))
    assert shown(ours, "count(rpc_seconds)", T0_MS - 41_000) == shown(theirs, "vector(1) > 2", end)
    bench.store.abandon()


def put(bench: Bench, table: SeriesTable, batch: SampleBatch) -> None:
    store = bench.store
    refs = store.resolve([table.labels(n) for n in batch.numbers.tolist()])
    store.write(refs, batch.ts_ms, batch.values)


def shown(engine: Engine, query: str, at: int) -> list[str]:
    result = engine.instant(query, at)
    rows = []
    for i, labels in enumerate(result.labels):
        hist = None if result.hists is None else result.hists[i][0]
        rows.append(f"{labels} {hist if hist is not None else float(result.values[i][0])!r}")
    return sorted(rows)


def test_otlp_exponential_histograms() -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    made = scope.metrics.add(name="latency", unit="s")
    made.exponential_histogram.aggregation_temporality = 2
    point = made.exponential_histogram.data_points.add(
        time_unix_nano=5_000_000_000, count=7, sum=9.5, scale=9, zero_count=1
    )
    point.positive.offset = -1
    point.positive.bucket_counts.extend([1, 2, 3])
    too_coarse = made.exponential_histogram.data_points.add(time_unix_nano=1, scale=-9)
    assert too_coarse.scale == -9
    table = SeriesTable()
    batch = decode_otlp(bytes(request.SerializeToString()), "application/x-protobuf", table)
    assert batch.left_out == {"histograms": 1}
    assert batch.histograms == 1
    memory = MemorySource()
    for number, ts, value in zip(
        batch.numbers.tolist(), batch.ts_ms.tolist(), batch.values.tolist(), strict=True
    ):
        memory.append(table.labels(number), ts, value)
    got = with_histograms(memory).select(Selection((), 0, 10_000))
    assert got.labels == [metric("latency_seconds")]
    assert got.histograms is not None
    (h,) = got.histograms.tolist()
    # OTLP's buckets -1, 0, 1 of scale 9 end where ours 0, 1, 2 do; by two of them at schema 8
    assert h.positive == {0: 1.0, 1: 5.0}
    assert math.isclose(h.bound(1), (2**2**-9) ** 2)
    assert (h.schema, h.count, h.sum, h.zero_count) == (8, 7.0, 9.5, 1.0)


def broken(**fields: Any) -> Any:
    request = WriteRequest()
    message = request.timeseries.add().histograms.add()
    spans = fields.pop("spans", [])
    for offset, length in spans:
        message.positive_spans.add(offset=offset, length=length)
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(message, name).extend(value)
        else:
            setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    "message",
    [
        broken(spans=[(0, 2)], positive_deltas=[1]),
        broken(spans=[(0, 4_000_000_000)], positive_deltas=[1]),
        broken(spans=[(0, 1), (-1, 1)], positive_deltas=[1, 1]),
        broken(spans=[(0, 2)], positive_deltas=[1, -2]),
        broken(spans=[(0, 1)], positive_deltas=[1], positive_counts=[1.0]),
        broken(schema=CUSTOM_SCHEMA, custom_values=[2.0, 1.0]),
        broken(
            schema=CUSTOM_SCHEMA, custom_values=[1.0], spans=[(0, 3)], positive_deltas=[1, 0, 0]
        ),
    ],
)
def test_what_does_not_fit_is_refused(message: Any) -> None:
    with pytest.raises(BadBody):
        of_remote_write(message)


def test_an_unknown_schema_is_left_out() -> None:
    assert of_remote_write(broken(schema=-40)) is None
    assert isinstance(of_remote_write(broken(schema=20)), NativeSample)
