"""DNS: messages, and a name server of our own on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.checks.servers import run, serving

from vezha.checks.dns_message import TYPES, BadMessage, encode_name, question, read_answer

POINTER = b"\xc0\x0c"


def record(kind: str, body: bytes) -> bytes:
    return POINTER + struct.pack("!HHIH", TYPES[kind], 1, 60, len(body)) + body


def answer(data: bytes, *records: bytes, flags: int = 0x8180) -> bytes:
    """An answer to the question in *data*."""
    head = struct.pack("!2sHHHHH", data[:2], flags, 1, len(records), 0, 0)
    return head + data[12:] + b"".join(records)


ZONE = {
    "A": [record("A", b"\x7f\0\0\1"), record("A", b"\x7f\0\0\2")],
    "AAAA": [record("AAAA", bytes(15) + b"\1")],
    "MX": [record("MX", b"\0\x0a\4mail" + POINTER)],
    "TXT": [record("TXT", b"\6v=spf1\5 -all")],
    "SOA": [record("SOA", POINTER + POINTER + struct.pack("!IIIII", 7, 1, 2, 3, 4))],
    "CNAME": [record("CNAME", b"\3www" + POINTER)],
}


def reply(data: bytes) -> bytes:
    kind = struct.unpack("!H", data[-4:-2])[0]
    name = next(n for n, number in TYPES.items() if number == kind)
    if b"nowhere" in data:
        return answer(data, flags=0x8183)
    return answer(data, *ZONE.get(name, []))


class NameServer(asyncio.DatagramProtocol):
    """Answers, after a forged answer, and says by TCP what is "big"."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        forged = bytes((data[0] ^ 1,)) + answer(data, record("A", b"\6\6\6\6"))[1:]
        self.transport.sendto(forged, addr)
        if b"silent" in data:
            return
        cut = b"\3big" in data
        self.transport.sendto(answer(data, flags=0x8380) if cut else reply(data), addr)


@contextlib.asynccontextmanager
async def name_server() -> AsyncIterator[int]:
    async def by_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        out = reply(data)
        writer.write(len(out).to_bytes(2) + out)

    async with serving(by_tcp) as port:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            NameServer, local_addr=("127.0.0.1", port)
        )
        try:
            yield port
        finally:
            transport.close()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("query: shop.example", ""),
        ("query: shop.example, answers: [127.0.0.2, 127.0.0.1]", ""),
        ("query: shop.example, answers: [127.0.0.1]", "is 127.0.0.1, 127.0.0.2, wanted"),
        ("query: shop.example, record: AAAA, answers: ['::1']", ""),
        ("query: shop.example, record: MX, answers: [10 mail.shop.example.]", ""),
        ("query: shop.example, record: TXT, answer_matches: '^v=spf1 -all$'", ""),
        ("query: shop.example, record: TXT, answer_matches: '^v=spf2'", "wanted '^v=spf2'"),
        ("query: shop.example, record: CNAME, answers: [www.shop.example]", ""),
        ("query: shop.example, record: SRV", "has no SRV record"),
        ("query: nowhere.example", "NXDOMAIN, wanted NOERROR"),
        ("query: nowhere.example, rcodes: [NXDOMAIN]", ""),
        ("query: big.example, answers: [127.0.0.1, 127.0.0.2]", ""),
        ("query: shop.example, transport: tcp", ""),
        ("query: silent.example, timeout: 300ms", "no answer within 0.3 s"),
    ],
)
def test_a_name_server(options: str, why: str) -> None:
    async def ask() -> None:
        async with name_server() as port:
            outcome = await run(f"{{name: a, type: dns, targets: ['127.0.0.1:{port}'], {options}}}")
        assert why in outcome.why
        assert outcome.success is (not why)

    asyncio.run(ask())


def test_the_serial_of_a_zone() -> None:
    async def ask() -> None:
        async with name_server() as port:
            outcome = await run(
                f"{{name: a, type: dns, targets: ['127.0.0.1:{port}'], query: x, record: SOA}}"
            )
        assert outcome.success
        assert outcome.report.get("probe_dns_serial") == 7

    asyncio.run(ask())


@given(st.binary(max_size=600))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with contextlib.suppress(BadMessage):
        read_answer(data, 1, "a.b", "A")


@given(st.sampled_from(sorted(TYPES)), st.binary(max_size=80), st.integers(0, 600))
def test_no_record_breaks_the_reader(kind: str, body: bytes, cut: int) -> None:
    data = answer(question(1, "a.b", kind), record(kind, body))
    with contextlib.suppress(BadMessage):
        found = read_answer(data[:cut], 1, "a.b", kind)
        assert len(found.records) == 1


def test_a_name_in_circles_is_refused() -> None:
    data = question(1, "a.b", "CNAME")
    at = len(data) + 12
    looped = answer(data, record("CNAME", (0xC000 | at).to_bytes(2)))
    with pytest.raises(BadMessage, match="circles"):
        read_answer(looped, 1, "a.b", "CNAME")
    with pytest.raises(ValueError, match="no DNS name"):
        encode_name("a..b")
