"""Whether the server answers: asked by the launcher itself, in a process of its own."""

from __future__ import annotations

import socket

from vezha.agent.launcher.limits import PROBE_NO, PROBE_SLOW, PROBE_TIMEOUT_S, Json


def probe_main(probe: Json) -> int:
    """The exit code: what the server (or the proxy to it) answers. Raises OSError, ValueError."""
    import ssl

    through = probe.get("proxy")
    host, port = through or (probe["host"], probe["port"])
    with socket.create_connection((host, port), PROBE_TIMEOUT_S) as raw:
        if through:
            ask = (
                f"CONNECT {probe['host']}:{probe['port']} HTTP/1.1\r\nHost: {probe['host']}\r\n\r\n"
            )
            raw.sendall(ask.encode())
            if _status(raw) != 200:
                return PROBE_NO
        if not probe.get("plaintext"):
            # whether it is the right one, the agent judges; here only: does it answer
            context = ssl._create_unverified_context()  # noqa: S323
            raw = context.wrap_socket(raw)
        raw.sendall(b"GET /readyz HTTP/1.1\r\nHost: vezha\r\nConnection: close\r\n\r\n")
        return meaning(_status(raw))


def _status(answered: socket.socket) -> int:
    """The status of an HTTP answer. Raises ValueError for what is none."""
    return int(answered.recv(64).split(b" ", 2)[1])


def meaning(status: int) -> int:
    """The exit code for an answer's status. Our gateway, or a proxy before it, may send away for
    now; a proxy with nobody behind it is no server."""
    if status in (429, 503):
        return PROBE_SLOW
    return PROBE_NO if status >= 500 else 0
