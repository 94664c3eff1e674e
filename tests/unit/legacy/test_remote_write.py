"""Remote write: whatever is sent, the fast path says what a plain parse says."""

from __future__ import annotations

import struct
from typing import Any

import cramjam
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from vezha.legacy import protobuf
from vezha.legacy.batch import SampleBatch
from vezha.legacy.errors import BadBody, BodyTooLarge, UnknownFormat
from vezha.legacy.protobuf import RawWrite, Request2, TimeSeries, WriteRequest
from vezha.legacy.remote_write import RemoteWrite, message_of, unpack_array, unpack_body
from vezha.legacy.series import SeriesTable, sorted_labels
from vezha.legacy.write_request import U8, cut
from vezha.model.exemplar import Exemplar
from vezha.model.labels import metric
from vezha.model.metadata import MetricMetadata

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


def array_of(data: bytes) -> U8:
    return np.frombuffer(bytearray(data), np.uint8)


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
        assert decoded(writer.decode(array_of(request_of(rows))), table) == plain(rows)


NOW = 1_700_000_000_000
small = st.sampled_from([0.0, 1.0, -0.0, float("nan"), 1.5e300])
steady = st.lists(st.tuples(st.integers(0, 40), small), min_size=1, max_size=30)


@given(st.lists(steady, min_size=1, max_size=6), st.lists(st.integers(0, 3), max_size=4))
def test_what_is_sent_again_in_parts_equals_a_plain_parse(
    requests: list[list[tuple[int, float]]], repeats: list[int]
) -> None:
    """The same series in the same or another order, some of them gone, new, or become zero."""
    table = SeriesTable()
    writer = RemoteWrite(table)
    for at, which in enumerate([*range(len(requests)), *repeats]):
        of = requests[which % len(requests)]
        rows = [(name, [(value + at, NOW + 1000 * at + name % 2)]) for name, value in of]
        assert decoded(writer.decode(array_of(request_of(rows))), table) == plain(rows)


def rows_of(count: int, at: int, samples: int = 1) -> list[tuple[int, list[tuple[float, int]]]]:
    return [
        (i, [(float((i + at + s) % 7), NOW + at + s) for s in range(samples)]) for i in range(count)
    ]


def test_what_repeats_is_neither_parsed_nor_looked_up() -> None:
    table = SeriesTable()
    writer = RemoteWrite(table)
    writer.decode(array_of(request_of(rows_of(300, 0))))
    assert len(writer._memory) == 300
    writer._parse = None  # type: ignore[assignment,method-assign]  # must not be called
    writer._by_blobs = None  # type: ignore[assignment,method-assign]
    asked: list[bytes] = []

    def number_of(labels: bytes) -> int | None:
        asked.append(labels)
        return RemoteWrite._number_of(writer, labels)

    writer._number_of = number_of  # type: ignore[method-assign]
    same = [(i, [(2.0 if values[0][0] else 0.0, NOW + 5)]) for i, values in rows_of(300, 0)]
    assert decoded(writer.decode(array_of(request_of(same))), table) == plain(same)
    assert not asked
    # another beginning, some gone, some that became zero: a few are looked up
    part = [(i, [(0.0 if i in (90, 91, 200) else 2.0, NOW + 9)]) for i in range(37, 300) if i != 50]
    values = dict(rows_of(300, 0))
    part = [(i, [(0.0, t)] if not values[i][0][0] else [(v, t)]) for i, [(v, t)] in part]
    assert decoded(writer.decode(array_of(request_of(part))), table) == plain(part)
    assert 0 < len(asked) < 12
    # as many samples each as there may be
    three = rows_of(300, 1, samples=3)
    for _ in range(2):
        assert decoded(writer.decode(array_of(request_of(three))), table) == plain(three)


