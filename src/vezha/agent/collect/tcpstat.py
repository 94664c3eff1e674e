"""TCP connections by state: the kernel's socket diagnosis (sock_diag(7)), else /proc/net/tcp."""

from __future__ import annotations

import os
import socket
import struct

from vezha.agent.collect import collector as base
from vezha.agent.collect.collector import Family
from vezha.agent.collect.kernelfile import KernelFile
from vezha.agent.limits import TCP_SOCKETS_MAX
from vezha.model.labels import metric

_STATES = (
    *("established", "syn_sent", "syn_recv", "fin_wait1", "fin_wait2", "time_wait", "close"),
    *("close_wait", "last_ack", "listen", "closing"),
)
"""Numbered from 1 as in the kernel's net/tcp_states.h; 12 (new_syn_recv) counts as syn_recv."""
_NEW_SYN_RECV = 12
_SYN_RECV = 3

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_ALL_STATES = 0xFFFFFFFF
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI48x")
_RECEIVE_BYTES = 1 << 16


class Collector(base.Collector):
    """node_tcp_connection_states."""

    families = (
        Family("node_tcp_connection_states", "gauge", "Connections; queued bytes.", "state"),
    )

    def start(self) -> None:
        if not os.path.exists(self.host.proc("net/tcp")):
            raise base.NotHere(f"no {self.host.proc('net/tcp')}")
        self._asks_kernel = self.host.proc_folder == "/proc"
        names = (*_STATES, "rx_queued_bytes", "tx_queued_bytes")
        self.series = tuple(metric("node_tcp_connection_states", state=name) for name in names)

    def read(self, now: float) -> list[float]:
        # States (0 and 12 included), then the two queues.
        counts = [0] * 15
        if self._asks_kernel:
            try:
                for family in (socket.AF_INET, socket.AF_INET6):
                    count_by_kernel(family, counts)
            except OSError:
                # No tcp_diag module, or a filter on system calls: read the text from now on.
                self._asks_kernel = False
        if not self._asks_kernel:
            counts = [0] * 15
            for name in ("tcp", "tcp6"):
                count_by_text(self.host.proc(f"net/{name}"), counts)
        counts[_SYN_RECV] += counts[_NEW_SYN_RECV]
        return [float(n) for n in (*counts[1 : len(_STATES) + 1], counts[13], counts[14])]


def count_by_kernel(family: int, counts: list[int]) -> None:
    """Add the sockets of *family* to counts[state], queued bytes to counts[13] and [14]."""
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES)
    header = _HEADER.pack(16 + len(request), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0)
    queues = struct.Struct("=II").unpack_from
    head = _HEADER.unpack_from
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.settimeout(0.4)
        link.send(header + request)
        for _ in range(TCP_SOCKETS_MAX // 100):
            data = link.recv(_RECEIVE_BYTES)
            at = 0
            while at + 16 <= len(data):
                size, kind, _, _, _ = head(data, at)
                if kind == _NLMSG_DONE or size < 16:
                    return
                if kind == _NLMSG_ERROR:
                    raise OSError("the kernel refuses socket diagnosis")
                counts[data[at + 17]] += 1
                if data[at + 17] != 10:
                    # A listening socket's "queues" are its backlog, not bytes.
                    received, sent = queues(data, at + 72)
                    counts[13] += received
                    counts[14] += sent
                at += (size + 3) & ~3


def count_by_text(path: str, counts: list[int]) -> None:
    """As `count_by_kernel`, from the text of /proc/net/tcp or tcp6 (absent without IPv6)."""
    try:
        file = KernelFile(path, whole=False)
    except FileNotFoundError:
        return
    try:
        text = file.read()
    finally:
        file.close()
    for line in text.splitlines()[1:]:
        parts = line.split(None, 5)
        counts[int(parts[3], 16)] += 1
        if parts[3] != b"0A":
            sent, _, received = parts[4].partition(b":")
            counts[13] += int(received, 16)
            counts[14] += int(sent, 16)
