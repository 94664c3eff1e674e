"""The engine: results, caches, limits, cancellation, statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.query.sources import counters, everything

from vezha.model.labels import metric
from vezha.query import (
    Engine,
    EngineOptions,
    EvaluationError,
    LimitExceeded,
    ParseError,
    QueryCancelled,
    QueryError,
    QueryLimits,
    QueryTimeout,
    ResultKind,
)
from vezha.query.encode import encode_result
from vezha.query.explain import explain_text, explain_tree
from vezha.query.memory import MemorySource


def test_instant_gives_a_vector() -> None:
    result = Engine(counters()).instant("rate(hits_total[1m])", 500_000)
    assert result.kind is ResultKind.VECTOR
    assert result.labels == [(("host", str(h)), ("job", "web")) for h in range(3)]
    assert result.column.tolist() == pytest.approx([1, 2, 3])
    assert result.column.shape == (3,)


def test_range_gives_a_matrix_with_a_mask() -> None:
    result = Engine(counters(2, 60)).range("hits_total", -2_000, 400_000, 1_000)
    assert result.kind is ResultKind.MATRIX
    assert result.values.shape == result.present.shape == (2, 403)
    assert not result.present[:, :2].any()
    assert result.present[:, 2:361].all()  # until the lookback after the last sample
    assert not result.present[:, 361:].any()
    assert math.isnan(result.filled()[0, 0])


def test_scalars_strings_and_raw_samples() -> None:
    engine = Engine(counters(1, 5))
    assert engine.instant("1 + 2", 0).scalar == 3
    assert engine.instant('"a"', 0).text == "a"
    raw = engine.instant("hits_total[2s]", 4_000).raw
    assert raw is not None
    assert raw.ts.tolist() == [3_000, 4_000]


def test_a_prepared_query_is_kept_and_can_be_reused() -> None:
    engine = Engine(counters())
    prepared = engine.prepare("sum(hits_total)")
    assert engine.prepare("sum(hits_total)") is prepared
    assert engine.instant(prepared, 10_000).column[0] == 60


def test_label_columns_are_reused_until_series_change() -> None:
    source = counters(2)
    engine = Engine(source)
    for _ in range(2):
        assert engine.instant("sum by (host) (hits_total)", 10_000).column.tolist() == [10, 20]
    source.append(metric("hits_total", host="9", job="web"), 10_000, 5.0)
    result = engine.instant("sum by (host) (hits_total)", 10_000)
    assert dict(result.items())[(("host", "9"),)] == 5.0


def test_steps_beyond_an_at_modifier_are_evaluated_once() -> None:
    result = Engine(counters(1)).range("hits_total @ 100 + time()", 200_000, 210_000, 5_000)
    assert result.values.tolist() == [[300.0, 305.0, 310.0]]


@pytest.mark.parametrize(
    ("limits", "query", "name"),
    [
        (QueryLimits(samples_max=100), "sum_over_time(hits_total[10m])", "samples_max"),
        (QueryLimits(series_max=2), "hits_total", "series_max"),
        (QueryLimits(cells_max=50), "hits_total", "cells_max"),
        (QueryLimits(bytes_max=100), "hits_total + hits_total", "bytes_max"),
        (QueryLimits(steps_max=10), "hits_total", "maximum resolution of 10 points"),
    ],
)
def test_limits_are_named(limits: QueryLimits, query: str, name: str) -> None:
    engine = Engine(counters(), limits)
    with pytest.raises(LimitExceeded, match=name):
        engine.range(query, 0, 500_000, 10_000)


def test_time_is_limited_and_nobody_waits_for_a_cancelled_query() -> None:
    engine = Engine(counters())
    with pytest.raises(QueryTimeout, match="seconds_max"):
        engine.instant("hits_total", 0, limits=QueryLimits(seconds_max=-1.0))
    calls = iter([False, True])
    with pytest.raises(QueryCancelled):
        engine.instant("hits_total + hits_total", 0, cancelled=lambda: next(calls))


def test_wrong_ranges_and_experimental_functions_are_refused() -> None:
    engine = Engine(counters())
    with pytest.raises(EvaluationError, match="step"):
        engine.range("up", 0, 1, 0)
    with pytest.raises(EvaluationError, match="end timestamp"):
        engine.range("up", 1, 0, 1)
    with pytest.raises(EvaluationError, match="range query"):
        engine.range("up[5m]", 0, 1, 1)
    plain = Engine(counters(), options=EngineOptions(experimental=False))
    with pytest.raises(ParseError, match="not enabled"):
        plain.instant("mad_over_time(up[5m])", 0)


def test_names_can_be_dropped_at_once() -> None:
    source = MemorySource()
    for name in ("a_total", "b_total"):
        source.extend(metric(name, host="0"), ((t * 1000, float(t)) for t in range(60)))
    query = 'count(rate({host="0"}[1m]))'
    assert Engine(source).instant(query, 59_000).column.tolist() == [2.0]
    at_once = Engine(source, options=EngineOptions(delayed_name_removal=False))
    with pytest.raises(EvaluationError, match="same labelset"):
        at_once.instant(query, 59_000)


def test_explain_shows_what_each_node_cost() -> None:
    query = "sum by (host) (rate(hits_total[1m])) > 1"
    result = Engine(counters()).range(query, 100_000, 200_000, 10_000, explain=True)
    root = explain_tree(result)[0]
    assert root["expr"] == query
    assert root["samples"] == result.stats.samples > 0
    rate = root["children"][0]["children"][0]
    assert (rate["expr"], rate["series"], rate["steps"]) == ("rate(hits_total[1m])", 3, 11)
    assert query in explain_text(result)


def test_a_source_hears_what_a_query_wants() -> None:
    source = counters()
    asked = []

    class Listening(MemorySource):
        def select(self, selection):  # type: ignore[no-untyped-def]
            asked.append(selection)
            return source.select(selection)

    Engine(Listening()).range("sum(rate(hits_total[1m] offset 10s))", 100_000, 200_000, 10_000)
    (selection,) = asked
    assert (selection.start_ms, selection.end_ms) == (30_000, 190_000)
    assert (selection.step_ms, selection.range_ms) == (10_000, 60_000)
    assert selection.function == "rate"


# Whatever is asked, only QueryError escapes, and range and instant queries agree.

VECTORS = st.sampled_from(
    ["hits_total", "level", "odd", 'wait_bucket{host="0"}', "wait", "nothing", '{host=~".+"}', "odd @ 45",
     "hits_total offset 10s", "hits_total offset -10s"]
)  # fmt: skip
SCALARS = st.sampled_from(
    ["1", "0", "-1.5", "NaN", "Inf", "time()", "scalar(level)", "0.9", "pi()"]
)
RANGES = st.sampled_from(
    ["[1m]", "[7s]", "[1m:5s]", "[30s:]", "[1ms]", "[45s] @ 60", "[20s] offset 5s"]
)
ONE = st.sampled_from(
    ["abs", "ceil", "exp", "ln", "sgn", "sort", "sort_desc", "absent", "timestamp", "histogram_count",
     "histogram_avg", "histogram_stddev", "day_of_week", "days_in_month", "year", "round", "-", "deg", "acos"]
)  # fmt: skip
OVER = st.sampled_from(
    ["rate", "increase", "delta", "irate", "idelta", "resets", "changes", "deriv", "sum_over_time",
     "avg_over_time", "min_over_time", "max_over_time", "count_over_time", "stddev_over_time",
     "stdvar_over_time", "last_over_time", "first_over_time", "present_over_time", "absent_over_time",
     "mad_over_time", "ts_of_max_over_time", "ts_of_min_over_time", "ts_of_last_over_time"]
)  # fmt: skip
AGGREGATE = st.sampled_from(["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"])
CHOOSE = st.sampled_from(["topk", "bottomk", "quantile", "limitk", "limit_ratio"])
BY = st.sampled_from(
    ["", " by (host)", " without (host)", " by ()", " by (__name__)", " by (le, job)"]
)
OPERATOR = st.sampled_from(
    ["+", "-", "*", "/", "%", "^", "atan2", "==", "!= bool", ">", "<= bool", "and", "or", "unless"]
)
MATCHING = st.sampled_from(
    [
        "",
        " on(host)",
        " ignoring(job)",
        " on(host) group_left(job)",
        " on() group_right",
        " on(host) fill(0)",
    ]
)


def compose(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def arithmetic(op: str) -> bool:
        return op not in ("and", "or", "unless")

    return st.one_of(
        st.builds(lambda f, v: f"{f}({v})", ONE, inner),
        st.builds(lambda a, by, v: f"{a}{by} ({v})", AGGREGATE, BY, inner),
        st.builds(lambda a, by, k, v: f"{a}{by} ({k}, {v})", CHOOSE, BY, SCALARS, inner),
        st.builds(lambda v, op, w: f"({v}) {op} ({w})", inner, OPERATOR.filter(arithmetic), SCALARS),
        st.builds(lambda v, op, m, w: f"({v}) {op}{m if ('group' not in m and 'fill' not in m) or arithmetic(op) else ''} ({w})", inner, OPERATOR, MATCHING, inner),
        st.builds(lambda q, v: f"histogram_quantile({q}, {v})", SCALARS, inner),
        st.builds(lambda v: f'label_replace({v}, "x", "$1", "host", "(.*)")', inner),
        st.builds(lambda f, v: f"{f}(({v})[40s:10s])", OVER, inner),
        st.builds(lambda q, v: f"quantile_over_time({q}, ({v})[40s:10s])", SCALARS, inner),
        st.builds(lambda v: f"count_values(\"v\", {v})", inner),
    )  # fmt: skip


LEAVES = st.one_of(
    VECTORS,
    st.builds(lambda f, v, r: f"{f}({v.split(' ')[0]}{r})", OVER, VECTORS, RANGES),
    st.builds(
        lambda v, r, s: f"predict_linear({v.split(' ')[0]}{r}, {s})", VECTORS, RANGES, SCALARS
    ),
    st.builds(lambda s: f"vector({s})", SCALARS),
)
QUERIES = st.recursive(LEAVES, compose, max_leaves=6)


@settings(deadline=None, max_examples=250)
@given(QUERIES)
@example("sum by (host) (wait_bucket) or topk(1, odd)")
@example("odd @ 9e15")
@example("odd @ -9e15 offset 292y")
@example("count_over_time(odd[292y])")
@example("count_over_time(odd[292y] offset -292y)")
@example("sum_over_time(odd[100y:1ms])")
@example("sum_over_time(odd[100y:1y])")
@example("count_over_time(odd[1m:1ms] @ 1e15)")
@example("topk(1e30, odd)")
@example("round(odd, 0)")
@example("vector(1) ^ 1e308")
def test_only_query_errors_escape_and_both_kinds_of_query_agree(query: str) -> None:
    engine = Engine(everything(), QueryLimits(seconds_max=20))
    try:
        ranged = engine.range(query, 30_000, 90_000, 30_000)
    except QueryError:
        return
    encode_result(ranged, "all")
    # which series there are, or their order, may hang on the last digit of a sum
    if any(word in query for word in ("sort", "limit", "topk", "bottomk", "count_values")):
        return
    for step, ts in enumerate((30_000, 60_000, 90_000)):
        instant = engine.instant(query, ts)
        got = dict(instant.items())
        wanted = {
            labels: float(ranged.values[row, step])
            for row, labels in enumerate(ranged.labels)
            if ranged.present[row, step]
        }
        assert got.keys() == wanted.keys()
        for labels, value in wanted.items():
            np.testing.assert_allclose(got[labels], value, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("query", "selections", "rows"),
    [
        ("hits_total < 0 and rate(hits_total[1m]) > 0", 1, 0),
        ("hits_total < 0 unless rate(hits_total[1m]) > 0", 1, 0),
        ("hits_total < 0 or hits_total", 2, 3),
        ("hits_total >= 0 and rate(hits_total[1m]) > 0", 2, 3),
        # what joins again after an empty part is asked, and an empty part keeps nothing of it
        ("hits_total < 0 and rate(hits_total[1m]) > 0 or hits_total and hits_total > 0", 3, 3),
        ("hits_total < 0 and up and rate(hits_total[1m]) unless hits_total", 1, 0),
    ],
)
def test_what_is_right_of_an_empty_left_side_is_not_read(
    query: str, selections: int, rows: int
) -> None:
    class Counting:
        def __init__(self) -> None:
            self.inner = counters()
            self.asked = 0

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def select(self, selection: object) -> object:
            self.asked += 1
            return self.inner.select(selection)  # type: ignore[arg-type]

    source = Counting()
    engine = Engine(source)  # type: ignore[arg-type]
    assert len(engine.instant(query, 500_000).labels) == rows
    assert source.asked == selections
    over = engine.range(query, 400_000, 500_000, 50_000)
    assert len(over.labels) == rows
