"""Small servers on loopback that behave, or misbehave, as a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from vezha.checks.check import Check
from vezha.checks.config import parse_checks
from vezha.checks.outcome import Outcome
from vezha.checks.probe import run_probe
from vezha.world import World

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def only(text: str) -> Check:
    """The one check of a file whose list has that one entry."""
    return parse_checks(f"allow_plugins: true\nchecks: [{text}]", read_file, "checks.yml")[0]


def read_file(path: str) -> bytes:
    """Secrets' files of tests lie on the disk."""
    return Path(path).read_bytes()


async def run(text: str) -> Outcome:
    """The outcome of a check's first target."""
    check = only(text)
    return await run_probe(check.probe, check.targets[0], check.timeout_s, World())


@contextlib.asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on 127.0.0.1; its port."""

    ends: set[asyncio.Event] = set()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.Event()
        ends.add(ended)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)
            await writer.drain()
        if tls is None:
            writer.close()
        else:
            writer.transport.abort()
        ended.set()

    server = await asyncio.start_server(once, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        for ended in list(ends):
            await asyncio.wait_for(ended.wait(), 10)


def certified(folder: Path, days: float) -> tuple[ssl.SSLContext, Path, float]:
    """A server's context with a certificate of 127.0.0.1 that ends in *days* (negative: it
    has ended), the file of the authority that signs it, and the end in s since the epoch."""
    authority_key, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Tests")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    end = now + datetime.timedelta(days=days)

    def builder(name: x509.Name, public: ec.EllipticCurvePublicKey, until: datetime.datetime):  # type: ignore[no-untyped-def]
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=100))
            .not_valid_after(until)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
                critical=False,
            )
        )

    authority = (
        builder(issuer, authority_key.public_key(), now + datetime.timedelta(days=1000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    leaf = (
        builder(subject, key.public_key(), end)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder / "leaf.pem").write_bytes(
        leaf.public_bytes(pem)
        + authority.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    return context, folder / "ca.pem", end.timestamp()
