"""Remote write: whatever is sent, the fast path says what a plain parse says."""

from __future__ import annotations

import struct
from typing import Any

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.legacy.batch import SampleBatch
from vezha.legacy.errors import BadBody, BodyTooLarge, UnknownFormat
from vezha.legacy.protobuf import Request2, WriteRequest
from vezha.legacy.remote_write import RemoteWrite, message_of, unpack_body
from vezha.legacy.series import SeriesTable
from vezha.model.labels import metric

any_float = st.one_of(
    st.just(0.0),
    st.just(-0.0),
    st.integers(0, 2**64 - 1).map(lambda n: struct.unpack("<d", struct.pack("<Q", n))[0]),
)
stamp = st.one_of(
    st.integers(1_500_000_000_000, 1_900_000_000_000),
    st.integers(-(2**62), 2**62),
    st.just(0),
)
one_series = st.tuples(st.integers(0, 6), st.lists(st.tuples(any_float, stamp), max_size=3))


def request_of(rows: list[tuple[int, list[tuple[float, int]]]]) -> bytes:
    request = WriteRequest()
    for which, samples in rows:
        series = request.timeseries.add()
        for name, value in (("__name__", f"m{which}"), ("zone", "a" * which)):
            if value:
                series.labels.add(name=name, value=value)
        for number, ts in samples:
            series.samples.add(value=number, timestamp=ts)
    return bytes(request.SerializeToString())


def plain(rows: list[tuple[int, list[tuple[float, int]]]]) -> list[Any]:
    return sorted(
        (which, ts, struct.pack("<d", value)) for which, samples in rows for value, ts in samples
    )


def decoded(batch: SampleBatch, table: SeriesTable) -> list[Any]:
    rows = zip(batch.numbers.tolist(), batch.ts_ms.tolist(), batch.values, strict=True)
    return sorted(
        (int(dict(table.labels(n))["__name__"][1:]), ts, struct.pack("<d", v)) for n, ts, v in rows
    )


@given(st.lists(st.lists(one_series, max_size=6), min_size=1, max_size=4))
def test_equals_a_plain_parse(requests: list[list[tuple[int, list[tuple[float, int]]]]]) -> None:
    table = SeriesTable()
    writer = RemoteWrite(table)
    for rows in requests:
        assert decoded(writer.decode(request_of(rows)), table) == plain(rows)


def test_the_second_request_takes_the_fast_path() -> None:
    table = SeriesTable()
    writer = RemoteWrite(table)
    rows = [(i, [(float(i % 2), 1_700_000_000_000)]) for i in range(7)]
    writer.decode(request_of(rows))
    assert len(writer._by_prefix) == 7
    writer._parse = None  # type: ignore[assignment,method-assign]  # must not be called
    assert decoded(writer.decode(request_of(rows)), table) == plain(rows)


@given(st.binary(max_size=200))
def test_rubbish(data: bytes) -> None:
    writer = RemoteWrite(SeriesTable())
    for decode in (writer.decode, writer.decode_2):
        try:
            decode(data)
        except BadBody:
            pass
    try:
        unpack_body(data, "snappy")
    except BadBody:
        pass


def test_a_table_that_begins_anew_forgets_the_prefixes() -> None:
    table = SeriesTable(series_max=3)
    writer = RemoteWrite(table)
    writer.decode(request_of([(i, [(1.0, 1_700_000_000_000)]) for i in range(3)]))
    assert table.make_room()
    rows = [(5, [(2.0, 1_700_000_000_000)]), (1, [(3.0, 1_700_000_000_000)])]
    assert decoded(writer.decode(request_of(rows)), table) == plain(rows)


def test_version_2() -> None:
    request = Request2(symbols=["", "__name__", "up", "job", "x"])
    series = request.timeseries.add(labels_refs=[1, 2, 3, 4])
    series.samples.add(value=1.5, timestamp=7)
    series.histograms.append(b"")
    table = SeriesTable()
    batch = RemoteWrite(table).decode_2(bytes(request.SerializeToString()))
    assert table.labels(int(batch.numbers[0])) == metric("up", job="x")
    assert batch.values.tolist() == [1.5]
    assert batch.left_out == {"histograms": 1}
    bad = Request2(symbols=[""])
    bad.timeseries.add(labels_refs=[0, 9])
    with pytest.raises(BadBody, match="references"):
        RemoteWrite(table).decode_2(bytes(bad.SerializeToString()))


def test_what_is_refused() -> None:
    with pytest.raises(UnknownFormat):
        message_of("application/json")
    with pytest.raises(UnknownFormat):
        message_of("application/x-protobuf;proto=x")
    assert message_of("application/x-protobuf;proto=io.prometheus.write.v2.Request").endswith(
        "v2.Request"
    )
    with pytest.raises(UnknownFormat):
        unpack_body(b"x", "gzip")
    with pytest.raises(BodyTooLarge):
        unpack_body(b"\xff\xff\xff\xff\x0f" + b"x", "snappy")
    body = b"a" * 1000
    assert unpack_body(bytes(cramjam.snappy.compress_raw(body)), "snappy") == body
    unsorted = WriteRequest()
    series = unsorted.timeseries.add()
    series.labels.add(name="a", value="1")
    series.samples.add(value=1, timestamp=1)
    with pytest.raises(BadBody, match="no name"):
        RemoteWrite(SeriesTable()).decode(bytes(unsorted.SerializeToString()))