def test_labels_that_look_like_samples() -> None:
    """A tail's bytes within labels: the cut may be wrong about them, the samples never are."""
    stamp = b"\x10" + bytes([0x80 | 1] * 5) + b"\x31"
    for fake in (
        b"\x12\x07" + stamp,
        b"\x12\x10\x09" + b"abcdefgh" + stamp,
        b"\x09" + b"abcdef\x12\x07" + stamp,
        b"\x0a\x20\x12\x07" + stamp,
        b"\x07" + stamp,
    ):
        for samples in (0, 1, 2):
            table = SeriesTable()
            writer = RemoteWrite(table)
            for at in range(3):
                request = WriteRequest()
                for i in range(4):
                    series = request.timeseries.add()
                    series.labels.add(name="__name__", value=f"m{i}")
                    series.labels.add(name="zone", value="x")
                    for n in range(samples if i % 2 else 1):
                        series.samples.add(value=float(at * n), timestamp=NOW + at + n)
                raw = bytes(request.SerializeToString())
                # the same length, other bytes, which may be no UTF-8
                wide = WriteRequest()
                wide.ParseFromString(raw)
                wide.timeseries[1].labels[1].value = "y" * len(fake)
                raw = bytes(wide.SerializeToString()).replace(b"y" * len(fake), fake)
                assert outcome(writer, table, raw) == expected(raw)


def outcome(writer: RemoteWrite, table: SeriesTable, raw: bytes) -> object:
    try:
        batch = writer.decode(array_of(raw))
    except BadBody:
        return "refused"
    rows = zip(batch.numbers.tolist(), batch.ts_ms.tolist(), batch.values, strict=True)
    return sorted((table.labels(n), ts, struct.pack("<d", v)) for n, ts, v in rows)


def expected(raw: bytes) -> object:
    """What the protobuf library says."""
    request = WriteRequest()
    try:
        request.ParseFromString(raw)
        table = SeriesTable()
        rows = []
        for series in request.timeseries:
            labels = sorted_labels([(label.name, label.value) for label in series.labels])
            table.number(labels)
            rows += [(labels, s.timestamp, struct.pack("<d", s.value)) for s in series.samples]
    except (DecodeError, BadBody):
        return "refused"
    return sorted(rows)


@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=2),
)
def test_damaged_requests_equal_a_plain_parse(
    flips: list[tuple[int, int]], holes: list[tuple[int, int]]
) -> None:
    table = SeriesTable()
    writer = RemoteWrite(table)
    writer.decode(array_of(request_of(rows_of(9, 0))))
    raw = bytearray(request_of(rows_of(9, 1)))
    for at, byte in flips:
        raw[at % len(raw)] = byte
    for low, high in holes:
        if len(raw) > 1:
            del raw[min(low, high) % len(raw) : max(low, high) % len(raw)]
    if not raw:
        return
    for _ in range(2):
        assert outcome(writer, table, bytes(raw)) == expected(bytes(raw))


def test_long_series_are_cut() -> None:
    """Headers of one to four bytes."""
    request = WriteRequest()
    for size in (1, 200, 20_000, 3_000_000):
        series = request.timeseries.add()
        series.labels.add(name="__name__", value="m")
        series.labels.add(name="z", value="a" * size)
        series.samples.add(value=size, timestamp=NOW)
    raw = bytes(request.SerializeToString())
    found = cut(array_of(raw))
    assert found is not None
    assert (found.labels_at - found.start).tolist() == [2, 3, 4, 5]
    with pytest.raises(BadBody, match="characters"):
        RemoteWrite(SeriesTable()).decode(array_of(raw))


@given(st.binary(max_size=200))
def test_rubbish(data: bytes) -> None:
    writer = RemoteWrite(SeriesTable())
    for version in (1, 2):
        try:
            writer.decode(array_of(data)) if version == 1 else writer.decode_2(array_of(data))
        except BadBody:
            pass
    for unpack in (unpack_body, unpack_array):
        try:
            unpack(data, "snappy")
        except BadBody:
            pass


