"""Messages: round trips, and hostile bytes raise one exception type only."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.wire import message as m
from vezha.wire.errors import CODES, ProtocolError
from vezha.wire.limits import CHUNK_BYTES_MAX

SAMPLES = [
    m.Hello(1, 1, "a-1", "s", "x", 12, 1000, "0.1.0", [1, 2**64 - 1], ["tripwires"]),
    m.Welcome(1, 5, 64, "db-1", [(0, 3), (9, 12)], [7]),
    m.Schema(2**64 - 1, b"abc"),
    m.Status(1, 2, 3, 4, 5, 6, 0.5),
    m.State({"os": "Debian"}, {"text": ""}, {"build": "b"}, ["ab"], ["config"]),
    m.Crossing("disk", True, 5, 93.5, {"mountpoint": "/"}),
    m.Bye("upgrade", 30.0),
    m.Time(-5),
    m.TimeReply(1, 2),
    m.Ack(64, 17, [(0, 1), (5, 2**62)]),
    m.Desired([{"kind": "config", "generation": 3}]),
    m.Fetch(7, "metadata/timestamp.json", 0, 65536),
    m.Chunk(7, m.CHUNK_HERE, 2, 6, b"abcd"),
    m.Progress(9, "script", 3, "ab" * 32, "finished", 5, "run-1", "exit 0", {"exit_code": 0}),
    m.ProgressAck(2**63),
    m.Tripwires(3, [{"name": "x"}]),
    m.SendState(),
    m.Enrol("db-1", {"cores": 2}),
    m.Enrolled("a-1", "secret", "db-1", "PEM", "{}"),
    m.Error("busy", "later", 2.5),
]


@pytest.mark.parametrize("message", SAMPLES, ids=lambda s: type(s).__name__)
def test_round_trip(message: m.Message) -> None:
    assert m.unpack(m.pack(message)) == message


def test_every_kind_has_a_sample() -> None:
    assert {type(s) for s in SAMPLES} == set(m.Message.__args__)  # type: ignore[attr-defined]


@given(st.one_of(st.binary(max_size=80), st.tuples(st.integers(0, 255), st.binary()).map(
    lambda t: bytes([t[0]]) + t[1])))  # fmt: skip
def test_rubbish(data: bytes) -> None:
    try:
        m.unpack(data)
    except ProtocolError as error:
        assert error.code in CODES


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from([s for s in SAMPLES if not isinstance(s, (m.Schema, m.Time, m.TimeReply, m.Ack, m.Chunk, m.ProgressAck))]), st.data())  # fmt: skip
def test_wrong_fields_are_protocol_errors(sample: m.Message, data: st.DataObject) -> None:
    packed = m.pack(sample)
    body = json.loads(packed[1:])
    for name in body:
        if data.draw(st.booleans()):
            body[name] = data.draw(json_value)
    try:
        back = m.unpack(packed[:1] + json.dumps(body).encode())
        assert type(back) is type(sample)
    except ProtocolError as error:
        assert error.code == "bad_message"


def test_unknown_fields_are_ignored() -> None:
    assert m.unpack(b"\x15" + b'{"reason":"x","future":1}') == m.Bye("x", 0.0)


def test_deep_json_is_refused() -> None:
    with pytest.raises(ProtocolError):
        m.unpack(b"\x15" + b"[" * 100_000)


def test_chunks_that_lie_are_refused() -> None:
    good = m.pack(m.Chunk(1, m.CHUNK_HERE, 0, 10, b"0123456789"))
    for wrong, code in (
        (good + b"x", "bad_message"),  # beyond the file's end
        (good[:1] + b"\x03" + good[2:], "bad_message"),  # a status that is none
        (good[:1] + b"\x01" + good[2:], "bad_message"),  # absent, yet with bytes
        (good + bytes(CHUNK_BYTES_MAX), "too_large"),
        (good[:10], "bad_message"),
    ):
        with pytest.raises(ProtocolError) as caught:
            m.unpack(wrong)
        assert caught.value.code == code
