"""MySQL and MariaDB: does it greet and answer a sign-in? With an account also connections, slow
queries, locks, replication.

Format: MySQL's "Client/Server Protocol", protocol version 10: connection phase, text protocol. The
greeting is answered properly, without a password as a user that need not exist: who hangs up after
the greeting is counted as a broken client, and the server shuts such hosts out after a hundred times.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vezha.checks.connection import Connection, TlsOptions, connected, start_tls
from vezha.checks.errors import ProbeFailed
from vezha.checks.limits import MYSQL_ROWS_MAX
from vezha.checks.options import Options, Secret, host_port
from vezha.checks.outcome import Report
from vezha.world import World

_PORT = 3306
_LONG_PASSWORD, _PROTOCOL_41, _SSL, _SECURE, _PLUGIN = 0x1, 0x200, 0x800, 0x8000, 0x80000
_CAPABILITIES = _LONG_PASSWORD | _PROTOCOL_41 | _SECURE | _PLUGIN
_UTF8 = 33
_NATIVE, _SHA2 = "mysql_native_password", "caching_sha2_password"
_DOWN = {1040, 1129, 1203, 1053, 1135, 1041, 1037}
"""Too many connections, host shut out, the user's limit, stopping, no thread, no memory."""
_NOT_ALLOWED = {1227, 1142, 1044, 1045, 1064, 1109, 1146}
"""A question that this account may not ask, or this server does not know."""
_PACKET_BYTES_MAX = 65_536
_STATUS = {
    "Threads_connected": "vezha_check_mysql_connections",
    "Threads_running": "vezha_check_mysql_connections_running",
    "Slow_queries": "vezha_check_mysql_slow_queries_total",
    "Questions": "vezha_check_mysql_questions_total",
    "Connection_errors_max_connections": "vezha_check_mysql_refused_connections_total",
    "Innodb_row_lock_current_waits": "vezha_check_mysql_locks_waiting",
    "Innodb_row_lock_waits": "vezha_check_mysql_lock_waits_total",
    "Uptime": "vezha_check_mysql_uptime_seconds",
}
_VARIABLES = {"max_connections": "vezha_check_mysql_connections_max"}
_LAG = ("Seconds_Behind_Source", "Seconds_Behind_Master")
_RUNNING = (
    ("Replica_IO_Running", "Slave_IO_Running"), ("Replica_SQL_Running", "Slave_SQL_Running"),
)  # fmt: skip
_LONGEST = (
    "select coalesce(max(timestampdiff(second, trx_started, now())), 0) "
    "from information_schema.innodb_trx"
)
Row = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class MysqlProbe:
    """A check of type `mysql`."""

    user: str = "vezha"
    password: Secret = field(default_factory=Secret)
    use_tls: bool = False
    tls: TlsOptions = field(default_factory=TlsOptions)

    @classmethod
    def taken(cls, options: Options) -> MysqlProbe:
        """Out of a check's options. Raises CheckConfigError."""
        user = options.text("user", "vezha")
        if not user or "\0" in user:
            raise options.wrong("user", "must not be empty")
        return cls(
            user, options.secret("password"), options.flag("tls", False), TlsOptions.taken(options)
        )

    def check_target(self, target: str, place: str) -> None:
        """A target is host:port."""
        host_port(target, _PORT, place)

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Read the greeting, sign in, ask, take leave. Raises ProbeFailed, OSError."""
        host, port = host_port(target, _PORT, "")
        async with connected(host, port, report, world) as connection:
            _, body = await _packet(connection)
            greeting = read_greeting(body)
            report.set("vezha_check_mysql_info", 1.0, version=greeting.version)
            number = 1
            if self.use_tls:
                if not greeting.capabilities & _SSL:
                    raise ProbeFailed("the server offers no TLS")
                await connection.send(_framed(1, _head(_CAPABILITIES | _SSL)))
                await start_tls(connection, host, self.tls, report, world)
                number = 2
            is_in = await self._sign_in(connection, greeting, number)
            if is_in and self.password:
                await _figures(connection, report)
            if is_in:
                await connection.send(_framed(0, b"\x01"))

    async def _sign_in(self, connection: Connection, greeting: Greeting, number: int) -> bool:
        """Whether the server let us in. Raises ProbeFailed where that is a fault."""
        secret = self.password.reveal().encode()
        plugin = greeting.plugin if greeting.plugin in (_NATIVE, _SHA2) else _NATIVE
        proof = proof_of(plugin, secret, greeting.salt)
        body = _head(_CAPABILITIES | (_SSL if self.use_tls else 0)) + self.user.encode() + b"\0"
        body += bytes((len(proof),)) + proof + plugin.encode() + b"\0"
        await connection.send(_framed(number, body))
        for _ in range(4):
            number, answer = await _packet(connection)
            kind = answer[:1]
            if kind == b"\0":
                return True
            if kind == b"\xff":
                code, text = _error(answer)
                if code in _DOWN:
                    raise ProbeFailed(f"refused: {text}")
                if self.password:
                    raise ProbeFailed(f"cannot be asked: {text}")
                return False  # "access denied" is the answer of a server that works
            if kind == b"\xfe":
                name, _, salt = answer[1:].partition(b"\0")
                plugin = name.decode("ascii", "replace") or plugin
                if secret and plugin not in (_NATIVE, _SHA2):
                    raise ProbeFailed(
                        f"the account signs in by {plugin[:60]}, which is not known here; make one "
                        f"with {_NATIVE} or {_SHA2}"
                    )
                reply = proof_of(plugin, secret, salt[:20])
            elif answer[1:2] == b"\3":
                continue  # the server remembers this account: its OK follows
            elif secret and not self.use_tls:
                raise ProbeFailed(
                    "the server wants the password itself, which goes through TLS only; set `tls: true`"
                )
            else:
                reply = secret + b"\0" if secret else b""
            await connection.send(_framed(number + 1, reply))
        raise ProbeFailed("this is no MySQL: its sign-in does not end")


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a server says first."""

    version: str
    capabilities: int
    salt: bytes
    plugin: str


