"""Windows: the quick ways of counting and reducing give what the plain ones do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.model.labels import metric
from vezha.query import window
from vezha.query.block import Samples
from vezha.query.labelcolumn import LabelColumn

_SERIES = st.lists(
    st.lists(st.integers(0, 200), unique=True, max_size=12).map(sorted), min_size=1, max_size=5
)


def _samples(series: list[list[int]]) -> Samples:
    offsets = np.cumsum([0, *map(len, series)])
    ts = np.array([t for one in series for t in one], np.int64)
    labels = LabelColumn([metric("m", n=str(i)) for i in range(len(series))])
    return Samples(labels, ts, ts.astype(np.float64), offsets)


@given(_SERIES, st.integers(-20, 220), st.integers(1, 60), st.integers(3, 12))
def test_samples_are_counted_by_step(
    series: list[list[int]], start: int, step: int, count: int
) -> None:
    samples = _samples(series)
    times = start + step * np.arange(count, dtype=np.int64)
    wanted = [[sum(t <= time for t in one) for time in times] for one in series]
    before = samples.offsets[:-1, None]
    for each in (0, 100):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(window, "STEP_SAMPLES_MAX", each)
            found = window.count_until(samples, times)
        assert (found - before).tolist() == wanted


@given(
    st.lists(st.floats(), min_size=1, max_size=30),
    st.lists(st.tuples(st.integers(0, 29), st.integers(0, 2)), min_size=1, max_size=10),
    st.sampled_from([np.add, np.fmax, np.minimum]),
)
def test_short_windows_are_reduced_as_long_ones(
    column: list[float], windows: list[tuple[int, int]], ufunc: np.ufunc
) -> None:
    values = np.array(column)
    lo = np.array([min(at, len(column)) for at, _ in windows], np.int64)
    hi = np.minimum(lo + np.array([size for _, size in windows], np.int64), len(column))
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):  # as in the engine
        short = window.reduce_ranges(ufunc, values, lo, hi, -1.0)
        patch.setattr(window, "SHORT_WINDOW_SAMPLES", -1)
        plain = window.reduce_ranges(ufunc, values, lo, hi, -1.0)
    np.testing.assert_array_equal(short, plain)
