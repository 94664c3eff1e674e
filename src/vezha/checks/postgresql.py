"""PostgreSQL: does it let clients in? By its own start-up protocol, without an account; with one
(and psycopg installed) also connections, locks, replication.

Format: PostgreSQL's manual, "Frontend/Backend Protocol", Message Formats, version 3.0.
"""

from __future__ import annotations

import importlib
import importlib.util
import struct
from dataclasses import dataclass, field
from typing import Any

from vezha.checks.connection import (
    Connection,
    TlsOptions,
    connected,
    start_tls,
)
from vezha.checks.errors import ProbeFailed
from vezha.checks.options import Options, Secret, host_port
from vezha.checks.outcome import Report
from vezha.world import World

_PORT = 5432
_SSL_REQUEST = struct.pack("!II", 8, 80_877_103)
_VERSION_3 = 196_608
_DOWN = {
    "57P01", "57P02", "57P03",  # stopping, crashed, not yet ready
    "53100", "53200", "53300", "53400",  # out of disk, memory, connections, a configured limit
    "58000", "58030", "XX000", "XX001", "XX002",  # input/output, internal error, corruption
}  # fmt: skip
_FIGURES = """
select (select count(*) from pg_stat_activity where backend_type = 'client backend'),
       current_setting('max_connections')::int,
       (select count(*) from pg_locks where not granted),
       coalesce((select max(extract(epoch from clock_timestamp() - xact_start))
                 from pg_stat_activity where backend_type = 'client backend'), 0),
       pg_is_in_recovery(),
       case when pg_is_in_recovery() then
         case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
         else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end
       else (select max(extract(epoch from replay_lag)) from pg_stat_replication) end
"""
_NAMES = (
    "vezha_check_postgresql_connections",
    "vezha_check_postgresql_connections_max",
    "vezha_check_postgresql_locks_waiting",
    "vezha_check_postgresql_longest_transaction_seconds",
    "vezha_check_postgresql_is_replica",
    "vezha_check_postgresql_replication_lag_seconds",
)


@dataclass(frozen=True, slots=True)
class PostgresqlProbe:
    """A check of type `postgresql`."""

    user: str = "vezha"
    database: str = "postgres"
    password: Secret = field(default_factory=Secret)
    use_tls: bool = False
    tls: TlsOptions = field(default_factory=TlsOptions)

    @classmethod
    def taken(cls, options: Options) -> PostgresqlProbe:
        """Out of a check's options. Raises CheckConfigError."""
        user, database = options.text("user", "vezha"), options.text("database", "postgres")
        for name, value in (("user", user), ("database", database)):
            if not value or "\0" in value:
                raise options.wrong(name, "must not be empty")
        password = options.secret("password")
        if password and importlib.util.find_spec("psycopg") is None:
            raise options.wrong(
                "password_file", "needs psycopg; install `vezha[postgresql]` or remove it"
            )
        return cls(user, database, password, options.flag("tls", False), TlsOptions.taken(options))

    def check_target(self, target: str, place: str) -> None:
        """A target is host:port."""
        host_port(target, _PORT, place)

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Begin a session as any client would. Raises ProbeFailed, OSError."""
        host, port = host_port(target, _PORT, "")
        async with connected(host, port, report, world) as connection:
            if self.use_tls:
                await connection.send(_SSL_REQUEST)
                if await connection.exactly(1) != b"S":
                    raise ProbeFailed("the server offers no TLS")
                await start_tls(connection, host, self.tls, report, world)
            await self._start(connection)
        if self.password:
            await self._figures(host, port, report)

    async def _start(self, connection: Connection) -> None:
        pairs = (b"user", self.user.encode(), b"database", self.database.encode())
        body = struct.pack("!I", _VERSION_3) + b"\0".join(pairs) + b"\0\0"
        await connection.send(struct.pack("!I", len(body) + 4) + body)
        kind = await connection.exactly(1)
        size = int.from_bytes(await connection.exactly(4), "big") - 4
        if kind not in b"RENv" or size < 0:
            raise ProbeFailed(f"this is no PostgreSQL: it answered {kind!r}")
        body = await connection.exactly(size)
        if kind == b"E":
            fields = error_fields(body)
            code = fields.get("C", "")
            if code in _DOWN or not code:
                raise ProbeFailed(f"refused: {fields.get('M', 'no reason told')} ({code})")
            # any other refusal (no such role, wrong password) is a server that works

    async def _figures(self, host: str, port: int, report: Report) -> None:
        psycopg: Any = importlib.import_module("psycopg")
        mode = ("verify-full" if self.tls.verify else "require") if self.use_tls else "prefer"
        options: dict[str, Any] = {"sslmode": mode}
        if self.use_tls and self.tls.verify:
            options["sslrootcert"] = self.tls.ca_file or "system"
        try:
            session = await psycopg.AsyncConnection.connect(
                host=host, port=port, user=self.user, dbname=self.database,
                password=self.password.reveal(), autocommit=True, application_name="vezha check",
                **options,
            )  # fmt: skip
            async with session:
                cursor = await session.execute(_FIGURES)
                row = await cursor.fetchone()
        except psycopg.Error as error:
            lines = str(error).strip().splitlines()
            raise ProbeFailed(f"cannot be asked: {lines[-1] if lines else error!r}") from None
        for name, value in zip(_NAMES, row, strict=True):
            if value is not None:
                report.set(name, float(value))


def error_fields(body: bytes) -> dict[str, str]:
    """The fields of an ErrorResponse by their letters: S severity, C code, M message."""
    fields = {}
    for part in body.split(b"\0"):
        if len(part) > 1:
            fields[chr(part[0])] = part[1:].decode("utf-8", "replace")[:500]
    return fields
