"""JSON of the API: numbers as Go prints them, times, gaps, histograms, annotations."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.query.sources import counters, everything

from vezha.query import Engine
from vezha.query.encode import (
    CHUNK_BYTES,
    api_float,
    encode_chunks,
    encode_result,
    float_texts,
    time_text,
)
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
