"""TCP: does it accept, and perhaps say the right thing. TLS: does its certificate hold."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from vezha.checks.connection import (
    CertificateRefused,
    TlsOptions,
    connected,
    note_refused_certificate,
)
from vezha.checks.errors import ProbeFailed
from vezha.checks.limits import ANSWER_BYTES_MAX
from vezha.checks.options import Options, host_port
from vezha.checks.outcome import Report
from vezha.world import World


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """A check of type `tcp`; with *tls* (always so in type `tls`) through TLS."""

    send: str = ""
    expect: re.Pattern[str] | None = None
    tls: TlsOptions | None = None
    default_port: int = 0

    @classmethod
    def taken(cls, options: Options) -> TcpProbe:
        """Out of the options of a check of type `tcp`. Raises CheckConfigError."""
        wants_tls = options.flag("tls", False)
        tls = TlsOptions.taken(options)
        if not wants_tls and tls != TlsOptions():
            raise options.wrong("tls", "is off, yet its options are set; add `tls: true`")
        return cls(options.text("send"), options.pattern("expect"), tls if wants_tls else None)

    @classmethod
    def taken_tls(cls, options: Options) -> TcpProbe:
        """Out of the options of a check of type `tls`. Raises CheckConfigError."""
        return cls(tls=TlsOptions.taken(options), default_port=443)

    def check_target(self, target: str, place: str) -> None:
        """A target is host:port."""
        host_port(target, self.default_port, place)

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Connect, send, read until it matches. Raises ProbeFailed, OSError."""
        host, port = host_port(target, self.default_port, "")
        try:
            async with connected(host, port, report, world, self.tls) as connection:
                phases = connection.phases
                report.set("vezha_check_connect_seconds", phases.connect_s)
                if self.tls is not None:
                    report.set("vezha_check_tls_seconds", phases.tls_s)
                if self.send:
                    await connection.send(self.send.encode())
                if self.expect is not None:
                    report.set("probe_failed_due_to_regex", 1.0)
                    await _read_until(connection.reader, self.expect)
                    report.set("probe_failed_due_to_regex", 0.0)
        except CertificateRefused:
            assert self.tls is not None
            await note_refused_certificate(host, port, self.tls, report, world)
            raise


async def _read_until(reader: asyncio.StreamReader, wanted: re.Pattern[str]) -> None:
    got = b""
    while not wanted.search(got.decode("utf-8", "replace")):
        part = await reader.read(4_096)
        got += part
        if not part:
            raise ProbeFailed(f"it said {got[:100]!r}, wanted {wanted.pattern!r}")
        if len(got) > ANSWER_BYTES_MAX:
            raise ProbeFailed(f"it said over {ANSWER_BYTES_MAX} bytes without {wanted.pattern!r}")
