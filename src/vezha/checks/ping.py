"""Ping: ICMP echo through a socket that needs no privilege, where the kernel allows it.

Format: RFC 792 and RFC 4443. On Linux the datagram socket's kernel fills in identifier and
checksum and gives only our own replies; the raw socket (root, CAP_NET_RAW) needs both from us.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

from vezha.checks.connection import resolve
from vezha.checks.errors import CheckConfigError, ProbeFailed
from vezha.checks.limits import PING_PACKETS_MAX
from vezha.checks.options import Options
from vezha.checks.outcome import Report
from vezha.world import World

_ECHO_4, _REPLY_4, _ECHO_6, _REPLY_6 = 8, 0, 128, 129
_BETWEEN_S = 0.1
"""Between packets of one probe."""
FORBIDDEN = (
    "the kernel forbids ping to this server's user; allow it with "
    '`sysctl -w net.ipv4.ping_group_range="0 2147483647"`, or give the process CAP_NET_RAW'
)


@dataclass(frozen=True, slots=True)
class PingProbe:
    """A check of type `ping`."""

    packets: int = 1
    loss_max: float = 0.0
    payload_bytes: int = 32

    @classmethod
    def taken(cls, options: Options) -> PingProbe:
        """Out of a check's options. Raises CheckConfigError."""
        return cls(
            options.whole("packets", 1, 1, PING_PACKETS_MAX),
            options.number("loss_max", 0.0, 0.0, 0.99),
            options.whole("payload_bytes", 32, 16, 1_400),
        )

    def check_target(self, target: str, place: str) -> None:
        """A target is a host without a port."""
        if not target or any(c.isspace() or c in "/[]" for c in target) or target.count(":") == 1:
            raise CheckConfigError(
                f"{place}: target {target!r} is no host; ping knows no ports, write db.example"
            )

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Send the packets one after another. Raises ProbeFailed, OSError."""
        clock = world.clock
        began_s = clock.monotonic()
        family, address = (await resolve(target, 0, report, world, socket.SOCK_DGRAM))[0]
        resolved_s = clock.monotonic()
        report.set("probe_icmp_duration_seconds", resolved_s - began_s, phase="resolve")
        report.set("probe_ip_protocol", 6.0 if family == socket.AF_INET6 else 4.0)
        channel, is_raw = open_socket(family)
        with contextlib.closing(channel):
            channel.connect(address)
            token = world.chance.token(8)
            report.set("probe_icmp_duration_seconds", clock.monotonic() - resolved_s, phase="setup")
            await self._exchange(channel, family, is_raw, token, report, world)

    async def _exchange(
        self, channel: socket.socket, family: int, is_raw: bool, token: bytes, report: Report,
        world: World,
    ) -> None:  # fmt: skip
        clock = world.clock
        loop = asyncio.get_running_loop()
        arrivals: asyncio.Queue[bytes] = asyncio.Queue()
        loop.add_reader(channel.fileno(), _receive, channel, arrivals)
        back: list[float] = []
        try:
            for number in range(self.packets):
                report.set("vezha_check_ping_loss_ratio", 1 - len(back) / self.packets)
                payload = (token + bytes(self.payload_bytes))[: self.payload_bytes]
                sent_s = clock.monotonic()
                channel.send(echo(family, number, token, payload))
                last = number == self.packets - 1
                # the last packet has the rest of the time-out; the others must leave some
                patience_s = None if last and not back else max(_BETWEEN_S, 1.0)
                answered = _replied(arrivals, family, is_raw, number, token)
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(answered, patience_s)
                    back.append(clock.monotonic() - sent_s)
                if not last:
                    await asyncio.sleep(_BETWEEN_S)
        finally:
            loop.remove_reader(channel.fileno())
        loss = 1 - len(back) / self.packets
        report.set("vezha_check_ping_loss_ratio", loss)
        if back:
            rtt_s = sum(back) / len(back)
            report.set("probe_icmp_duration_seconds", rtt_s, phase="rtt")
        if loss > self.loss_max or not back:
            raise ProbeFailed(f"{len(back)} of {self.packets} packets came back")


async def _replied(
    arrivals: asyncio.Queue[bytes], family: int, is_raw: bool, number: int, token: bytes
) -> None:
    while not is_reply(await arrivals.get(), family, is_raw, number, token):
        continue


def _receive(channel: socket.socket, arrivals: asyncio.Queue[bytes]) -> None:
    try:
        arrivals.put_nowait(channel.recv(2_048))
    except BlockingIOError:
        pass
    except OSError:
        # "unreachable" comes as an error of the socket; the packet counts as lost
        pass


def open_socket(family: int) -> tuple[socket.socket, bool]:
    """A socket for ICMP and whether it is a raw one. Raises ProbeFailed."""
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            channel = socket.socket(family, kind, protocol)
        except PermissionError:
            continue
        channel.setblocking(False)
        return channel, kind == socket.SOCK_RAW
    raise ProbeFailed(FORBIDDEN)


def echo(family: int, number: int, token: bytes, payload: bytes) -> bytes:
    """An echo request; the identifier is the token's first two bytes."""
    kind = _ECHO_6 if family == socket.AF_INET6 else _ECHO_4
    identifier = int.from_bytes(token[:2], "big")
    unsummed = struct.pack("!BBHHH", kind, 0, 0, identifier, number) + payload
    return unsummed[:2] + checksum(unsummed).to_bytes(2, "big") + unsummed[4:]


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def is_reply(packet: bytes, family: int, is_raw: bool, number: int, token: bytes) -> bool:
    """Whether *packet* answers echo *number* of ours. A raw IPv4 socket shows the IP header."""
    if is_raw and family == socket.AF_INET and packet:
        packet = packet[(packet[0] & 15) * 4 :]
    if len(packet) < 8 + len(token):
        return False
    kind, _, _, _, sequence = struct.unpack_from("!BBHHH", packet)
    wanted = _REPLY_6 if family == socket.AF_INET6 else _REPLY_4
    return kind == wanted and sequence == number and packet[8 : 8 + len(token)] == token
