"""Frames and schemas: bit-exact both ways, golden bytes, and no damage passes."""

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.model.labels import labels_of, metric
from vezha.wire.errors import ProtocolError
from vezha.wire.frame import pack_frame, read_head, unpack_payload, values_of
from vezha.wire.schema import (
    canonical_bytes,
    pack_schema,
    schema_id_of,
    tells_checks,
    unpack_schema,
)

GOLDEN = Path(__file__).parent / "golden"
any_float = st.integers(0, 2**64 - 1).map(lambda n: struct.unpack("<d", struct.pack("<Q", n))[0])
SERIES = (metric("node_load1"), metric("node_cpu_seconds_total", cpu="0", mode="idle"))


@given(
    st.lists(st.one_of(any_float, st.just(0.0), st.integers(0, 10**9).map(float)), min_size=1),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**44),
)
def test_values_return_bit_by_bit(values: list[float], seq: int, schema: int, ts_ms: int) -> None:
    head, back = values_of(pack_frame(seq, schema, ts_ms, values))
    assert (head.seq, head.schema_id, head.ts_ms) == (seq, schema, ts_ms)
    assert [struct.pack("<d", v) for v in back] == [struct.pack("<d", v) for v in values]


@given(st.data())
def test_any_flipped_bit_is_noticed(data: st.DataObject) -> None:
    record = bytearray(pack_frame(7, 1, 1000, [1.5, 2.5, math.inf]))
    at = data.draw(st.integers(0, len(record) * 8 - 1))
    record[at // 8] ^= 1 << (at % 8)
    with pytest.raises(ProtocolError):
        read_head(bytes(record))


@given(st.binary(max_size=200))
def test_rubbish_raises_only_protocol_errors(data: bytes) -> None:
    try:
        unpack_payload(read_head(data), data)
    except ProtocolError:
        pass
    try:
        unpack_schema(1, data)
    except ProtocolError:
        pass


def test_golden_bytes() -> None:
    # read, not written: another zlib may pack the same values into other bytes
    head, values = values_of(bytes.fromhex((GOLDEN / "frame.hex").read_text()))
    assert (head.seq, head.schema_id) == (258, 0x0102030405060708)
    assert (head.ts_ms, values) == (1_763_000_000_437, (1.0, 0.25))
    canonical = canonical_bytes(SERIES)
    assert canonical == (GOLDEN / "schema.json").read_bytes().rstrip(b"\n")
    assert f"{schema_id_of(canonical):016x}" == (GOLDEN / "schema.id").read_text().strip()


label = st.text(min_size=1, max_size=8).filter(lambda s: s.isprintable())


@given(st.lists(st.dictionaries(label, label, max_size=4), min_size=1, max_size=6))
def test_schema_round_trip(rows: list[dict[str, str]]) -> None:
    series = tuple({labels_of({**r, "__name__": f"m{i}"}) for i, r in enumerate(rows)})
    if any(name in ("instance", "job") for s in series for name, _ in s):
        return
    schema_id, packed = pack_schema(series)
    assert unpack_schema(schema_id, packed) == series


@pytest.mark.parametrize(
    "row",
    [
        [["__name__", ""]],
        [["b", "1", "a", "2", "__name__", "x"]],
        [["__name__", "x"], ["__name__", "x"]],
        [["a", "1"]],
        [["__name__", "up", "instance", "db-1"]],
        [["__name__", "x", "y"]],
        [[1, 2]],
        [],
        {},
    ],
)
def test_bad_schemas_are_refused(row: object) -> None:
    import json
    import zlib

    canonical = json.dumps(row, separators=(",", ":")).encode()
    with pytest.raises(ProtocolError, match="bad_schema"):
        unpack_schema(schema_id_of(canonical), zlib.compress(canonical))


def test_a_schema_bomb_is_cut_off() -> None:
    import zlib

    bomb = zlib.compress(b"[" + b" " * (64 << 20))
    with pytest.raises(ProtocolError, match="too_large"):
        unpack_schema(1, bomb)


def test_only_checks_name_what_they_look_at() -> None:
    target = {"job": "shop", "instance": "https://shop.example/"}
    checks = (
        labels_of({"__name__": "probe_success", **target}),
        labels_of({"__name__": "vezha_check_up", "type": "http", **target}),
    )
    assert tells_checks(unpack_schema(*pack_schema(checks)))
    assert not tells_checks(SERIES)
    for wrong in (
        (*checks, labels_of({"__name__": "node_load1", **target})),
        (*checks, labels_of({"__name__": "probe_success"})),
        (labels_of({"__name__": "probe_success", "job": "shop"}),),
        (labels_of({"__name__": "probe_success", "from": "db-1", **target}),),
    ):
        with pytest.raises(ProtocolError, match="set by the server"):
            unpack_schema(*pack_schema(wrong))
