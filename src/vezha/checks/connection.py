"""Connecting, phase by phase: resolve, connect, TLS; each timed into the report."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vezha.checks.certificate import note_certificates
from vezha.checks.errors import ProbeFailed
from vezha.checks.limits import ANSWER_BYTES_MAX
from vezha.checks.options import Options
from vezha.checks.outcome import Report
from vezha.world import World


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How a server's certificate is looked at. An empty *ca_file* means the system's."""

    verify: bool = True
    ca_file: str = ""
    server_name: str = ""

    @classmethod
    def taken(cls, options: Options) -> TlsOptions:
        """Out of a check's options."""
        return cls(
            options.flag("tls_verify", True), options.text("ca_file"), options.text("server_name")
        )


def context_of(tls: TlsOptions) -> ssl.SSLContext:
    """A client's context; remembered, since reading the system's authorities takes long, until the file
    of the authorities changes. Raises ProbeFailed where *ca_file* cannot be used."""
    stamp = (0, 0)
    if tls.ca_file:
        try:
            status = Path(tls.ca_file).stat()
        except OSError as error:
            raise ProbeFailed(f"ca_file {tls.ca_file} cannot be used: {why(error)}") from None
        stamp = (status.st_mtime_ns, status.st_size)
    return _context(tls, stamp)


@functools.lru_cache(maxsize=256)
def _context(tls: TlsOptions, _stamp: tuple[int, int]) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ProbeFailed(f"ca_file {tls.ca_file} cannot be used: {why(error)}") from None
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def forget_contexts() -> None:
    """The system's authorities may be new, too."""
    _context.cache_clear()


@dataclass(slots=True)
class Phases:
    """Seconds that each phase of connecting took."""

    resolve_s: float = 0.0
    connect_s: float = 0.0
    tls_s: float = 0.0


@dataclass(slots=True)
class Connection:
    """An open connection and what it took to open."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    phases: Phases

    async def exactly(self, size: int) -> bytes:
        """*size* bytes. Raises ProbeFailed where the other side ends before."""
        if size > ANSWER_BYTES_MAX:
            raise ProbeFailed(f"the answer announces {size} bytes, over {ANSWER_BYTES_MAX}")
        try:
            return await self.reader.readexactly(size)
        except asyncio.IncompleteReadError as error:
            raise ProbeFailed(
                f"the server closed the connection after {len(error.partial)} of {size} bytes"
            ) from None

    async def send(self, data: bytes) -> None:
        """Write and flush."""
        self.writer.write(data)
        await self.writer.drain()


async def resolve(
    host: str, port: int, report: Report, world: World, kind: int = socket.SOCK_STREAM
) -> list[tuple[int, tuple[Any, ...]]]:
    """(address family, socket address) of *host*, best first. Raises ProbeFailed."""
    began_s = world.clock.monotonic()
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)
    except (OSError, UnicodeError) as error:
        raise ProbeFailed(f"{host} cannot be resolved: {why(error)}") from None
    finally:
        report.add("probe_dns_lookup_time_seconds", world.clock.monotonic() - began_s)
    if not found:
        raise ProbeFailed(f"{host} has no address")
    return [(int(family), tuple(address)) for family, _, _, _, address in found]


@contextlib.asynccontextmanager
async def connected(
    host: str, port: int, report: Report, world: World, tls: TlsOptions | None = None
) -> AsyncIterator[Connection]:
    """A connection, closed at the end. Raises ProbeFailed."""
    connection = await _dial(host, port, report, world)
    try:
        if tls is not None:
            await start_tls(connection, host, tls, report, world)
        yield connection
    finally:
        # at once: a polite TLS good-bye could outlast the check
        connection.writer.transport.abort()


async def _dial(host: str, port: int, report: Report, world: World) -> Connection:
    clock = world.clock
    phases = Phases()
    began_s = clock.monotonic()
    addresses = await resolve(host, port, report, world)
    phases.resolve_s = clock.monotonic() - began_s
    began_s = clock.monotonic()
    last = ""
    for family, address in addresses:
        try:
            reader, writer = await asyncio.open_connection(
                str(address[0]), port, limit=ANSWER_BYTES_MAX, family=family
            )
        except OSError as error:
            last = why(error)
            continue
        phases.connect_s = clock.monotonic() - began_s
        report.set("probe_ip_protocol", 6.0 if family == socket.AF_INET6 else 4.0)
        return Connection(reader, writer, phases)
    raise ProbeFailed(f"{host}:{port} cannot be reached: {last}")


async def start_tls(
    connection: Connection, host: str, tls: TlsOptions, report: Report, world: World
) -> None:
    """Turn the connection into TLS and note its certificates. Raises ProbeFailed."""
    began_s = world.clock.monotonic()
    try:
        await _upgrade(connection, context_of(tls), tls.server_name or host)
    except ssl.SSLCertVerificationError as error:
        raise CertificateRefused(f"the certificate is refused: {error.verify_message}") from None
    except (OSError, ValueError) as error:
        raise ProbeFailed(f"TLS failed: {why(error)}") from None
    connection.phases.tls_s += world.clock.monotonic() - began_s
    note_certificates(connection.writer.get_extra_info("ssl_object"), report)


async def _upgrade(connection: Connection, context: ssl.SSLContext, name: str) -> None:
    writer = connection.writer
    if hasattr(writer, "start_tls"):
        await writer.start_tls(context, server_hostname=name)
        return
    # Python 3.10, which an agent may run on, has it for transports only
    loop = asyncio.get_running_loop()
    protocol = writer.transport.get_protocol()
    transport = await loop.start_tls(writer.transport, protocol, context, server_hostname=name)
    connection.reader._transport = transport  # type: ignore[attr-defined]
    protocol._over_ssl = True  # type: ignore[attr-defined]
    connection.writer = asyncio.StreamWriter(transport, protocol, connection.reader, loop)  # type: ignore[arg-type]


class CertificateRefused(ProbeFailed):
    """TLS would work, were the certificate good."""


async def note_refused_certificate(
    host: str, port: int, tls: TlsOptions, report: Report, world: World
) -> None:
    """Connect again without judging, so that a refused certificate's dates are seen."""
    seen = Report()
    lenient = TlsOptions(False, tls.ca_file, tls.server_name)
    with contextlib.suppress(ProbeFailed, OSError):
        async with connected(host, port, seen, world, lenient):
            pass
    for (name, labels), value in seen.figures.items():
        if name.startswith(("probe_ssl", "vezha_check_certificate")):
            report.set(name, value, **dict(labels))


def why(error: BaseException) -> str:
    """An operating system's error in words."""
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error)
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        # asyncio's own texts tell the call that failed, and not why
        return os.strerror(error.errno or 0)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
