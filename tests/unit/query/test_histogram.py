"""Native histograms: buckets, arithmetic, resets, quantiles."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vezha.model.native import CUSTOM_SCHEMA
from vezha.query.histogram import (
    Hint,
    Histogram,
    MixedSchemas,
    added_up,
    exponential_bound,
)
from vezha.query.native_quantile import fraction, mean, quantile
from vezha.query.native_trim import trimmed

BUCKETS = st.dictionaries(st.integers(-8, 8), st.integers(1, 100).map(float), max_size=6)


@st.composite
def histograms(draw: st.DrawFn) -> Histogram:
    positive, negative = draw(BUCKETS), draw(BUCKETS)
    zero = float(draw(st.integers(0, 5)))
    count = sum(positive.values()) + sum(negative.values()) + zero
    return Histogram(
        draw(st.integers(-2, 4)), count, float(draw(st.integers(-100, 100))),
        draw(st.sampled_from([0.0, 0.001, 0.5])), zero, positive, negative,
    )  # fmt: skip


def test_bounds_of_exponential_buckets() -> None:
    assert exponential_bound(0, 0) == 1.0
    assert exponential_bound(0, 3) == 8.0
    assert exponential_bound(-1, 1) == 4.0
    assert exponential_bound(1, 1) == pytest.approx(math.sqrt(2))
    assert exponential_bound(0, 1024) == pytest.approx(1.797693134862315e308)
    assert exponential_bound(0, 1025) == math.inf


@given(histograms(), histograms())
def test_addition_keeps_every_observation(a: Histogram, b: Histogram) -> None:
    total = a.plus(b).histogram
    assert total.count == a.count + b.count
    assert sum(bucket.count for bucket in total.buckets()) == pytest.approx(total.count)
    assert total.schema == min(a.schema, b.schema)
    back = total.minus(b).histogram
    assert back.count == a.count
    assert added_up([a, b], mean=False).histogram.same(total)


@given(histograms())
def test_a_histogram_does_not_fall_below_itself(a: Histogram) -> None:
    assert not a.fell_below(a)
    assert a.plus(a).histogram.fell_below(a) is False
    if a.count:
        assert a.fell_below(a.plus(a).histogram)


@given(histograms(), st.floats(0, 1))
def test_quantile_and_fraction_agree(a: Histogram, q: float) -> None:
    value = quantile(a, q).value
    if a.count == 0:
        assert math.isnan(value)
        return
    assert fraction(a, -math.inf, math.inf) == pytest.approx(1.0)
    assert fraction(a, -math.inf, value) <= q + 0.51 or a.zero_count or a.negative


@given(histograms(), st.floats(-20, 20))
def test_trimming_splits_in_two(a: Histogram, edge: float) -> None:
    assume(edge != 0)  # observations of exactly 0 are on both sides of it
    below, above = trimmed(a, edge, upper=True), trimmed(a, edge, upper=False)
    assert below.count + above.count == pytest.approx(a.count)


def test_hints_and_mixed_schemas() -> None:
    plain, gauge = Histogram(count=1), Histogram(count=1, hint=Hint.GAUGE)
    assert plain.plus(gauge).histogram.hint is Hint.GAUGE
    reset, rest = Histogram(hint=Hint.RESET), Histogram(hint=Hint.NOT_RESET)
    assert reset.plus(rest).collision
    with pytest.raises(MixedSchemas):
        plain.plus(Histogram(CUSTOM_SCHEMA, bounds=(1.0,)))


def test_custom_bounds_are_reconciled() -> None:
    a = Histogram(CUSTOM_SCHEMA, 3, positive={0: 1.0, 1: 2.0}, bounds=(1.0, 5.0))
    b = Histogram(CUSTOM_SCHEMA, 4, positive={0: 4.0}, bounds=(5.0,))
    total = a.plus(b)
    assert total.reconciled
    assert total.histogram.bounds == (5.0,)
    assert total.histogram.positive == {0: 7.0}


def test_text_and_mean() -> None:
    histogram = Histogram(0, 4, 10, positive={0: 1.0, 1: 3.0})
    assert str(histogram) == "{count:4, sum:10, (0.5,1]:1, (1,2]:3}"
    assert mean(histogram) == 2.5
