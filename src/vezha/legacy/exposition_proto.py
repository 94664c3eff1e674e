"""The Prometheus protobuf format: what exporters show that have native histograms.

`io.prometheus.client.MetricFamily` messages (Prometheus, client_model, `metrics.proto`), each behind
its length as a varint. The only format of exporters in which native histograms are told, and
exemplars with them. The messages are declared here, only the fields that are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError

from vezha.legacy.batch import Rows, SampleBatch
from vezha.legacy.errors import BadBody
from vezha.legacy.exposition import Labeller, bound_text
from vezha.legacy.limits import SCRAPE_BYTES_MAX
from vezha.legacy.native import NativeRows, of_exposition
from vezha.legacy.protobuf import Declared, declared
from vezha.legacy.series import SeriesTable, sorted_labels
from vezha.model.exemplar import Exemplar
from vezha.model.labels import METRIC_NAME, Labels
from vezha.model.metadata import MetricMetadata

CONTENT_TYPE = "application/vnd.google.protobuf"
ACCEPT = f"{CONTENT_TYPE};proto=io.prometheus.client.MetricFamily;encoding=delimited"
_F = descriptor_pb2.FieldDescriptorProto
_COUNTER, _GAUGE, _SUMMARY, _UNTYPED, _HISTOGRAM, _GAUGE_HISTOGRAM = range(6)
_KINDS = ("counter", "gauge", "summary", "unknown", "histogram", "gaugehistogram")
_MESSAGES: Declared = {
    "Pair": [("name", 1, _F.TYPE_STRING, False, ""), ("value", 2, _F.TYPE_STRING, False, "")],
    "Stamp": [("seconds", 1, _F.TYPE_INT64, False, ""), ("nanos", 2, _F.TYPE_INT32, False, "")],
    "Example": [
        ("label", 1, _F.TYPE_MESSAGE, True, "Pair"),
        ("value", 2, _F.TYPE_DOUBLE, False, ""),
        ("timestamp", 3, _F.TYPE_MESSAGE, False, "Stamp"),
    ],
    "Plain": [
        ("value", 1, _F.TYPE_DOUBLE, False, ""),
        ("exemplar", 2, _F.TYPE_MESSAGE, False, "Example"),
        ("created", 3, _F.TYPE_MESSAGE, False, "Stamp"),  # of counters
    ],
    "Quantile": [
        ("quantile", 1, _F.TYPE_DOUBLE, False, ""),
        ("value", 2, _F.TYPE_DOUBLE, False, ""),
    ],
    "Summary": [
        ("sample_count", 1, _F.TYPE_UINT64, False, ""),
        ("sample_sum", 2, _F.TYPE_DOUBLE, False, ""),
        ("quantile", 3, _F.TYPE_MESSAGE, True, "Quantile"),
        ("created", 4, _F.TYPE_MESSAGE, False, "Stamp"),
    ],
    "Bucket": [
        ("cumulative_count", 1, _F.TYPE_UINT64, False, ""),
        ("upper_bound", 2, _F.TYPE_DOUBLE, False, ""),
        ("exemplar", 3, _F.TYPE_MESSAGE, False, "Example"),
        ("cumulative_count_float", 4, _F.TYPE_DOUBLE, False, ""),
    ],
    "Span": [("offset", 1, _F.TYPE_SINT32, False, ""), ("length", 2, _F.TYPE_UINT32, False, "")],
    "Shape": [
        ("sample_count", 1, _F.TYPE_UINT64, False, ""),
        ("sample_sum", 2, _F.TYPE_DOUBLE, False, ""),
        ("bucket", 3, _F.TYPE_MESSAGE, True, "Bucket"),
        ("sample_count_float", 4, _F.TYPE_DOUBLE, False, ""),
        ("schema", 5, _F.TYPE_SINT32, False, ""),
        ("zero_threshold", 6, _F.TYPE_DOUBLE, False, ""),
        ("zero_count", 7, _F.TYPE_UINT64, False, ""),
        ("zero_count_float", 8, _F.TYPE_DOUBLE, False, ""),
        ("negative_span", 9, _F.TYPE_MESSAGE, True, "Span"),
        ("negative_delta", 10, _F.TYPE_SINT64, True, ""),
        ("negative_count", 11, _F.TYPE_DOUBLE, True, ""),
        ("positive_span", 12, _F.TYPE_MESSAGE, True, "Span"),
        ("positive_delta", 13, _F.TYPE_SINT64, True, ""),
        ("positive_count", 14, _F.TYPE_DOUBLE, True, ""),
        ("created", 15, _F.TYPE_MESSAGE, False, "Stamp"),
        ("exemplars", 16, _F.TYPE_MESSAGE, True, "Example"),
    ],
    "Metric": [
        ("label", 1, _F.TYPE_MESSAGE, True, "Pair"),
        ("gauge", 2, _F.TYPE_MESSAGE, False, "Plain"),
        ("counter", 3, _F.TYPE_MESSAGE, False, "Plain"),
        ("summary", 4, _F.TYPE_MESSAGE, False, "Summary"),
        ("untyped", 5, _F.TYPE_MESSAGE, False, "Plain"),
        ("timestamp_ms", 6, _F.TYPE_INT64, False, ""),
        ("histogram", 7, _F.TYPE_MESSAGE, False, "Shape"),
    ],
    "MetricFamily": [
        ("name", 1, _F.TYPE_STRING, False, ""),
        ("help", 2, _F.TYPE_STRING, False, ""),
        ("type", 3, _F.TYPE_INT32, False, ""),
        ("metric", 4, _F.TYPE_MESSAGE, True, "Metric"),
        ("unit", 5, _F.TYPE_STRING, False, ""),
    ],
}
MetricFamily: Any = declared("exposition", _MESSAGES)["MetricFamily"]


def _ms(stamp: Any) -> int:
    """Milliseconds; 0 of a stamp that is not there."""
    return int(stamp.seconds * 1000 + stamp.nanos // 1_000_000)


def families(body: bytes) -> Iterator[Any]:
    """The messages of a body. Raises BadBody."""
    at = 0
    while at < len(body):
        size = shift = 0
        while True:
            if at >= len(body) or shift > 28:
                raise BadBody("a message's length is cut off")
            byte = body[at]
            size |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
        if size > SCRAPE_BYTES_MAX or at + size > len(body):
            raise BadBody("a message is cut off")
        family = MetricFamily()
        try:
            family.ParseFromString(body[at : at + size])
        except DecodeError:
            raise BadBody("not an io.prometheus.client.MetricFamily") from None
        yield family
        at += size


class ProtoExposition:
    """Decodes bodies of one target. Labels are set as `Labeller` says. A histogram that has native
    buckets gives only these, unless *classic*; without *native* all give classic ones only."""

    def __init__(
        self,
        table: SeriesTable,
        labeller: Labeller,
        *,
        native: bool = True,
        classic: bool = False,
    ) -> None:
        self._table = table
        self._labeller = labeller
        self._native_rows = NativeRows(table)
        self._native, self._classic = native, classic
        self._known: dict[tuple[str, ...], int] = {}
        self._generation = table.generation
        self.metadata: dict[str, MetricMetadata] = {}

    def decode(self, body: bytes, default_ms: int) -> SampleBatch:
        """Samples of *body*; those without a time get *default_ms*. Raises BadBody."""
        if self._generation != self._table.generation:
            self._known.clear()
            self._generation = self._table.generation
        rows = Rows()
        for family in families(body):
            if not family.name or not 0 <= family.type < len(_KINDS):
                raise BadBody("a metric family without a name, or of an unknown type")
            about = MetricMetadata(_KINDS[family.type], family.help, family.unit)
            if self.metadata.get(family.name) != about:
                self.metadata[family.name] = about
                rows.metadata.append((family.name, about))
            for metric in family.metric:
                pairs = tuple(part for pair in metric.label for part in (pair.name, pair.value))
                self._metric(rows, family, metric, pairs, metric.timestamp_ms or default_ms)
        return rows.batch()

    def _metric(
        self, rows: Rows, family: Any, metric: Any, pairs: tuple[str, ...], ts_ms: int
    ) -> None:
        name, kind = family.name, family.type
        if kind in (_COUNTER, _GAUGE, _UNTYPED):
            plain: Any = (metric.counter, metric.gauge, None, metric.untyped)[kind]
            number = self._number(name, pairs)
            rows.put(number, ts_ms, plain.value, _ms(plain.created) if kind == _COUNTER else 0)
            if plain.HasField("exemplar"):
                self._exemplar(rows, self._table.labels(number), plain.exemplar, ts_ms)
        elif kind == _SUMMARY:
            for quantile in metric.summary.quantile:
                own = (*pairs, "quantile", bound_text(quantile.quantile))
                rows.put(self._number(name, own), ts_ms, quantile.value)
            start_ms = _ms(metric.summary.created)
            total, count = metric.summary.sample_sum, float(metric.summary.sample_count)
            rows.put(self._number(f"{name}_sum", pairs), ts_ms, total, start_ms)
            rows.put(self._number(f"{name}_count", pairs), ts_ms, count, start_ms)
        else:
            self._histogram(rows, family, metric.histogram, pairs, ts_ms)

    def _histogram(
        self, rows: Rows, family: Any, shape: Any, pairs: tuple[str, ...], ts_ms: int
    ) -> None:
        is_native = self._native and bool(
            shape.zero_threshold or shape.zero_count or shape.zero_count_float
            or shape.positive_span or shape.negative_span
        )  # fmt: skip
        if is_native:
            sample = of_exposition(shape, gauge=family.type == _GAUGE_HISTOGRAM)
            whole = self._labels(family.name, pairs)
            if sample is None:
                rows.leave_out("histograms", 1)
            else:
                rows.put_histogram(self._native_rows.rows(whole, sample), ts_ms)
            for one in shape.exemplars:
                self._exemplar(rows, whole, one, ts_ms)
            if not self._classic or not shape.bucket:
                return
        start_ms = 0 if family.type == _GAUGE_HISTOGRAM else _ms(shape.created)
        self._buckets(rows, family.name, shape, pairs, ts_ms, start_ms)

    def _buckets(
        self, rows: Rows, name: str, shape: Any, pairs: tuple[str, ...], ts_ms: int, start_ms: int
    ) -> None:
        total = float(shape.sample_count or shape.sample_count_float)
        ended = False
        for bucket in shape.bucket:
            le = bound_text(bucket.upper_bound)
            ended = ended or le == "+Inf"
            number = self._number(f"{name}_bucket", (*pairs, "le", le))
            count = float(bucket.cumulative_count or bucket.cumulative_count_float)
            rows.put(number, ts_ms, count, start_ms)
            if bucket.HasField("exemplar"):
                self._exemplar(rows, self._table.labels(number), bucket.exemplar, ts_ms)
        if not ended:
            endless = self._number(f"{name}_bucket", (*pairs, "le", "+Inf"))
            rows.put(endless, ts_ms, total, start_ms)
        rows.put(self._number(f"{name}_sum", pairs), ts_ms, shape.sample_sum, start_ms)
        rows.put(self._number(f"{name}_count", pairs), ts_ms, total, start_ms)

    def _exemplar(self, rows: Rows, series: Labels, one: Any, ts_ms: int) -> None:
        own = sorted_labels([(pair.name, pair.value) for pair in one.label])
        timed = one.HasField("timestamp")
        if timed:
            ts_ms = _ms(one.timestamp)
        rows.exemplars.append(Exemplar(series, own, one.value, ts_ms, timed))

    def _number(self, name: str, pairs: tuple[str, ...]) -> int:
        key = (name, *pairs)
        number = self._known.get(key)
        if number is None:
            number = self._known[key] = self._table.number(self._labels(name, pairs))
        return number

    def _labels(self, name: str, pairs: tuple[str, ...]) -> Labels:
        own = list(zip(pairs[::2], pairs[1::2], strict=True))
        return self._labeller.labels([(METRIC_NAME, name), *own])
