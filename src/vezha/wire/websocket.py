"""WebSocket, client's side, without I/O (RFC 6455; section numbers below are its).

Just what the channel needs: one upgrade request, masked binary messages out, whole messages in
(fragments joined, since proxies may split), ping answered, close understood. No extensions.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from typing import List, Tuple  # noqa: UP035

from vezha.wire.errors import ProtocolError
from vezha.wire.limits import MESSAGE_BYTES_MAX

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_HTTP_HEAD_BYTES_MAX = 16 << 10


class Refused(Exception):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, status: int, reason: str, retry_after_s: float) -> None:
        super().__init__(f"HTTP {status} {reason}".strip())
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


def upgrade_request(host: str, path: str, key: bytes, headers: Mapping[str, str]) -> bytes:
    """The request that asks for a WebSocket (section 4.1). *key* is 16 random bytes."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(key).decode()}",
        "Sec-WebSocket-Version: 13",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    for line in lines:
        if "\r" in line or "\n" in line:
            raise ValueError("a header contains a line break")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def split_http_head(data: bytes) -> Tuple[bytes, bytes] | None:  # noqa: UP006
    """The HTTP head and what follows it, or None while it is incomplete. Raises ProtocolError."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if found:
        return head, rest
    if len(data) > _HTTP_HEAD_BYTES_MAX:
        raise ProtocolError("too_large", "the HTTP answer's head does not end")
    return None


def http_status(head: bytes) -> Tuple[int, str, dict[str, str]]:  # noqa: UP006
    """Status, reason and headers (lower-case names) of an HTTP answer. Raises ProtocolError."""
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
        raise ProtocolError("bad_message", "the answer is not HTTP")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(parts[1]), parts[2] if len(parts) > 2 else "", headers


def check_upgrade(head: bytes, key: bytes) -> None:
    """Check the answer to an upgrade request (section 4.1). Raises Refused or ProtocolError."""
    status, reason, headers = http_status(head)
    if status != 101:
        try:
            retry_after_s = max(0.0, float(headers.get("retry-after", "0")))
        except ValueError:
            retry_after_s = 0.0
        raise Refused(status, reason, min(retry_after_s, 3600.0))
    accept = base64.b64encode(
        hashlib.sha1(base64.b64encode(key) + _MAGIC, usedforsecurity=False).digest()
    ).decode()
    if headers.get("sec-websocket-accept") != accept:
        raise ProtocolError("bad_message", "the upgrade answer does not fit the request")


def pack_client_frame(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """One masked, final frame (section 5.2). *mask* is 4 fresh random bytes."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + mask + _masked(payload, mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    # One big whole-number XOR instead of a loop over bytes: microseconds for a frame.
    size = len(payload)
    wide = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(wide, "little")).to_bytes(
        size, "little"
    )


class Inbox:
    """Turns received bytes into whole messages."""

    def __init__(self, message_bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._parts: List[bytes] = []  # noqa: UP006
        self._opcode = 0
        self._max = message_bytes_max

    def feed(self, data: bytes) -> List[Tuple[int, bytes]]:  # noqa: UP006
        """(opcode, payload) of each message that is complete now, control frames among them.
        Raises ProtocolError."""
        self._buffer += data
        out: List[Tuple[int, bytes]] = []  # noqa: UP006
        while True:
            frame = self._cut()
            if frame is None:
                return out
            final, opcode, payload = frame
            if opcode >= CLOSE:
                if not final or len(payload) > 125:
                    raise ProtocolError("bad_message", "a fragmented or long control frame")
                out.append((opcode, payload))
                continue
            if (opcode == CONTINUATION) != bool(self._parts):
                raise ProtocolError("bad_message", "a fragment out of order")
            if opcode:
                self._opcode = opcode
            self._parts.append(payload)
            if sum(map(len, self._parts)) > self._max:
                raise ProtocolError("too_large", f"a message over {self._max} bytes")
            if final:
                out.append((self._opcode, b"".join(self._parts)))
                self._parts = []
            elif not payload and len(self._parts) > 1024:
                raise ProtocolError("bad_message", "endless empty fragments")

    def _cut(self) -> Tuple[bool, int, bytes] | None:  # noqa: UP006
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        if first & 0x70 or second & 0x80:
            raise ProtocolError("bad_message", "reserved bits, or a masked frame of a server")
        opcode = first & 0x0F
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise ProtocolError("bad_message", f"opcode {opcode}")
        size, at = second, 2
        if second == 126:
            if len(buffer) < 4:
                return None
            size, at = struct.unpack_from("!H", buffer, 2)[0], 4
        elif second == 127:
            if len(buffer) < 10:
                return None
            size, at = struct.unpack_from("!Q", buffer, 2)[0], 10
        if size > self._max:
            raise ProtocolError("too_large", f"a frame of {size} bytes")
        if len(buffer) < at + size:
            return None
        payload = bytes(buffer[at : at + size])
        del buffer[: at + size]
        return bool(first & 0x80), opcode, payload