def test_a_table_that_begins_anew_forgets_the_prefixes() -> None:
    table = SeriesTable(series_max=3)
    writer = RemoteWrite(table)
    writer.decode(array_of(request_of([(i, [(1.0, 1_700_000_000_000)]) for i in range(3)])))
    assert table.make_room()
    rows = [(5, [(2.0, 1_700_000_000_000)]), (1, [(3.0, 1_700_000_000_000)])]
    assert decoded(writer.decode(array_of(request_of(rows))), table) == plain(rows)


def test_version_1_brings_exemplars_and_metadata() -> None:
    request = RawWrite()
    series = TimeSeries()
    for name, value in (("__name__", "up_bucket"), ("le", "1")):
        series.labels.add(name=name, value=value)
    series.samples.add(value=1.5, timestamp=NOW)
    one = series.exemplars.add(value=0.5, timestamp=NOW - 5)
    one.labels.add(name="trace_id", value="abc")
    request.timeseries.append(series.SerializeToString())
    about = protobuf.MetricMetadata(type=3, metric_family_name="up", help="How.", unit="seconds")
    request.metadata.append(about.SerializeToString())
    for raw in (request.SerializeToString(), request.SerializeToString()):
        table = SeriesTable()
        batch = RemoteWrite(table).decode(array_of(bytes(raw)))
        assert batch.values.tolist() == [1.5]
        assert batch.exemplars == [
            Exemplar(metric("up_bucket", le="1"), (("trace_id", "abc"),), 0.5, NOW - 5)
        ]
        assert batch.metadata == [("up", MetricMetadata("histogram", "How.", "seconds"))]
    request.metadata.append(b"\xff")
    with pytest.raises(BadBody, match="metadata"):
        RemoteWrite(SeriesTable()).decode(array_of(bytes(request.SerializeToString())))


def test_version_2() -> None:
    request = Request2(symbols=["", "__name__", "up", "job", "x"])
    series = request.timeseries.add(labels_refs=[1, 2, 3, 4])
    series.samples.add(value=1.5, timestamp=7)
    series.exemplars.add(labels_refs=[3, 4], value=2.5, timestamp=6)
    series.metadata.type = 1
    series.metadata.help_ref = 4
    table = SeriesTable()
    batch = RemoteWrite(table).decode_2(array_of(bytes(request.SerializeToString())))
    assert table.labels(int(batch.numbers[0])) == metric("up", job="x")
    assert batch.values.tolist() == [1.5]
    assert batch.left_out == {}
    up = metric("up", job="x")
    assert batch.exemplars == [Exemplar(up, (("job", "x"),), 2.5, 6)]
    assert batch.metadata == [("up", MetricMetadata("counter", "x", ""))]
    for field, value in (("help_ref", 9), ("unit_ref", 5)):
        odd = Request2(symbols=["", "__name__", "up"])
        setattr(odd.timeseries.add(labels_refs=[1, 2]).metadata, field, value)
        with pytest.raises(BadBody, match="beyond the symbols"):
            RemoteWrite(table).decode_2(array_of(bytes(odd.SerializeToString())))
    bad = Request2(symbols=[""])
    bad.timeseries.add(labels_refs=[0, 9])
    with pytest.raises(BadBody, match="references"):
        RemoteWrite(table).decode_2(array_of(bytes(bad.SerializeToString())))


def request_2(rows: list[tuple[int, float, int, int]], fake: str = "") -> bytes:
    """Series, value, time, start."""
    request = Request2(symbols=["", "__name__", "zone", fake or "z", *(f"m{i}" for i in range(40))])
    for which, value, ts, start in rows:
        series = request.timeseries.add(labels_refs=[1, 4 + which, 2, 3])
        sample = series.samples.add(value=value, timestamp=ts)
        if start:
            sample.start_timestamp = start
        if which % 3 == 0:
            series.metadata.type = 1
    return bytes(request.SerializeToString())


