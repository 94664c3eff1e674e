"""The WebSocket client against the `websockets` library, fragments and hostile bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from vezha.wire import websocket as ws
from vezha.wire.errors import ProtocolError


def test_talks_to_a_real_implementation() -> None:
    server = ServerProtocol()
    key = bytes(range(16))
    server.receive_data(
        ws.upgrade_request("h:1", "/v1/agent", key, {"Sec-WebSocket-Protocol": "vezha.1"})
    )
    (request,) = server.events_received()
    server.send_response(server.accept(request))  # type: ignore[arg-type]
    answer = b"".join(server.data_to_send())
    split = ws.split_http_head(answer)
    assert split is not None
    ws.check_upgrade(split[0], key)
    for size in (0, 5, 125, 126, 70_000):
        payload = bytes(i % 251 for i in range(size))
        server.receive_data(ws.pack_client_frame(ws.BINARY, payload, b"\x01\x02\x03\xff"))
        (frame,) = server.events_received()
        assert isinstance(frame, Frame)
        assert (frame.opcode, bytes(frame.data)) == (Opcode.BINARY, payload)
        server.send_binary(payload)
        inbox = ws.Inbox()
        assert inbox.feed(b"".join(server.data_to_send())) == [(ws.BINARY, payload)]


@given(st.lists(st.binary(max_size=300), max_size=5), st.lists(st.integers(1, 50)))
def test_any_cut_and_fragmentation_gives_whole_messages(
    payloads: list[bytes], cuts: list[int]
) -> None:
    stream = b""
    for payload in payloads:
        half = len(payload) // 2
        stream += Frame(Opcode.BINARY, payload[:half], fin=False).serialize(mask=False)
        stream += Frame(Opcode.PING, b"x").serialize(mask=False)
        stream += Frame(Opcode.CONT, payload[half:]).serialize(mask=False)
    inbox, out, at = ws.Inbox(), [], 0
    for cut in [*cuts, len(stream)]:
        out += inbox.feed(stream[at : at + cut])
        at += cut
    assert [p for op, p in out if op == ws.BINARY] == payloads


@given(st.binary(max_size=400))
def test_rubbish(data: bytes) -> None:
    try:
        ws.Inbox(1000).feed(data)
        head = ws.split_http_head(data)
        if head:
            ws.check_upgrade(head[0], b"x" * 16)
    except (ProtocolError, ws.Refused):
        pass


def test_refusal_carries_retry_after() -> None:
    with pytest.raises(ws.Refused) as caught:
        ws.check_upgrade(b"HTTP/1.1 503 Busy\r\nRetry-After: 7", b"x" * 16)
    assert (caught.value.status, caught.value.retry_after_s) == (503, 7.0)


def test_header_injection_is_impossible() -> None:
    with pytest.raises(ValueError, match="line break"):
        ws.upgrade_request("h", "/", b"k" * 16, {"Authorization": "x\r\nEvil: 1"})
