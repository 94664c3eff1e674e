"""Recording rules whose results are native histograms: stored in parts, read as histograms."""

from __future__ import annotations

import numpy as np
import pytest

from vezha.alerting.ask import ask_of
from vezha.alerting.errors import EvaluationError
from vezha.alerting.rule import RecordRule
from vezha.alerting.runner import RecordRunner
from vezha.model.columns import is_stale
from vezha.model.labels import metric
from vezha.model.native import CUSTOM_SCHEMA, PART_LABEL, NativeSample, parts_of, without_part
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.query.native_source import with_histograms

T0 = 1_790_000_000_000


def _put(source: MemorySource, name: str, instance: str, ts_ms: int, sample: NativeSample) -> None:
    for part, value in parts_of(sample):
        labels = metric(name, instance=instance, **{PART_LABEL: part})
        source.append(labels, ts_ms, value)


def _sample(scale: int, **others: object) -> NativeSample:
    return NativeSample(
        schema=1, count=6.0 * scale, sum=9.0 * scale, zero=1.0 * scale, threshold=0.01,
        positive={-1: 2.0 * scale, 4: 2.0 * scale}, negative={0: 1.0 * scale},
    )  # fmt: skip


def _record(source: MemorySource, runner: RecordRunner, ts_ms: int, limit: int = 0) -> int:
    """Evaluate and write; how many stale marks."""
    labels, values = runner.evaluate(ask_of(Engine(source), parts=True), ts_ms, limit)
    for one, value in zip(labels, values.tolist(), strict=True):
        source.append(one, ts_ms, value)
    return int(np.count_nonzero(is_stale(values)))


def _shown(source: MemorySource, query: str, ts_ms: int) -> dict[str, str]:
    result = Engine(with_histograms(source)).instant(query, ts_ms)
    if result.hists is None:
        return {}
    return {
        dict(labels).get("instance", ""): str(result.hists[row, 0])
        for row, labels in enumerate(result.labels)
        if result.hists[row, 0] is not None
    }


@pytest.mark.parametrize("query", ["lat", "sum by (instance) (rate(lat[5m]))", "sum(lat)"])
def test_what_a_rule_records_is_what_its_query_gives(query: str) -> None:
    source = MemorySource()
    for i in range(5):
        for at, instance in enumerate(("a", "b")):
            _put(source, "lat", instance, T0 + i * 60_000, _sample(i + at + 1))
    now = T0 + 240_000
    runner = RecordRunner(RecordRule("lat:recorded", query, (("site", "kyiv"),), "key"))
    assert _record(source, runner, now, limit=2) == 0
    expected = _shown(source, query, now)
    assert expected
    assert _shown(source, 'lat:recorded{site="kyiv"}', now) == expected


def test_custom_bounds_and_floats_beside() -> None:
    source = MemorySource()
    custom = NativeSample(
        schema=CUSTOM_SCHEMA, count=5, sum=7.5, positive={0: 2, 2: 3}, bounds=(0.5, 1.0)
    )
    _put(source, "lat", "a", T0, custom)
    source.append(metric("lat", instance="f"), T0, 2.5)
    runner = RecordRunner(RecordRule("rec", "lat", (), "key"))
    _record(source, runner, T0)
    assert _shown(source, "rec", T0) == _shown(source, "lat", T0) != {}
    result = Engine(source).instant('rec{instance="f"}', T0)
    assert result.column.tolist() == [2.5]


def test_a_bucket_that_is_empty_later_is_no_end_and_a_histogram_that_is_gone_is() -> None:
    source = MemorySource()
    runner = RecordRunner(RecordRule("rec", "last_over_time(lat[59s])", (), "key"))
    _put(source, "lat", "a", T0, _sample(1))
    assert _record(source, runner, T0) == 0
    fewer = NativeSample(schema=1, count=2, sum=1, positive={4: 2.0})
    _put(source, "lat", "a", T0 + 60_000, fewer)
    assert _record(source, runner, T0 + 60_000) == 0
    assert _shown(source, "rec", T0 + 60_000) == _shown(source, "lat", T0 + 60_000)
    assert _record(source, runner, T0 + 180_000) == 2
    assert _shown(source, "rec", T0 + 180_000) == {}


def test_the_limit_counts_histograms() -> None:
    source = MemorySource()
    for instance in ("a", "b", "c"):
        _put(source, "lat", instance, T0, _sample(1))
    runner = RecordRunner(RecordRule("rec", "lat", (), "key"))
    assert _record(source, runner, T0, limit=3) == 0
    with pytest.raises(EvaluationError, match="gives 3 series, more than its limit of 2"):
        runner.evaluate(ask_of(Engine(source), parts=True), T0, 2)
    assert without_part(metric("x", **{PART_LABEL: "sum"})) == metric("x")
