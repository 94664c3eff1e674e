"""Redis and what speaks like it: PING, and INFO's clients, memory, replication.

Format: RESP2, Redis's serialization protocol.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from vezha.checks.connection import (
    CertificateRefused,
    Connection,
    TlsOptions,
    connected,
    note_refused_certificate,
)
from vezha.checks.errors import ProbeFailed
from vezha.checks.limits import REDIS_QUEUES_MAX
from vezha.checks.options import Options, Secret, host_port
from vezha.checks.outcome import Report
from vezha.world import World

_PORT = 6379
_FIGURES = {
    "connected_clients": "vezha_check_redis_connected_clients",
    "maxclients": "vezha_check_redis_clients_max",
    "blocked_clients": "vezha_check_redis_blocked_clients",
    "used_memory": "vezha_check_redis_memory_bytes",
    "maxmemory": "vezha_check_redis_memory_max_bytes",
    "connected_slaves": "vezha_check_redis_connected_replicas",
    "evicted_keys": "vezha_check_redis_evicted_keys_total",
    "rejected_connections": "vezha_check_redis_rejected_connections_total",
    "rdb_last_bgsave_status": "vezha_check_redis_last_save_ok",
    "master_link_status": "vezha_check_redis_replication_link_up",
    "uptime_in_seconds": "vezha_check_redis_uptime_seconds",
}


@dataclass(frozen=True, slots=True)
class RedisProbe:
    """A check of type `redis`."""

    user: str = ""
    password: Secret = field(default_factory=Secret)
    tls: TlsOptions | None = None
    queues: tuple[str, ...] = ()
    """Keys of lists or streams that are queues: how long is each?"""

    @classmethod
    def taken(cls, options: Options) -> RedisProbe:
        """Out of a check's options. Raises CheckConfigError."""
        user, password = options.text("user"), options.secret("password")
        if user and not password:
            raise options.wrong("user", "is of no use without password_file; set both")
        wants_tls, tls = options.flag("tls", False), TlsOptions.taken(options)
        queues = options.texts("queues")
        if len(queues) > REDIS_QUEUES_MAX:
            raise options.wrong("queues", f"names more than {REDIS_QUEUES_MAX} keys")
        return cls(user, password, tls if wants_tls else None, queues)

    def check_target(self, target: str, place: str) -> None:
        """A target is host:port."""
        host_port(target, _PORT, place)

    async def probe(self, target: str, report: Report, world: World) -> None:
        """AUTH if need be, PING, INFO, SLOWLOG LEN. Raises ProbeFailed, OSError."""
        host, port = host_port(target, _PORT, "")
        try:
            async with connected(host, port, report, world, self.tls) as connection:
                await self._talk(connection, report)
        except CertificateRefused:
            assert self.tls is not None
            await note_refused_certificate(host, port, self.tls, report, world)
            raise

    async def _talk(self, connection: Connection, report: Report) -> None:
        if self.password:
            names = (self.user, self.password.reveal()) if self.user else (self.password.reveal(),)
            answer = await _ask(connection, "AUTH", *names)
            if answer != "OK":
                raise ProbeFailed(f"the password is refused: {_shown(answer)}")
        answer = await _ask(connection, "PING")
        if isinstance(answer, _Refusal) and answer.text.startswith("NOAUTH"):
            return  # it answers; more it tells only those with a password
        if answer != "PONG":
            raise ProbeFailed(f"PING was answered by {_shown(answer)}")
        info = await _ask(connection, "INFO")
        if isinstance(info, str):
            note_info(info, report)
        slow = await _ask(connection, "SLOWLOG", "LEN")
        if isinstance(slow, int):
            report.set("vezha_check_redis_slow_log_length", float(slow))
        for queue in self.queues:
            length = await _length(connection, queue)
            if length is not None:
                report.set("vezha_queue_length", float(length), queue=queue)


@dataclass(frozen=True, slots=True)
class _Refusal:
    text: str


def note_info(info: str, report: Report) -> None:
    """Figures of INFO's text."""
    offset = 0
    behind: list[int] = []
    for line in info.splitlines():
        key, _, value = line.partition(":")
        if name := _FIGURES.get(key):
            if value in ("ok", "up", "err", "down"):
                report.set(name, float(value in ("ok", "up")))
            elif value.isdecimal():
                report.set(name, float(value))
        elif key == "role":
            report.set("vezha_check_redis_is_replica", float(value != "master"))
        elif key == "master_last_io_seconds_ago" and value.lstrip("-").isdecimal():
            # -1: never heard, or the link is down, which has a figure of its own
            if int(value) >= 0:
                report.set("vezha_check_redis_replication_lag_seconds", float(value))
        elif key == "master_repl_offset" and value.isdecimal():
            offset = int(value)
        elif key.startswith("slave") and "offset=" in value:
            parts = dict(p.partition("=")[::2] for p in value.split(","))
            if parts.get("offset", "").isdecimal():
                behind.append(int(parts["offset"]))
    if behind:
        report.set("vezha_check_redis_replica_behind_bytes", float(max(0, offset - min(behind))))


async def _length(connection: Connection, key: str) -> int | None:
    """How many wait in a list, or lie in a stream or a sorted set; None for what is neither."""
    for word in ("LLEN", "XLEN", "ZCARD"):
        answer = await _ask(connection, word, key)
        if isinstance(answer, int):
            return answer
    return None


async def _ask(connection: Connection, *words: str) -> str | int | _Refusal | None:
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        data = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    await connection.send(b"".join(parts))
    return await _reply(connection)


async def _reply(connection: Connection) -> str | int | _Refusal | None:
    try:
        line = (await connection.reader.readuntil(b"\r\n"))[:-2]
    except asyncio.IncompleteReadError:
        raise ProbeFailed("the server closed the connection") from None
    except asyncio.LimitOverrunError:
        raise ProbeFailed("this is no Redis: its line does not end") from None
    kind, text = line[:1], line[1:].decode("utf-8", "replace")
    if kind == b"+":
        return text
    if kind == b"-":
        return _Refusal(text)
    if kind in b":$" and kind and text.lstrip("-").isdecimal():
        if kind == b":":
            return int(text)
        if int(text) < 0:
            return None
        return (await connection.exactly(int(text) + 2))[:-2].decode("utf-8", "replace")
    raise ProbeFailed(f"this is no Redis: it answered {line[:40]!r}")


def _shown(answer: object) -> str:
    return answer.text[:200] if isinstance(answer, _Refusal) else repr(answer)[:200]
