"""What goes to a remote engine: the request's bytes, and a queue that a crash does not empty."""

from __future__ import annotations

import errno

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vezha.model.columns import Matcher, MatchOp
from vezha.model.labels import Labels, labels_of, metric
from vezha.store.remote import selector
from vezha.store.remote_encode import label_bytes, varint, write_request
from vezha.store.remote_queue import Columns, RemoteQueue
from vezha.testing.disk import MemoryDisk

SERIES = [metric("a"), metric("b", x="y" * 200), labels_of({"__name__": "в", "z": "1"})]
rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1 << 35, (1 << 42) - 1), st.floats(width=64)),
    max_size=30,
)


def columns_of(given_: list[tuple[int, int, float]]) -> Columns:
    return Columns(
        np.array([r for r, _, _ in given_], np.int64),
        np.array([t for _, t, _ in given_], np.int64),
        np.array([v for _, _, v in given_], np.float64),
    )


def read_request(data: bytes) -> list[tuple[Labels, int, bytes]]:
    """A plain reader of the protobuf, written from the specification."""

    def fields(body: bytes) -> list[tuple[int, int | bytes]]:
        out: list[tuple[int, int | bytes]] = []
        at = 0

        def number() -> int:
            nonlocal at
            value = shift = 0
            while True:
                byte = body[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value

        while at < len(body):
            key = number()
            if key & 7 == 0:
                out.append((key >> 3, number()))
            elif key & 7 == 1:
                out.append((key >> 3, body[at : at + 8]))
                at += 8
            else:
                size = number()
                out.append((key >> 3, body[at : at + size]))
                at += size
        return out

    found = []
    for _, series in fields(data):
        assert isinstance(series, bytes)
        labels: list[tuple[str, str]] = []
        for field, body in fields(series):
            assert isinstance(body, bytes)
            inner = dict(fields(body))
            if field == 1:
                name, value = inner[1], inner[2]
                assert isinstance(name, bytes)
                assert isinstance(value, bytes)
                labels.append((name.decode(), value.decode()))
            else:
                ts, raw = inner[2], inner[1]
                assert isinstance(ts, int)
                assert isinstance(raw, bytes)
                found.append((tuple(labels), ts, raw))
    return found


@given(rows)
def test_the_request_says_what_the_columns_say(given_: list[tuple[int, int, float]]) -> None:
    columns = columns_of(given_)
    data, left_out = write_request(
        columns.refs, columns.ts_ms, columns.values, lambda ref: label_bytes(SERIES[ref])
    )
    assert left_out == 0
    wanted = [(SERIES[r], t, np.float64(v).tobytes()) for r, t, v in given_]
    assert sorted(read_request(data)) == sorted(wanted)


def test_times_that_no_engine_takes_are_counted() -> None:
    columns = columns_of([(0, 5, 1.0), (0, 1 << 40, 2.0)])
    data, left_out = write_request(
        columns.refs, columns.ts_ms, columns.values, lambda ref: label_bytes(SERIES[ref])
    )
    assert left_out == 1
    assert [row[1] for row in read_request(data)] == [1 << 40]
    assert varint(300) == b"\xac\x02"


class QueueMachine(RuleBasedStateMachine):
    """What `append` returned for is read in order until it is done, whatever breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryDisk(seed=9)
        self.queue = RemoteQueue(self.disk, "q", 1 << 30)
        self.number = 0
        self.waiting: list[float] = []

    @rule(n=st.integers(1, 5))
    def append(self, n: int) -> None:
        values = [float(self.number + i) for i in range(n)]
        self.number += n
        try:
            self.queue.append(columns_of([(0, 1 << 40, v) for v in values]))
        except OSError:
            return
        self.waiting += values

    @rule(most=st.integers(1, 8))
    def take(self, most: int) -> None:
        found = self.queue.read(most)
        if found is None:
            assert not self.waiting
            return
        got = found[0].values.tolist()
        assert got == self.waiting[: len(got)]
        self.queue.done(found[1])
        self.waiting = self.waiting[len(got) :]

    @rule()
    def disk_is_full_once(self) -> None:
        self.disk.fail("write", error=errno.ENOSPC)

    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        self.disk._faults.clear()
        if crash:
            self.disk.crash()
        else:
            self.queue.close()
        self.queue = RemoteQueue(self.disk, "q", 1 << 30)

    @invariant()
    def nothing_skipped(self) -> None:
        found = self.queue.read(1)
        assert (found is None) == (not self.waiting)


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


def test_when_full_the_oldest_goes_first_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vezha.store.remote_queue.SEGMENT_BYTES_MAX", 500)
    queue = RemoteQueue(MemoryDisk(), "q", 3000)
    random = np.random.default_rng(1)
    for _ in range(50):
        queue.append(Columns(np.arange(20), np.full(20, 1 << 40), random.random(20)))
    assert queue.dropped_segments > 0
    assert queue.waiting_bytes <= 3000 + 700
    found = queue.read(10)
    assert found is not None


def test_selectors() -> None:
    assert selector([Matcher("__name__", MatchOp.EQ, "up")]) == '{__name__="up"}'
    assert selector([Matcher("a", MatchOp.NRE, 'x"')]) == '{a!~"x\\"",__name__!=""}'
    assert selector([Matcher("a.b", MatchOp.EQ, "1")]) == '{"a.b"="1"}'
