"""OTLP metrics: names, labels, kinds; what is not stored is counted."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from vezha.legacy.errors import BadBody, UnknownFormat
from vezha.legacy.otlp import decode_otlp, metric_name
from vezha.legacy.series import SeriesTable
from vezha.model.labels import Labels, metric

PROTOBUF = "application/x-protobuf"


def request() -> ExportMetricsServiceRequest:
    out = ExportMetricsServiceRequest()
    resource = out.resource_metrics.add()
    for key, value in (
        ("service.name", "shop"),
        ("service.namespace", "eu"),
        ("host.name", "web-1"),
    ):
        resource.resource.attributes.add(key=key).value.string_value = value
    metrics = resource.scope_metrics.add().metrics
    gauge = metrics.add(name="system.memory.usage", unit="By")
    point = gauge.gauge.data_points.add(time_unix_nano=5_000_000, as_int=7)
    point.attributes.add(key="state").value.string_value = "used"
    total = metrics.add(name="http.server.requests", unit="{request}")
    total.sum.is_monotonic = True
    total.sum.aggregation_temporality = 2
    total.sum.data_points.add(time_unix_nano=5_000_000, as_double=2.5)
    histogram = metrics.add(name="http.duration", unit="s")
    histogram.histogram.aggregation_temporality = 2
    histogram.histogram.data_points.add(
        time_unix_nano=6_000_000,
        count=3,
        sum=4.5,
        bucket_counts=[1, 2, 0],
        explicit_bounds=[1, 2.5],
    )
    delta = metrics.add(name="d")
    delta.sum.aggregation_temporality = 1
    delta.sum.data_points.add(time_unix_nano=1, as_int=1)
    return out


def decoded(body: bytes, kind: str = PROTOBUF) -> tuple[dict[Labels, float], dict[str, int]]:
    table = SeriesTable()
    batch = decode_otlp(body, kind, table)
    pairs = zip(batch.numbers.tolist(), batch.values.tolist(), strict=True)
    return {table.labels(n): v for n, v in pairs}, batch.left_out


def test_exemplars_and_metadata() -> None:
    asked = request()
    metrics = asked.resource_metrics[0].scope_metrics[0].metrics
    metrics[0].description = "Memory."
    point = metrics[2].histogram.data_points[0]
    one = point.exemplars.add(time_unix_nano=5_500_000, as_double=2.0)
    one.trace_id, one.span_id = bytes(range(16)), bytes(range(8))
    one.filtered_attributes.add(key="user.id").value.string_value = "7"
    point.exemplars.add(time_unix_nano=5_500_000, as_double=float("nan"))
    metrics[1].sum.data_points[0].exemplars.add(time_unix_nano=4_000_000, as_int=3)
    batch = decode_otlp(asked.SerializeToString(), PROTOBUF, SeriesTable())
    total, second, odd = batch.exemplars
    plain = json_format.MessageToDict(asked)
    spot = plain["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][2]["histogram"]
    for shown in spot["dataPoints"][0]["exemplars"][:1]:  # as OTLP's JSON has them
        shown["traceId"], shown["spanId"] = bytes(range(16)).hex().upper(), bytes(range(8)).hex()
    told = decode_otlp(json.dumps(plain).encode(), "application/json", SeriesTable())
    assert told.exemplars[1] == second
    own = {"instance": "web-1", "job": "eu/shop"}
    assert total.series == metric("http_server_requests_total", **own)
    assert (total.value, total.ts_ms, total.labels) == (3.0, 4, ())
    assert second.series == metric("http_duration_seconds_bucket", le="2.5", **own)
    assert dict(second.labels) == {
        "trace_id": bytes(range(16)).hex(), "span_id": bytes(range(8)).hex(), "user_id": "7",
    }  # fmt: skip
    assert dict(odd.series)["le"] == "+Inf"
    assert [(name, about.kind) for name, about in batch.metadata] == [
        ("system_memory_usage_bytes", "gauge"),
        ("http_server_requests_total", "counter"),
        ("http_duration_seconds", "histogram"),
    ]
    assert batch.metadata[0][1].help == "Memory."


def test_kinds_and_names() -> None:
    series, left_out = decoded(request().SerializeToString())
    base = {"instance": "web-1", "job": "eu/shop"}
    assert series == {
        metric("system_memory_usage_bytes", state="used", **base): 7.0,
        metric("http_server_requests_total", **base): 2.5,
        metric("http_duration_seconds_bucket", le="1", **base): 1.0,
        metric("http_duration_seconds_bucket", le="2.5", **base): 3.0,
        metric("http_duration_seconds_bucket", le="+Inf", **base): 3.0,
        metric("http_duration_seconds_sum", **base): 4.5,
        metric("http_duration_seconds_count", **base): 3.0,
        metric("target_info", host_name="web-1", **base): 1.0,
    }
    assert left_out == {"delta": 1}


def test_json_says_the_same() -> None:
    body = json_format.MessageToJson(request()).encode()
    assert decoded(body, "application/json; charset=utf-8") == decoded(
        request().SerializeToString()
    )


@pytest.mark.parametrize(
    ("given_", "unit", "counter", "gauge", "wanted"),
    [
        ("process.cpu.time", "s", True, False, "process_cpu_time_seconds_total"),
        ("a.bytes", "By", False, True, "a_bytes"),
        ("utilization", "1", False, True, "utilization_ratio"),
        ("speed", "m/s", False, True, "speed_meters_per_second"),
        ("1st", "", False, True, "_1st"),
        ("requests_total", "", True, False, "requests_total"),
    ],
)
def test_metric_names(given_: str, unit: str, counter: bool, gauge: bool, wanted: str) -> None:
    assert metric_name(given_, unit, counter=counter, gauge=gauge) == wanted


def test_what_is_refused() -> None:
    with pytest.raises(UnknownFormat):
        decode_otlp(b"", "text/plain", SeriesTable())
    with pytest.raises(BadBody):
        decode_otlp(b"{", "application/json", SeriesTable())


@given(st.binary(max_size=100))
def test_rubbish(data: bytes) -> None:
    try:
        decode_otlp(data, PROTOBUF, SeriesTable())
    except BadBody:
        pass
