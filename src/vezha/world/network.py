"""Network: blocking TCP connections, which is all that the agent needs."""

from __future__ import annotations

import socket
from typing import Protocol


class Network(Protocol):
    """Opens connections."""

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """A connected TCP socket with that time-out set. Raises OSError."""
        ...

    def hostname(self) -> str:
        """This machine's name."""
        ...


class SystemNetwork:
    """The machine's network."""

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        connection = socket.create_connection((host, port), timeout=timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def hostname(self) -> str:
        return socket.gethostname()