def outcome_2(writer: RemoteWrite, table: SeriesTable, raw: bytes) -> object:
    try:
        batch = writer.decode_2(array_of(raw))
    except BadBody:
        return "refused"
    rows = zip(batch.numbers.tolist(), batch.ts_ms.tolist(), batch.values, strict=True)
    found = sorted((table.labels(n), ts, struct.pack("<d", v)) for n, ts, v in rows)
    return found, sorted(batch.left_out.items())


def plain_2(raw: bytes) -> object:
    """What comes of it where nothing was sent before."""
    table = SeriesTable()
    return outcome_2(RemoteWrite(table), table, raw)


FAKES = ("", "\t", "\x12\x10\tabcdefgh\x10\x01", "\x12\x07\x10", "\x12\x10\t" + "\x12\x07\x10" * 6)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 30), small), min_size=1, max_size=9),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from(FAKES),
    st.integers(0, 2),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=2),
)
def test_version_2_again_equals_version_2_at_first(
    requests: list[list[tuple[int, float]]],
    fake: str,
    starts: int,
    flips: list[tuple[int, int]],
) -> None:
    table = SeriesTable()
    writer = RemoteWrite(table)
    for at in range(6):
        rows = [
            (which, value * (at + 1), NOW + 1000 * at, (NOW - 5) * (starts > which % 2))
            for which, value in requests[at % len(requests)]
        ]
        raw = bytearray(request_2(rows, fake))
        assert outcome_2(writer, table, bytes(raw)) == plain_2(bytes(raw))
        for place, byte in flips:
            raw[place % len(raw)] = byte
        assert outcome_2(writer, table, bytes(raw)) == plain_2(bytes(raw))


def test_version_2_that_repeats_itself_is_not_parsed() -> None:
    table = SeriesTable()
    writer = RemoteWrite(table)
    first = request_2([(i, float(i % 4), NOW, NOW - 7 if i % 4 else 0) for i in range(40)])
    again = request_2([(i, float(i % 4) * 3, NOW + 9, NOW - 7 if i % 4 else 0) for i in range(40)])
    writer.decode_2(array_of(first))
    writer._parse_2 = None  # type: ignore[assignment,method-assign]  # must not be called
    assert outcome_2(writer, table, again) == plain_2(again)


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
        RemoteWrite(SeriesTable()).decode(array_of(bytes(unsorted.SerializeToString())))


def test_what_is_known_one_by_one_stays_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that can neither be learned as a whole nor be cut teach their series all the same."""
    table = SeriesTable()
    writer = RemoteWrite(table)
    rows = rows_of(60, 1)
    odd = array_of(request_of([*rows, (99, [(1.0, 5)])]))  # a time of one byte
    for _ in range(2):
        assert decoded(writer.decode(odd.copy()), table) == plain([*rows, (99, [(1.0, 5)])])
    parsed: list[bytes] = []
    parse = writer._parse

    def parse_seen(blobs: list[bytes]) -> SampleBatch:
        parsed.extend(blobs)
        return parse(blobs)

    monkeypatch.setattr(writer, "_parse", parse_seen)
    assert decoded(writer.decode(odd.copy()), table) == plain([*rows, (99, [(1.0, 5)])])
    assert len(parsed) == 1


def test_hashes_that_are_equal_are_no_series_that_are_equal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from vezha.legacy import label_memory, series

    monkeypatch.setattr(label_memory, "hash", lambda _: 7, raising=False)
    monkeypatch.setattr(series, "hash", lambda _: 7, raising=False)
    table = SeriesTable()
    writer = RemoteWrite(table)
    for at in range(4):
        rows = rows_of(90, at)[at:]
        assert decoded(writer.decode(array_of(request_of(rows))), table) == plain(rows)
        by_blobs = writer._by_blobs(request_of(rows))
        assert decoded(by_blobs, table) == plain(rows)
    assert len(table) == 90
