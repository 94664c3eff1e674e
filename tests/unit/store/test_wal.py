"""WAL records: whole ones come back, torn ones end the reading, golden bytes stay readable."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.model.columns import STALE_NAN
from vezha.model.labels import metric
from vezha.store import tile
from vezha.store.delta import Delta, pack_delta, unpack_delta
from vezha.store.errors import StoreCorrupt
from vezha.store.wal import (
    DELTA,
    ENTRY,
    FRAME,
    FRAME_BODY,
    FRAME_HEAD,
    Wal,
    entries_of,
    pack_record,
    read_records,
)
from vezha.testing.disk import MemoryDisk

GOLDEN = Path(__file__).parent / "golden"
_entries = st.lists(st.tuples(st.integers(1, 3), st.binary(max_size=60)), max_size=5)


def _record(entries: list[tuple[int, bytes]]) -> bytes:
    pieces = [piece for kind, data in entries for piece in (ENTRY.pack(kind, len(data)), data)]
    return pack_record(pieces, len(entries))


def _entries_of(payload: bytes) -> list[tuple[int, bytes]]:
    return [(kind, bytes(data)) for kind, data in entries_of(payload)]


@given(st.lists(_entries, max_size=5))
def test_records_come_back(records: list[list[tuple[int, bytes]]]) -> None:
    segment = read_records(b"".join(map(_record, records)))
    assert [_entries_of(p) for p in segment.payloads] == records
    assert segment.good_bytes == segment.bytes_on_disk


@given(st.lists(_entries, min_size=1, max_size=4), st.data())
def test_damage_costs_the_record_that_it_lies_in(
    records: list[list[tuple[int, bytes]]], data: st.DataObject
) -> None:
    packed = [_record(r) for r in records]
    whole = b"".join(packed)
    at = data.draw(st.integers(0, len(whole) - 1))
    if torn := data.draw(st.booleans()):
        damaged = whole[:at]
    else:
        damaged = whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :]
    segment = read_records(damaged)
    before = 0
    end = 0
    for record in packed:
        if end + len(record) > at:
            break
        end += len(record)
        before += 1
    # the count of entries in a record's head (4 bytes) is not guarded: nothing is read by it
    in_count = damaged != whole[:at] and end + 12 <= at < end + 16
    if not in_count:
        after = [] if torn else records[before + 1 :]
        assert [_entries_of(p) for p in segment.payloads] == records[:before] + after
        behind = end + len(packed[before])
        assert segment.damaged == ([(end, behind)] if after else [])
        assert segment.good_bytes == (len(whole) if after else end)


def test_after_a_failure_the_record_is_not_found_in_the_segment() -> None:
    for operation in ("write", "sync"):
        disk = MemoryDisk(seed=4)
        wal = Wal(disk, "/wal")
        wal.append(1, _record([(2, b"first")]))
        disk.fail(operation, after=0, error=errno.EIO)
        with pytest.raises(OSError, match="Input/output"):
            wal.append(1, _record([(2, b"second")]))
        wal.append(2, _record([(2, b"second")]))
        assert [_entries_of(p) for p in wal.read(1).payloads] == [[(2, b"first")]]
        assert [_entries_of(p) for p in wal.read(2).payloads] == [[(2, b"second")]]
        assert wal.numbers() == [1, 2]
        assert wal.remove_through(1) == 1
        assert wal.numbers() == [2]


def test_a_delta_comes_back_and_rubbish_is_corrupt() -> None:
    labels = metric("up", instance="ї")
    delta = Delta(
        [(3, labels)], [(0, ())], [(7, b"\1\0\0\0", b"\0\0\0\0")], [(2**64 - 1, [labels])]
    )
    assert unpack_delta(pack_delta(delta)) == delta
    assert not Delta()
    with pytest.raises(StoreCorrupt):
        unpack_delta(b"rubbish")


def golden_record() -> bytes:
    """The record of `golden/record.hex`."""
    delta = Delta([(0, metric("up"))], [(0, (("instance", "db-1"),))], [(0, bytes(4), bytes(4))])
    packed = pack_delta(delta)
    frame = b"as it came"
    size = FRAME_BODY.size + len(frame)
    head = FRAME_HEAD.pack(FRAME, size, 0, 5, 42, 1_790_000_000_000)
    return pack_record([ENTRY.pack(DELTA, len(packed)), packed, head, frame], 2)


def golden_tile() -> tuple[list[int], list[int], list[list[int]], list[list[float]]]:
    """What `golden/tile.hex` holds: references, groups, times, values."""
    start = 1_790_000_000_000
    return (
        [10, 11, 500],
        [0, 0, 1],
        [[start + i * 1000 for i in range(6)], [start + 7, start + 1000, start + 9000]],
        [
            [1.0, 2.0, 4.0, 8.0, 16.0, STALE_NAN],
            [7.5] * 6,
            [0.25, -0.0, 1e300, 1e300, 1e300, 1e300],
        ],
    )


def test_golden_bytes_are_read() -> None:
    record = bytes.fromhex((GOLDEN / "record.hex").read_text())
    assert record == golden_record()
    opened = tile.decode(bytes.fromhex((GOLDEN / "tile.hex").read_text()))
    refs, groups, times, values = golden_tile()
    assert opened.refs.tolist() == refs
    assert opened.groups.tolist() == groups
    assert [t.tolist() for t in opened.times] == times
    bits = np.array(values).view(np.uint64)
    assert (opened.values(np.arange(3)).view(np.uint64) == bits).all()
