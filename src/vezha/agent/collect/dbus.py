"""Enough of D-Bus to ask systemd (format: the D-Bus Specification, "Message Protocol").

Rules: little-endian messages go out, both orders are read; arguments are strings only; file
descriptors are never negotiated. A peer that breaks the format raises `DbusError`, after which
the connection is closed and made anew.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import Any, NamedTuple

from vezha.agent.limits import DBUS_MESSAGE_BYTES_MAX

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4

_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_FIXED = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
_DEPTH_MAX = 32


_BROKEN = (struct.error, LookupError, TypeError, ValueError)
"""What reading bytes that are not D-Bus may raise."""


class DbusError(OSError):
    """The bus refused, or does not speak D-Bus."""


class Message(NamedTuple):
    """A message received; `body` holds its arguments."""

    kind: int
    reply_to: int
    path: str
    interface: str
    member: str
    signature: str
    raw: bytes
    body_at: int
    is_little: bool

    @property
    def body(self) -> list[Any]:
        """The arguments: numbers, str, bool, lists, tuples (structures), dicts; variants bare.

        Raises `DbusError`."""
        reader = _Reader(self.raw, self.body_at, self.is_little)
        try:
            return [reader.value(part) for part in split_signature(self.signature)]
        except _BROKEN as error:
            raise DbusError(f"a body that cannot be read: {error}") from None


def split_signature(signature: str) -> list[str]:
    """The complete types of *signature*: "sa{sv}as" is "s", "a{sv}", "as"."""
    parts = []
    at = 0
    while at < len(signature):
        end = _type_end(signature, at)
        parts.append(signature[at:end])
        at = end
    return parts


def _type_end(signature: str, at: int) -> int:
    start = at
    while at < len(signature) and signature[at] == "a":
        at += 1
    if at >= len(signature) or at - start > _DEPTH_MAX:
        raise DbusError(f"bad signature {signature!r}")
    if signature[at] not in "({":
        return at + 1
    depth = 0
    for end in range(at, len(signature)):
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(signature[end], 0)
        if depth == 0:
            return end + 1
    raise DbusError(f"bad signature {signature!r}")


class _Reader:
    def __init__(self, data: bytes, at: int, is_little: bool) -> None:
        self.data = data
        self.at = at
        self._order = "<" if is_little else ">"
        self._u32 = struct.Struct(self._order + "I").unpack_from
        self._depth = 0

    def value(self, kind: str) -> Any:
        """Read one complete type. Alignment counts from the start of the message, which is sound
        because a body begins at a multiple of 8."""
        code = kind[0]
        if code in "so":
            return self._string(self._length())
        if code == "g":
            self.at += 1
            return self._string(self.data[self.at - 1])
        if code in _FIXED:
            return self._fixed(_FIXED[code])
        if code == "b":
            return bool(self._fixed("I"))
        self._depth += 1
        if self._depth > 2 * _DEPTH_MAX:
            raise DbusError("nested too deeply")
        try:
            if code == "v":
                return self.value(self.value("g"))
            if code == "(":
                self._align(8)
                return tuple([self.value(part) for part in split_signature(kind[1:-1])])
            if code == "a":
                return self._array(kind[1:])
        finally:
            self._depth -= 1
        raise DbusError(f"unknown type {kind!r}")

    def _array(self, item: str) -> Any:
        size = self._length()
        self._align(_alignment(item))
        end = self.at + size
        if end > len(self.data):
            raise DbusError("an array runs beyond its message")
        if item[0] == "{":
            key, value = split_signature(item[1:-1])
            pairs = {}
            while self.at < end:
                self._align(8)
                name = self.value(key)
                pairs[name] = self.value(value)
            return pairs
        items = []
        while self.at < end:
            before = self.at
            items.append(self.value(item))
            if self.at == before:
                # An array of nothing ("a()") would never end.
                raise DbusError(f"items of {item!r} have no size")
        return items

    def _length(self) -> int:
        self._align(4)
        (size,) = self._u32(self.data, self.at)
        self.at += 4
        return int(size)

    def _string(self, size: int) -> str:
        end = self.at + size
        if end >= len(self.data):
            raise DbusError("a string runs beyond its message")
        text = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return text

    def _fixed(self, code: str) -> Any:
        size = struct.calcsize("=" + code)
        self._align(size)
        (value,) = struct.unpack_from(self._order + code, self.data, self.at)
        self.at += size
        return value

    def _align(self, size: int) -> None:
        self.at = (self.at + size - 1) // size * size


def _alignment(kind: str) -> int:
    code = kind[0]
    if code in "({":
        return 8
    if code in "yvg":
        return 1
    if code in "bsoa":
        return 4
    return struct.calcsize("=" + _FIXED[code])


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<I", len(raw)) + raw + b"\0"


def _pad(data: bytes, size: int) -> bytes:
    return data + b"\0" * (-len(data) % size)


def encode_call(
    serial: int, destination: str, path: str, interface: str, member: str, *arguments: str
) -> bytes:
    """A method call with string arguments."""
    fields = b""
    given = [(_PATH, "o", path), (_INTERFACE, "s", interface), (_MEMBER, "s", member)]
    if destination:
        given.append((_DESTINATION, "s", destination))
    for code, kind, text in given:
        fields = _pad(fields, 8) + bytes([code, 1]) + kind.encode() + b"\0" + _string(text)
    body = b""
    if arguments:
        signature = b"s" * len(arguments)
        fields = _pad(fields, 8) + bytes([_SIGNATURE, 1]) + b"g\0"
        fields += bytes([len(signature)]) + signature + b"\0"
        for text in arguments:
            body = _pad(body, 4) + _string(text)
    head = struct.pack("<cBBBIII", b"l", CALL, 0, 1, len(body), serial, len(fields))
    return _pad(head + fields, 8) + body


def message_size(data: bytes | bytearray) -> int:
    """Whole size of the message that *data* begins with; 0 while that cannot be told yet."""
    if len(data) < 16:
        return 0
    if data[0] not in b"lB" or data[3] != 1:
        raise DbusError("the peer does not speak D-Bus version 1")
    order = "<" if data[0:1] == b"l" else ">"
    body, _, fields = struct.unpack_from(order + "III", data, 4)
    size = int((16 + fields + 7) // 8 * 8 + body)
    if size > DBUS_MESSAGE_BYTES_MAX:
        raise DbusError(f"a message of {size} bytes is too large")
    return size


def decode(raw: bytes) -> Message:
    """The message *raw* (one whole message). Raises `DbusError`."""
    is_little = raw[0:1] == b"l"
    try:
        reader = _Reader(raw, 12, is_little)
        fields = dict(reader.value("a(yv)"))
    except _BROKEN as error:
        raise DbusError(f"a header that cannot be read: {error}") from None
    return Message(
        raw[1],
        int(fields.get(_REPLY, 0)),
        str(fields.get(_PATH, "")),
        str(fields.get(_INTERFACE, "")),
        str(fields.get(_MEMBER, "") or fields.get(_ERROR_NAME, "")),
        str(fields.get(_SIGNATURE, "")),
        raw,
        (reader.at + 7) // 8 * 8,
        is_little,
    )


class Connection:
    """One connection to a bus or to a service's private socket. Raises OSError, `DbusError`."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._buffer = bytearray()
        self._serial = 0
        self._signals: list[Message] = []
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(path)
            self._authenticate()
        except BaseException:
            self._socket.close()
            raise

    def call(
        self, destination: str, path: str, interface: str, member: str, *arguments: str
    ) -> list[Any]:
        """Call a method and wait for its answer's arguments."""
        return self.wait_answer(self.begin(destination, path, interface, member, *arguments))

    def begin(
        self, destination: str, path: str, interface: str, member: str, *arguments: str
    ) -> int:
        """Send a call; its serial number goes to `wait_answer`, in the order of the calls."""
        self._serial += 1
        self._socket.sendall(
            encode_call(self._serial, destination, path, interface, member, *arguments)
        )
        return self._serial

    def wait_answer(self, serial: int) -> list[Any]:
        """The arguments of the answer to call *serial*; signals that come first are kept."""
        while True:
            message = self._next()
            while message is None:
                self._receive()
                message = self._next()
            if message.kind == SIGNAL:
                self._signals.append(message)
            elif message.reply_to == serial:
                if message.kind == ERROR:
                    raise DbusError(f"{message.member}: {message.body[:1]}")
                return message.body

    def take_signals(self) -> list[Message]:
        """The signals that have come, without waiting."""
        timeout_s = self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            while True:
                self._receive()
        except BlockingIOError:
            pass
        finally:
            self._socket.settimeout(timeout_s)
        message = self._next()
        while message is not None:
            if message.kind == SIGNAL:
                self._signals.append(message)
            message = self._next()
        signals, self._signals = self._signals, []
        return signals

    def has_news(self) -> bool:
        """Whether something came that was not read yet."""
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(0))

    def close(self) -> None:
        self._socket.close()

    def _authenticate(self) -> None:
        identity = str(os.geteuid()).encode().hex()
        self._socket.sendall(f"\0AUTH EXTERNAL {identity}\r\n".encode())
        while b"\r\n" not in self._buffer:
            self._receive()
        line, _, rest = bytes(self._buffer).partition(b"\r\n")
        if not line.startswith(b"OK "):
            raise DbusError(f"the bus refuses us: {line.decode('ascii', 'replace')}")
        self._buffer = bytearray(rest)
        self._socket.sendall(b"BEGIN\r\n")

    def _receive(self) -> None:
        data = self._socket.recv(1 << 16)
        if not data:
            raise DbusError("the bus closed the connection")
        self._buffer += data
        if len(self._buffer) > 2 * DBUS_MESSAGE_BYTES_MAX:
            raise DbusError("too much at once")

    def _next(self) -> Message | None:
        size = message_size(self._buffer)
        if not size or len(self._buffer) < size:
            return None
        raw = bytes(self._buffer[:size])
        del self._buffer[:size]
        return decode(raw)
