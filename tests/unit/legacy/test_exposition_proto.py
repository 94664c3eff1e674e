"""The protobuf format of exporters: the same samples as the text, and native histograms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.legacy.errors import BadBody
from vezha.legacy.exposition import Exposition, Labeller
from vezha.legacy.exposition_proto import MetricFamily, ProtoExposition
from vezha.legacy.series import SeriesTable
from vezha.model.exemplar import Exemplar
from vezha.model.labels import Labels, labels_of, metric
from vezha.model.metadata import MetricMetadata
from vezha.model.native import PART_LABEL
from vezha.store.remote_encode import varint

NOW = 1_790_000_000_000
TEXT = """# HELP a_total Says.
# TYPE a_total counter
a_total{x="1"} 5
# TYPE g gauge
g -2.5 1790000000123
# TYPE s summary
s{quantile="0.5"} 0.25
s{quantile="0.99"} NaN
s_sum 7
s_count 3
# TYPE h histogram
h_bucket{zone="z",le="0.5"} 1
h_bucket{zone="z",le="10"} 4
h_bucket{zone="z",le="+Inf"} 6
h_sum{zone="z"} 12.5
h_count{zone="z"} 6
u 1
"""


def _classic() -> list[MetricFamily]:
    counter = MetricFamily(name="a_total", help="Says.", type=0)
    counter.metric.add(counter={"value": 5}).label.add(name="x", value="1")
    gauge = MetricFamily(name="g", type=1)
    gauge.metric.add(gauge={"value": -2.5}, timestamp_ms=NOW + 123)
    summary = MetricFamily(name="s", type=2)
    one = summary.metric.add().summary
    one.sample_count, one.sample_sum = 3, 7
    one.quantile.add(quantile=0.5, value=0.25)
    one.quantile.add(quantile=0.99, value=math.nan)
    untyped = MetricFamily(name="u", type=3)
    untyped.metric.add(untyped={"value": 1})
    histogram = MetricFamily(name="h", type=4)
    shape = histogram.metric.add()
    shape.label.add(name="zone", value="z")
    shape.histogram.sample_count, shape.histogram.sample_sum = 6, 12.5
    shape.histogram.bucket.add(cumulative_count=1, upper_bound=0.5)
    shape.histogram.bucket.add(cumulative_count=4, upper_bound=10)
    return [counter, gauge, summary, histogram, untyped]


def _native() -> MetricFamily:
    family = MetricFamily(name="n", type=4, unit="seconds")
    shape = family.metric.add().histogram
    shape.sample_count, shape.sample_sum, shape.schema = 9, 20.5, 1
    shape.zero_threshold, shape.zero_count = 0.001, 2
    shape.positive_span.add(offset=-1, length=2)
    shape.positive_span.add(offset=3, length=1)
    shape.positive_delta.extend([1, 2, -1])
    shape.negative_span.add(offset=0, length=1)
    shape.negative_delta.append(1)
    shape.bucket.add(cumulative_count=8, upper_bound=1)
    own = shape.exemplars.add(value=0.7)
    own.label.add(name="trace_id", value="t")
    own.timestamp.seconds, own.timestamp.nanos = NOW // 1000, 250_000_000
    return family


def _packed(*families: MetricFamily) -> bytes:
    parts = [bytes(family.SerializeToString()) for family in families]
    return b"".join(varint(len(part)) + part for part in parts)


def _rows(reader: ProtoExposition, table: SeriesTable, body: bytes) -> dict[Labels, str]:
    batch = reader.decode(body, NOW)
    rows = zip(batch.numbers.tolist(), batch.ts_ms.tolist(), batch.values.tolist(), strict=True)
    return {table.labels(number): f"{value!r}@{ts}" for number, ts, value in rows}


def test_the_same_samples_as_the_text() -> None:
    extra = labels_of({"job": "x", "instance": "i"})
    table = SeriesTable()
    batch = Exposition(table, extra).decode(TEXT.encode(), NOW)
    rows = zip(batch.numbers.tolist(), batch.ts_ms.tolist(), batch.values.tolist(), strict=True)
    expected = {table.labels(number): f"{value!r}@{ts}" for number, ts, value in rows}
    other = SeriesTable()
    reader = ProtoExposition(other, Labeller(extra))
    for _ in range(2):
        assert _rows(reader, other, _packed(*_classic())) == expected
    assert reader.metadata["a_total"] == MetricMetadata("counter", "Says.", "")


@pytest.mark.parametrize(("native", "classic"), [(True, False), (True, True), (False, False)])
def test_native_histograms_come_instead_of_classic_ones_or_beside_them(
    native: bool, classic: bool
) -> None:
    table = SeriesTable()
    reader = ProtoExposition(table, Labeller(), native=native, classic=classic)
    batch = reader.decode(_packed(_native()), NOW)
    names = {dict(table.labels(n)).get(PART_LABEL, "classic") for n in batch.numbers.tolist()}
    assert ("classic" in names) == (classic or not native)
    assert batch.histograms == int(native)
    if native:
        values = {
            dict(table.labels(n)).get(PART_LABEL, ""): v
            for n, v in zip(batch.numbers.tolist(), batch.values.tolist(), strict=True)
        }
        values.pop("", None)
        assert values == {
            "count": 9, "sum": 20.5, "schema": 1, "zero": 2, "threshold": 0.001,
            "+1:-1": 1, "+1:0": 3, "+1:4": 2, "-1:0": 1,
        }  # fmt: skip
        assert batch.exemplars == [Exemplar(metric("n"), (("trace_id", "t"),), 0.7, NOW + 250)]
    assert batch.metadata == [("n", MetricMetadata("histogram", "", "seconds"))]


def test_what_cannot_be_read_is_refused() -> None:
    table = SeriesTable()
    reader = ProtoExposition(table, Labeller())
    whole = _packed(_native())
    wrong = _native()
    wrong.metric[0].histogram.positive_delta.append(1)
    for body in (
        whole[:-1], b"\x80", b"\xff\xff\xff\xff\xff\x0f", b"\x02\xff\xff", _packed(wrong),
        _packed(MetricFamily(type=1)), _packed(MetricFamily(name="x", type=9)),
    ):  # fmt: skip
        with pytest.raises(BadBody):
            reader.decode(body, NOW)
    assert len(reader.decode(b"", NOW)) == 0


@given(st.binary(max_size=120), st.integers(0, 200))
def test_rubbish(data: bytes, at: int) -> None:
    whole = _packed(_native(), *_classic())
    for body in (data, whole[: at % len(whole)] + data + whole[at % len(whole) :]):
        try:
            ProtoExposition(SeriesTable(), Labeller()).decode(body, NOW)
        except BadBody:
            pass