def read_greeting(body: bytes) -> Greeting:
    """The first packet. Raises ProbeFailed."""
    if body[:1] == b"\xff":
        raise ProbeFailed(f"refused: {_error(body)[1]}")
    if body[:1] != b"\x0a":
        raise ProbeFailed(f"this is no MySQL: it greets with {body[:16]!r}")
    version, _, rest = body[1:].partition(b"\0")
    if len(rest) < 31:
        raise ProbeFailed("this is no MySQL: its greeting is cut")
    low, high = int.from_bytes(rest[13:15], "little"), int.from_bytes(rest[18:20], "little")
    length = max(13, rest[20] - 8)
    salt = rest[4:12] + rest[31 : 31 + length][:12]
    plugin = rest[31 + length :].partition(b"\0")[0].decode("ascii", "replace")
    return Greeting(
        version.decode("utf-8", "replace")[:64], low | high << 16, salt, plugin or _NATIVE
    )


def proof_of(plugin: str, secret: bytes, salt: bytes) -> bytes:
    """That we know the password; empty for an empty one, which is so in all plugins."""
    if not secret:
        return b""
    if plugin == _SHA2:
        once = hashlib.sha256(secret).digest()
        other = hashlib.sha256(hashlib.sha256(once).digest() + salt).digest()
    else:
        once = hashlib.sha1(secret).digest()  # noqa: S324 - the protocol's own
        other = hashlib.sha1(salt + hashlib.sha1(once).digest()).digest()  # noqa: S324
    return bytes(a ^ b for a, b in zip(once, other, strict=True))


async def _figures(connection: Connection, report: Report) -> None:
    for question, names in (
        ("show global status", _STATUS), ("show global variables", _VARIABLES),
    ):  # fmt: skip
        listed = ", ".join(f"'{name}'" for name in names)
        rows = await _ask(connection, f"{question} where variable_name in ({listed})")
        for row in rows or ():
            pair = list(row.values())
            _set(report, names.get(pair[0] or "", ""), pair[1])
    longest = await _ask(connection, _LONGEST)
    if longest:
        value = next(iter(longest[0].values()))
        _set(report, "vezha_check_mysql_longest_transaction_seconds", value)
    replicas = await _ask(connection, "show replica status")
    if replicas is None:
        replicas = await _ask(connection, "show slave status")
    if replicas is not None:
        note_replication(replicas, report)


def note_replication(rows: Sequence[Row], report: Report) -> None:
    """Figures of the answer to SHOW REPLICA STATUS, by whichever names it has."""
    report.set("vezha_check_mysql_is_replica", float(bool(rows)))
    if not rows:
        return
    running = all(_first(row, names) == "Yes" for row in rows for names in _RUNNING)
    report.set("vezha_check_mysql_replication_running", float(running))
    lags = [_first(row, _LAG) for row in rows]
    known = [float(lag) for lag in lags if lag is not None and lag.isdecimal()]
    if known and len(known) == len(lags):
        report.set("vezha_check_mysql_replication_lag_seconds", max(known))


def _first(row: Mapping[str, str | None], names: Sequence[str]) -> str | None:
    return next((row[name] for name in names if name in row), None)


def _set(report: Report, name: str, value: str | None) -> None:
    if name and value is not None and value.replace(".", "", 1).isdecimal():
        report.set(name, float(value))


async def _ask(connection: Connection, question: str) -> list[Row] | None:
    """The rows of an answer; None where this account may not ask it, or the server does not know
    it. Raises ProbeFailed."""
    await connection.send(_framed(0, b"\x03" + question.encode()))
    _, answer = await _packet(connection)
    if answer[:1] == b"\xff":
        code, text = _error(answer)
        if code in _NOT_ALLOWED:
            return None
        raise ProbeFailed(f"cannot be asked: {text}")
    names = []
    for _ in range(min(answer[0], 250)):
        fields = _fields((await _packet(connection))[1])
        if len(fields) < 6:
            raise ProbeFailed("this is no MySQL: a column of its answer has no name")
        names.append(_text(fields[4]))
    await _packet(connection)  # the end of the columns
    rows: list[Row] = []
    while True:
        _, answer = await _packet(connection)
        if answer[:1] == b"\xfe" and len(answer) < 9:
            return rows
        if answer[:1] == b"\xff":
            raise ProbeFailed(f"cannot be asked: {_error(answer)[1]}")
        if len(rows) >= MYSQL_ROWS_MAX:
            raise ProbeFailed(f"the server answers with over {MYSQL_ROWS_MAX} rows")
        values = [None if v is None else _text(v) for v in _fields(answer)]
        rows.append(dict(zip(names, values, strict=False)))


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")[:300]


def _fields(packet: bytes) -> list[bytes | None]:
    """Length-encoded strings; None is NULL. Raises ProbeFailed where they go beyond the packet."""
    out: list[bytes | None] = []
    at = 0
    while at < len(packet):
        size = packet[at]
        at += 1
        if size == 0xFB:
            out.append(None)
            continue
        if size >= 0xFC:
            width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(size, 0)
            size = int.from_bytes(packet[at : at + width], "little")
            at += width
        if at + size > len(packet):
            break  # the fixed part of a column's description follows its strings
        out.append(packet[at : at + size])
        at += size
    return out


def _head(capabilities: int) -> bytes:
    return struct.pack("<IIB23x", capabilities, 1 << 24, _UTF8)


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
