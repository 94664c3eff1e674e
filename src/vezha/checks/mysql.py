"""MySQL and MariaDB: does it greet and answer a sign-in?

Format: MySQL's "Client/Server Protocol", connection phase, protocol version 10. The greeting is
answered properly, as a user without a password: who hangs up after the greeting is counted as a
broken client, and the server shuts such hosts out after a hundred times.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vezha.checks.connection import Connection, connected
from vezha.checks.errors import ProbeFailed
from vezha.checks.options import Options, host_port
from vezha.checks.outcome import Report
from vezha.world import World

_PORT = 3306
_LONG_PASSWORD, _PROTOCOL_41, _SECURE, _PLUGIN = 0x1, 0x200, 0x8000, 0x80000
_CAPABILITIES = _LONG_PASSWORD | _PROTOCOL_41 | _SECURE | _PLUGIN
_UTF8 = 33
_DOWN = {1040, 1129, 1203, 1053, 1135, 1041, 1037}
"""Too many connections, host shut out, the user's limit, stopping, no thread, no memory."""
_PACKET_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class MysqlProbe:
    """A check of type `mysql`."""

    user: str = "vezha"

    @classmethod
    def taken(cls, options: Options) -> MysqlProbe:
        """Out of a check's options. Raises CheckConfigError."""
        user = options.text("user", "vezha")
        if not user or "\0" in user:
            raise options.wrong("user", "must not be empty")
        return cls(user)

    def check_target(self, target: str, place: str) -> None:
        """A target is host:port."""
        host_port(target, _PORT, place)

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Read the greeting, sign in, take leave. Raises ProbeFailed, OSError."""
        host, port = host_port(target, _PORT, "")
        async with connected(host, port, report, world) as connection:
            _, greeting = await _packet(connection)
            if greeting[:1] == b"\xff":
                raise ProbeFailed(f"refused: {_error(greeting)[1]}")
            if greeting[:1] != b"\x0a":
                raise ProbeFailed(f"this is no MySQL: it greets with {greeting[:16]!r}")
            version = greeting[1:].partition(b"\0")[0].decode("utf-8", "replace")[:64]
            report.set("vezha_check_mysql_info", 1.0, version=version)
            await self._sign_in(connection)

    async def _sign_in(self, connection: Connection) -> None:
        head = struct.pack("<IIB23x", _CAPABILITIES, 1 << 24, _UTF8)
        body = head + self.user.encode() + b"\0" + b"\0" + b"mysql_native_password\0"
        await connection.send(_framed(1, body))
        number, answer = await _packet(connection)
        if answer[:1] in (b"\xfe", b"\x01"):
            # another way to prove oneself: an empty password is empty in all of them
            await connection.send(_framed(number + 1, b""))
            number, answer = await _packet(connection)
        if answer[:1] == b"\xff":
            code, text = _error(answer)
            if code in _DOWN:
                raise ProbeFailed(f"refused: {text}")
            return  # "access denied" is the answer of a server that works
        await connection.send(_framed(0, b"\x01"))


async def _packet(connection: Connection) -> tuple[int, bytes]:
    head = await connection.exactly(4)
    size = int.from_bytes(head[:3], "little")
    if not 0 < size <= _PACKET_BYTES_MAX:
        raise ProbeFailed(f"this is no MySQL: its packet begins with {head!r}")
    return head[3], await connection.exactly(size)


def _framed(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes((number & 255,)) + body


def _error(packet: bytes) -> tuple[int, str]:
    code = int.from_bytes(packet[1:3], "little")
    text = packet[3:]
    if text[:1] == b"#":
        text = text[6:]
    return code, f"{text.decode('utf-8', 'replace')[:300]} ({code})"
