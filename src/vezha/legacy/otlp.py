"""OTLP metrics over HTTP (protobuf or JSON), stored under Prometheus names.

OpenTelemetry, "OTLP Specification" 1.x and "Prometheus and OpenMetrics Compatibility": dots and
other signs become `_`, units become suffixes, monotonic cumulative sums get `_total`; resource
attributes `service.namespace`/`service.name` become `job`, `service.instance.id` or `host.name`
`instance`, and all of them `target_info`. Explicit-bucket histograms become classic ones;
exponential ones native ones, summaries their quantiles. Delta temporality is counted and left out.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from vezha.legacy.batch import Rows, SampleBatch
from vezha.legacy.errors import BadBody, UnknownFormat
from vezha.legacy.exposition import bound_text
from vezha.legacy.native import NativeRows, of_otlp
from vezha.legacy.series import SeriesTable, sorted_labels
from vezha.model.columns import STALE_NAN
from vezha.model.exemplar import Exemplar
from vezha.model.labels import METRIC_NAME
from vezha.model.metadata import MetricMetadata
from vezha.model.native import NativeSample

TRACE_ID_BYTES, SPAN_ID_BYTES = 16, 8
_CUMULATIVE = 2
_NO_VALUE = 1
_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes",
    "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tibibytes", "KBy": "kilobytes",
    "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes", "m": "meters", "V": "volts",
    "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz",
    "%": "percent",
}  # fmt: skip
_PER = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month"}
_BAD_NAME = re.compile(r"[^a-zA-Z0-9:]+")
_BAD_LABEL = re.compile(r"[^a-zA-Z0-9_]")


def metric_name(name: str, unit: str, *, counter: bool, gauge: bool) -> str:
    """The Prometheus name of an OpenTelemetry metric."""
    parts = [p for p in _BAD_NAME.sub("_", name).split("_") if p]
    unit = re.sub(r"\{[^}]*\}", "", unit).strip()
    main, _, per = unit.partition("/")
    for word in (_UNITS.get(main, _BAD_NAME.sub("_", main).strip("_")), ):  # fmt: skip
        if word and word != "1" and word not in parts:
            parts.append(word)
    if per:
        word = _PER.get(per, _BAD_NAME.sub("_", per).strip("_"))
        if word and word not in parts:
            parts += ["per", word]
    if main == "1" and gauge and "ratio" not in parts:
        parts.append("ratio")
    if counter:
        parts = [p for p in parts if p != "total"] + ["total"]
    out = "_".join(parts) or "_"
    return f"_{out}" if out[0].isdigit() else out


def label_name(name: str) -> str:
    """The Prometheus name of an attribute."""
    out = _BAD_LABEL.sub("_", name)
    return f"key_{out}" if out[:1].isdigit() else out


def decode_otlp(body: bytes, content_type: str, table: SeriesTable) -> SampleBatch:
    """Samples of an export request. Raises BadBody, UnknownFormat."""
    request = ExportMetricsServiceRequest()
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind in ("application/x-protobuf", "application/protobuf"):
            request.ParseFromString(body)
        elif kind == "application/json":
            json_format.Parse(body, request, ignore_unknown_fields=True)
        else:
            raise UnknownFormat(f"content type {kind[:60]!r}: protobuf or JSON is meant")
    except (DecodeError, json_format.ParseError, UnicodeDecodeError):
        raise BadBody("not an ExportMetricsServiceRequest") from None
    out = _Out(table)
    for resource in request.resource_metrics:
        target = _attributes(resource.resource.attributes)
        labels = _target_labels(target)
        newest = 0
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                newest = max(newest, out.metric(metric, labels))
        if newest and len(target) > 0:
            info = {label_name(k): v for k, v in target.items()}
            out.put({**info, **labels, METRIC_NAME: "target_info"}, newest, 1.0)
    return out.batch()


def _target_labels(target: dict[str, str]) -> dict[str, str]:
    labels = {}
    name = target.pop("service.name", "")
    space = target.pop("service.namespace", "")
    if name:
        labels["job"] = f"{space}/{name}" if space else name
    instance = target.pop("service.instance.id", "") or target.get("host.name", "")
    if instance:
        labels["instance"] = instance
    return labels


def _attributes(pairs: Iterable[Any]) -> dict[str, str]:
    out: dict[str, str] = {}
    for pair in pairs:
        value = pair.value
        kind = value.WhichOneof("value")
        if kind == "string_value":
            out[pair.key] = value.string_value
        elif kind == "bool_value":
            out[pair.key] = "true" if value.bool_value else "false"
        elif kind == "int_value":
            out[pair.key] = str(value.int_value)
        elif kind == "double_value":
            out[pair.key] = repr(value.double_value)
        elif kind is not None:
            out[pair.key] = json_format.MessageToJson(value, indent=None)
    return out


def _id(raw: bytes, size: int) -> str:
    """A trace's or span's number in hex digits. In OTLP's JSON it stands in hex, not, as protobuf's
    JSON has bytes, in base64; read as that, it came out half as long again."""
    if len(raw) == size * 3 // 2:
        text = base64.b64encode(raw).decode().lower()
        if all(digit in "0123456789abcdef" for digit in text):
            return text
    return raw.hex()


def _kind_of(data: str, counter: bool) -> str:
    """What Prometheus calls the kind of a metric with such data."""
    if data == "sum":
        return "counter" if counter else "gauge"
    return {"exponential_histogram": "histogram"}.get(data, data)


def _start_of(point: Any, gone: bool) -> int:
    """When the counter of a point began, ms; 0 where it does not say. A start that is the point's
    own time means that it is not known."""
    if gone or point.start_time_unix_nano >= point.time_unix_nano:
        return 0
    return int(point.start_time_unix_nano // 1_000_000)


class _Out:
    """Rows gathered for one request."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._native = NativeRows(table)
        self._rows = Rows()

    def put(self, labels: dict[str, str], ts_ms: int, value: float, start_ms: int = 0) -> None:
        """One sample; *start_ms*: when its counter began, 0 if it is none or does not say."""
        number = self._table.number(sorted_labels(list(labels.items())))
        self._rows.put(number, ts_ms, value, start_ms)

    def batch(self) -> SampleBatch:
        """All of it."""
        return self._rows.batch()

    def metric(self, metric: Any, labels: dict[str, str]) -> int:
        """All points of one metric; the newest time, ms."""
        kind = metric.WhichOneof("data")
        if kind is None:
            return 0
        data = getattr(metric, kind)
        points = data.data_points
        temporality = getattr(data, "aggregation_temporality", _CUMULATIVE)
        if temporality != _CUMULATIVE:
            self._rows.leave_out("delta", len(points))
            return 0
        counter = kind == "sum" and data.is_monotonic
        gauge = kind == "gauge"
        name = metric_name(metric.name, metric.unit, counter=counter, gauge=gauge)
        about = MetricMetadata(_kind_of(kind, counter), metric.description, metric.unit)
        self._rows.metadata.append((name, about))
        newest = 0
        for point in points:
            ts_ms = point.time_unix_nano // 1_000_000
            newest = max(newest, ts_ms)
            own = {label_name(k): v for k, v in _attributes(point.attributes).items()}
            own.update(labels)
            gone = bool(point.flags & _NO_VALUE)
            if kind in ("gauge", "sum"):
                value = point.as_double if point.HasField("as_double") else float(point.as_int)
                start_ms = _start_of(point, gone) if counter else 0
                self.put({**own, METRIC_NAME: name}, ts_ms, STALE_NAN if gone else value, start_ms)
                self._exemplars(point, {**own, METRIC_NAME: name}, [])
            elif kind == "histogram":
                self._histogram(point, name, own, ts_ms, gone)
            elif kind == "exponential_histogram":
                self._exponential(point, {**own, METRIC_NAME: name}, ts_ms, gone)
            else:
                self._summary(point, name, own, ts_ms, gone)
        return newest

    def _histogram(
        self, point: Any, name: str, own: dict[str, str], ts_ms: int, gone: bool
    ) -> None:
        running, start_ms = 0, _start_of(point, gone)
        bounds = [*point.explicit_bounds, float("inf")]
        self._exemplars(point, {**own, METRIC_NAME: f"{name}_bucket"}, bounds)
        for bound, count in zip(bounds, point.bucket_counts, strict=False):
            running += count
            le = bound_text(bound)
            value = STALE_NAN if gone else float(running)
            self.put({**own, METRIC_NAME: f"{name}_bucket", "le": le}, ts_ms, value, start_ms)
        total = STALE_NAN if gone else point.sum
        self.put({**own, METRIC_NAME: f"{name}_sum"}, ts_ms, total, start_ms)
        count = STALE_NAN if gone else float(point.count)
        self.put({**own, METRIC_NAME: f"{name}_count"}, ts_ms, count, start_ms)

    def _exponential(self, point: Any, labels: dict[str, str], ts_ms: int, gone: bool) -> None:
        sample = NativeSample(sum=STALE_NAN) if gone else of_otlp(point)
        if sample is None:
            self._rows.leave_out("histograms", 1)
            return
        whole = sorted_labels(list(labels.items()))
        self._exemplars(point, labels, [])
        self._rows.put_histogram(self._native.rows(whole, sample), ts_ms)

    def _summary(self, point: Any, name: str, own: dict[str, str], ts_ms: int, gone: bool) -> None:
        for quantile in point.quantile_values:
            value = STALE_NAN if gone else quantile.value
            shown = bound_text(quantile.quantile)
            self.put({**own, METRIC_NAME: name, "quantile": shown}, ts_ms, value)
        start_ms = _start_of(point, gone)
        total = STALE_NAN if gone else point.sum
        self.put({**own, METRIC_NAME: f"{name}_sum"}, ts_ms, total, start_ms)
        count = STALE_NAN if gone else float(point.count)
        self.put({**own, METRIC_NAME: f"{name}_count"}, ts_ms, count, start_ms)

    def _exemplars(self, point: Any, labels: dict[str, str], bounds: list[float]) -> None:
        """Exemplars of a point whose series, but for `le`, has *labels*."""
        for one in point.exemplars:
            value = one.as_double if one.HasField("as_double") else float(one.as_int)
            series = dict(labels)
            if bounds:
                series["le"] = bound_text(next((b for b in bounds if value <= b), math.inf))
            own = {label_name(k): v for k, v in _attributes(one.filtered_attributes).items()}
            if one.trace_id:
                own["trace_id"] = _id(one.trace_id, TRACE_ID_BYTES)
            if one.span_id:
                own["span_id"] = _id(one.span_id, SPAN_ID_BYTES)
            self._rows.exemplars.append(
                Exemplar(
                    sorted_labels(list(series.items())),
                    sorted_labels(list(own.items())),
                    value,
                    one.time_unix_nano // 1_000_000,
                )
            )
