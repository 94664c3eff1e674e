"""DNS: does this server know that name, and rightly? UDP, and TCP where the answer is cut."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass

from vezha.checks.connection import connected, resolve
from vezha.checks.dns_message import (
    RCODES,
    TYPES,
    BadMessage,
    DnsAnswer,
    encode_name,
    question,
    read_answer,
)
from vezha.checks.errors import ProbeFailed
from vezha.checks.limits import DNS_ATTEMPT_S
from vezha.checks.options import Options, host_port
from vezha.checks.outcome import Report
from vezha.world import World

_PORT = 53


@dataclass(frozen=True, slots=True)
class DnsProbe:
    """A check of type `dns`: its targets are the servers that are asked."""

    query: str
    record: str = "A"
    transport: str = "udp"
    recursive: bool = True
    rcodes: tuple[str, ...] = ("NOERROR",)
    answers: tuple[str, ...] = ()
    answer_matches: re.Pattern[str] | None = None

    @classmethod
    def taken(cls, options: Options) -> DnsProbe:
        """Out of a check's options. Raises CheckConfigError."""
        query = options.text("query")
        try:
            encode_name(query)
        except (ValueError, UnicodeError):
            query = ""
        if not query:
            raise options.wrong("query", "is missing or no name; write one, such as shop.example")
        rcodes = options.texts("rcodes") or ("NOERROR",)
        for one in rcodes:
            if one not in RCODES:
                raise options.wrong("rcodes", f"has {one}; use {', '.join(RCODES)}")
        return cls(
            query,
            options.choice("record", tuple(TYPES), "A"),
            options.choice("transport", ("udp", "tcp"), "udp"),
            options.flag("recursive", True),
            rcodes,
            options.texts("answers"),
            options.pattern("answer_matches"),
        )

    def check_target(self, target: str, place: str) -> None:
        """A target is a name server, port 53 unless another is named."""
        host_port(target, _PORT, place)

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Ask and judge. Raises ProbeFailed, OSError."""
        host, port = host_port(target, _PORT, "")
        answer = None
        if self.transport == "udp":
            answer = await self._ask_udp(host, port, report, world)
        if answer is None or answer.truncated:
            answer = await self._ask_tcp(host, port, report, world)
        report.set("probe_dns_answer_rrs", float(len(answer.records)))
        report.set("probe_dns_authority_rrs", float(answer.authorities))
        report.set("probe_dns_additional_rrs", float(answer.additionals))
        for record in answer.records:
            if record.kind == "SOA":
                report.set("probe_dns_serial", float(record.value.split()[2]))
        self._judge(answer)

    def _judge(self, answer: DnsAnswer) -> None:
        if answer.rcode not in self.rcodes:
            raise ProbeFailed(f"{self.query}: {answer.rcode}, wanted {' or '.join(self.rcodes)}")
        found = [r.value for r in answer.records if r.kind == self.record]
        if answer.rcode == "NOERROR" and not found:
            raise ProbeFailed(f"{self.query} has no {self.record} record")
        shown = ", ".join(found)[:200] or "nothing"
        if self.answers and {_plain(v) for v in found} != {_plain(v) for v in self.answers}:
            raise ProbeFailed(f"{self.query} is {shown}, wanted {', '.join(self.answers)[:200]}")
        if self.answer_matches is not None:
            for value in found:
                if not self.answer_matches.search(value):
                    raise ProbeFailed(
                        f"{self.query} is {shown}, wanted {self.answer_matches.pattern!r}"
                    )

    async def _ask_udp(self, host: str, port: int, report: Report, world: World) -> DnsAnswer:
        clock = world.clock
        began_s = clock.monotonic()
        family, address = (await resolve(host, port, report, world, socket.SOCK_DGRAM))[0]
        resolved_s = clock.monotonic()
        report.set("probe_dns_duration_seconds", resolved_s - began_s, phase="resolve")
        report.set("probe_ip_protocol", 6.0 if family == socket.AF_INET6 else 4.0)
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(
            _Arrivals, remote_addr=(str(address[0]), port), family=family
        )
        try:
            connected_s = clock.monotonic()
            report.set("probe_dns_duration_seconds", connected_s - resolved_s, phase="connect")
            # Unguessable, and another for each try: a forger would have to hit it.
            identifier = int.from_bytes(world.chance.token(2), "big")
            data = question(identifier, self.query, self.record, self.recursive)
            while True:
                transport.sendto(data)
                try:
                    answer = await asyncio.wait_for(
                        self._answer(protocol, identifier), DNS_ATTEMPT_S
                    )
                except asyncio.TimeoutError:
                    continue
                took_s = clock.monotonic() - connected_s
                report.set("probe_dns_duration_seconds", took_s, phase="request")
                return answer
        finally:
            transport.abort()

    async def _answer(self, protocol: _Arrivals, identifier: int) -> DnsAnswer:
        while True:
            data = await protocol.arrived.get()
            if isinstance(data, Exception):
                raise ProbeFailed(f"the server refuses: {getattr(data, 'strerror', data)}")
            try:
                return read_answer(data, identifier, self.query, self.record)
            except BadMessage:
                continue  # forged, late, or broken: the right one may still come

    async def _ask_tcp(self, host: str, port: int, report: Report, world: World) -> DnsAnswer:
        clock = world.clock
        async with connected(host, port, report, world) as connection:
            phases = connection.phases
            report.set("probe_dns_duration_seconds", phases.resolve_s, phase="resolve")
            report.set("probe_dns_duration_seconds", phases.connect_s, phase="connect")
            began_s = clock.monotonic()
            identifier = int.from_bytes(world.chance.token(2), "big")
            data = question(identifier, self.query, self.record, self.recursive)
            await connection.send(len(data).to_bytes(2, "big") + data)
            size = int.from_bytes(await connection.exactly(2), "big")
            body = await connection.exactly(size)
            report.set("probe_dns_duration_seconds", clock.monotonic() - began_s, phase="request")
        try:
            return read_answer(body, identifier, self.query, self.record)
        except BadMessage as error:
            raise ProbeFailed(f"the answer is no DNS: {error}") from None


class _Arrivals(asyncio.DatagramProtocol):
    """Datagrams of one question."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[bytes | Exception] = asyncio.Queue(64)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._put(data)

    def error_received(self, exc: Exception) -> None:
        self._put(exc)

    def _put(self, item: bytes | Exception) -> None:
        if not self.arrived.full():
            self.arrived.put_nowait(item)


def _plain(value: str) -> str:
    return value.rstrip(".").lower()
