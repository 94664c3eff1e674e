"""Rows of a matrix with their text: cut and put together they are as if printed anew."""

from __future__ import annotations

from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vezha.model.labels import Labels, metric
from vezha.query.limits import BATCH_CELLS
from vezha.query.numbertext import api_float, time_text
from vezha.query.rows import Rows
from vezha.query.rowtexts import row_texts

LABELS = [metric("up", instance=str(i)) for i in range(4)]
STEPS_MAX = 6


def rows_of(labels: list[Labels], start_ms: int, step_ms: int, draw: st.DataObject) -> Rows:
    shape = (len(labels), draw.draw(st.integers(0, STEPS_MAX)))
    values = draw.draw(arrays.arrays(np.float64, shape))
    present = draw.draw(arrays.arrays(np.bool_, shape))
    times = start_ms + step_ms * np.arange(shape[1], dtype=np.int64)
    return Rows(labels, times, values, present)


def printed_one_by_one(rows: Rows) -> list[bytes]:
    return [
        ",".join(
            f'[{time_text(ts)},"{api_float(value)}"]'
            for ts, value, there in zip(rows.times.tolist(), line.tolist(), mask, strict=True)
            if there
        ).encode()
        for line, mask in zip(rows.values, rows.present, strict=True)
    ]


def some_labels(draw: st.DataObject) -> list[Labels]:
    return sorted(draw.draw(st.sets(st.sampled_from(LABELS))))


@given(st.data(), st.integers(-9_999, 9_999), st.sampled_from([1, 250, 1_000, 60_000]))
def test_text_that_was_moved_is_as_if_printed_anew(
    draw: st.DataObject, start_ms: int, step_ms: int
) -> None:
    before = rows_of(some_labels(draw), start_ms, step_ms, draw)
    until = draw.draw(st.integers(0, len(before.times)))
    first = draw.draw(st.integers(0, until))
    after = rows_of(some_labels(draw), start_ms + step_ms * until, step_ms, draw)
    moved = before.printed().cut(first, until).then(after.printed()).without_empty()
    assert moved.texts == printed_one_by_one(moved)
    assert all(moved.texts)
    # and without text they are the same rows
    plain = before.cut(first, until).then(after).without_empty()
    assert plain.texts is None
    assert plain.labels == moved.labels
    for one, other in ((before, slice(first, until)), (after, slice(None))):
        for label, values, present in zip(one.labels, one.values, one.present, strict=True):
            kept = present[other]
            if label in moved.labels:
                row = moved.labels.index(label)
                columns = np.isin(moved.times, one.times[other])
                assert np.array_equal(moved.present[row, columns], kept)
                mine = moved.values[row, columns][kept]
                assert np.array_equal(mine, values[other][kept], equal_nan=True)
            else:
                assert not kept.any()
    assert np.array_equal(plain.values.view(np.int64), moved.values.view(np.int64))
    assert np.array_equal(plain.present, moved.present)


def test_rows_are_printed_some_at_a_time() -> None:
    rows, steps = 50, BATCH_CELLS // 10
    values = np.arange(rows * steps, dtype=np.float64).reshape(rows, steps)
    present = np.ones((rows, steps), np.bool_)
    present[20:30, :7] = False
    times = 1_000 * np.arange(steps, dtype=np.int64)
    pieces = list(row_texts(times, values, present))
    assert max(map(len, pieces)) == 10
    labels = [metric("up", instance=str(i)) for i in range(rows)]
    assert [*chain(*pieces)] == printed_one_by_one(Rows(labels, times, values, present))
