"""JSON of the API: numbers as Go prints them, times, gaps, histograms, annotations."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.query.sources import counters, everything

from vezha.model.labels import metric
from vezha.query import Engine, Result, ResultKind
from vezha.query.encode import CHUNK_BYTES, MetricTexts, encode_chunks, encode_result
from vezha.query.limits import BATCH_CELLS
from vezha.query.numbertext import api_float, float_texts, time_text
from vezha.query.text import go_float, go_quote, openmetrics_float


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (0.1 + 0.2, "0.30000000000000004"), (1e20, "100000000000000000000"),
        (1e21, "1e+21"), (1.5e-7, "1.5e-07"), (1e-6, "0.000001"), (5e-324, "5e-324"), (math.nan, "NaN"),
        (math.inf, "+Inf"), (-math.inf, "-Inf"), (123456789012345678.0, "123456789012345680"),
        (1.7976931348623157e308, "1.7976931348623157e+308"), (-2.5, "-2.5"),
    ],
)  # fmt: skip
def test_numbers_as_prometheus_prints_them(value: float, text: str) -> None:
    assert api_float(value) == text
    assert float_texts(np.array([value, 3.0])) == [text.encode(), b"3"]


@given(st.lists(st.floats(), max_size=20))
def test_numbers_come_back(values: list[float]) -> None:
    column = np.asarray(values, np.float64)
    back = np.asarray([float(text) for text in float_texts(column)])
    same = (back == column) | (np.isnan(back) & np.isnan(column))
    assert same.all()
    assert [api_float(v).encode() for v in values] == float_texts(column)


def test_percent_g_has_its_own_bounds() -> None:
    assert go_float(0.0001) == "0.0001"
    assert go_float(0.00001) == "1e-05"
    assert go_float(1e-5, "f") == "0.00001"
    assert openmetrics_float(1.0) == "1.0"
    assert openmetrics_float(0.25) == "0.25"
    assert go_quote('a"\n\udcc5') == '"a\\"\\n\\xc5"'


def test_times() -> None:
    assert [time_text(t) for t in (0, 1500, 1, -1500, 1_700_000_000_000)] == [
        "0", "1.500", "0.001", "-1.500", "1700000000",
    ]  # fmt: skip


def test_a_matrix_leaves_gaps_out() -> None:
    engine = Engine(counters(1, 5))
    text = encode_result(engine.range("hits_total > 2", 0, 4_500, 1_500), stats="1")
    answer = json.loads(text)
    assert answer["status"] == "success"
    assert answer["data"]["resultType"] == "matrix"
    (series,) = answer["data"]["result"]
    assert series["metric"] == {"__name__": "hits_total", "host": "0", "job": "web"}
    assert series["values"] == [[3, "3"], [4.5, "4"]]
    assert answer["data"]["stats"]["samples"]["totalQueryableSamples"] == 5


def test_vectors_scalars_strings_and_raw_samples() -> None:
    engine = Engine(counters(1, 5))

    def data(query: str) -> object:
        return json.loads(encode_result(engine.instant(query, 2_500)))["data"]["result"]

    metric = {"__name__": "hits_total", "host": "0", "job": "web"}
    assert data("hits_total") == [{"metric": metric, "value": [2.5, "2"]}]
    assert data("1/0") == [2.5, "+Inf"]
    assert data('"ü"') == [2.5, "ü"]
    assert data("hits_total[2s]") == [{"metric": metric, "values": [[1, "1"], [2, "2"]]}]
    assert data("nothing") == []


def test_histograms_and_annotations() -> None:
    engine = Engine(everything())
    answer = json.loads(encode_result(engine.instant("wait", 60_000)))
    assert answer["data"]["result"][0]["histogram"] == [
        60,
        {"count": "180", "sum": "240", "buckets": [[0, "0.5", "1", "60"], [0, "1", "2", "120"]]},
    ]
    warned = json.loads(encode_result(engine.instant("quantile(2, level)", 60_000)))
    assert warned["warnings"] == [
        "PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"
    ]
    noted = json.loads(encode_result(engine.instant("rate(level[1m])", 60_000)))
    assert "might not be a counter" in noted["infos"][0]


def test_big_answers_come_in_pieces() -> None:
    result = Engine(counters(40, 600)).range("hits_total", 0, 599_000, 1_000)
    pieces = list(encode_chunks(result))
    assert len(pieces) > 1
    assert all(len(piece) < 2 * CHUNK_BYTES for piece in pieces)
    assert len(json.loads(b"".join(pieces))["data"]["result"]) == 40


def _odd_values(count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    values = np.random.default_rng(7).normal(size=count) * 10.0 ** (np.arange(count) % 40 - 20)
    values[::7] = np.arange(count)[::7]
    values[5::97] = np.nan
    values[6::97] = np.inf
    return values


def _is_value(text: str, value: float) -> bool:
    return text == api_float(float(value)) and (float(text) == value or math.isnan(value))


@pytest.mark.parametrize("count", [1, 63, 64, 3 * BATCH_CELLS + 1])
def test_long_vectors_are_printed_in_batches_without_a_seam(count: int) -> None:
    labels = [metric("up", instance=f'h"{i}') for i in range(count)]
    values = _odd_values(count)
    result = Result(
        ResultKind.VECTOR, np.array([1500]), labels, values[:, None], np.ones((count, 1), np.bool_)
    )
    shown = json.loads(encode_result(result))["data"]["result"]
    assert [row["metric"] for row in shown] == [dict(one) for one in labels]
    assert all(row["value"][0] == 1.5 for row in shown)
    assert all(_is_value(row["value"][1], v) for row, v in zip(shown, values, strict=True))


@pytest.mark.parametrize("steps", [1, 3, BATCH_CELLS // 2, BATCH_CELLS + 1])
def test_matrices_mix_whole_rows_gaps_and_empty_rows(steps: int) -> None:
    rows = 100 if steps < 100 else 6
    labels = [metric("up", instance=str(i)) for i in range(rows)]
    values = _odd_values(rows * steps).reshape(rows, steps)
    present = np.ones((rows, steps), np.bool_)
    present[1] = False
    present[4, steps // 2] = False
    present[-1, 0] = False
    times = 1000 * np.arange(steps, dtype=np.int64)
    result = Result(ResultKind.MATRIX, times, labels, values, present)
    shown = json.loads(encode_result(result))["data"]["result"]
    kept = [i for i in range(rows) if present[i].any()]
    assert [row["metric"] for row in shown] == [dict(labels[i]) for i in kept]
    for row, i in zip(shown, kept, strict=True):
        at = np.flatnonzero(present[i])
        assert [ts for ts, _ in row["values"]] == at.tolist()
        assert all(
            _is_value(text, v) for (_, text), v in zip(row["values"], values[i, at], strict=True)
        )


def test_kept_texts_are_those_of_the_label_sets_asked_for() -> None:
    kept = MetricTexts(2, 1_000)
    many = [metric("up", instance=str(i)) for i in range(200)]
    assert kept.texts(many) == [
        json.dumps(dict(one), separators=(",", ":")).encode() for one in many
    ]
    assert kept.texts(list(many)) is kept.texts(many)
    other = [*many[:-1], metric("up", instance="other")]
    assert kept.texts(other)[-1] == b'{"__name__":"up","instance":"other"}'
    assert kept.texts(many[:-1]) == kept.texts(many)[:-1]
    huge = [metric("up", instance=str(i)) for i in range(1_001)]
    assert kept.texts(huge) is not kept.texts(huge), "too many are not kept"
