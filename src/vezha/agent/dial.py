"""Dialling: TCP, a proxy if there is one, TLS, and the WebSocket upgrade.

Whom we talk to is proven in one of three ways: by the server's own authority (given at enrolment;
the name is then not compared, since that authority signs nobody else), by the machine's trust
store with the name compared, or, at enrolment only, by the certificate's fingerprint.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import select
import socket
import ssl
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vezha.agent.errors import AgentError
from vezha.agent.limits import LINK_IO_TIMEOUT_S
from vezha.wire import websocket as ws
from vezha.wire.errors import ProtocolError
from vezha.wire.limits import HANDSHAKE_TIMEOUT_S, SUBPROTOCOL
from vezha.world import World

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Server:
    """Where to dial and how to know that it is the right one."""

    host: str
    port: int
    ca_pem: str = ""
    fingerprint: str = ""
    plaintext: bool = False
    proxy: str = ""


def server_of(address: str, **how: str | bool) -> Server:
    """The server at `host:port` or `[v6]:port`. Raises AgentError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise AgentError(f'server "{address}" is not host:port, such as vezha.example.org:8471')
    if how.get("plaintext") and host not in LOOPBACK:
        raise AgentError(
            f"plain text to {host} is refused: allow_plaintext_loopback is for 127.0.0.1 only"
        )
    return Server(host, int(port), **how)  # type: ignore[arg-type]


def proxy_of(setting: str, host: str, environment: Mapping[str, str]) -> str:
    """The HTTP proxy to use, as the setting and the usual variables say; empty for none."""
    if setting == "none":
        return ""
    if setting:
        return setting
    excluded = environment.get("NO_PROXY", environment.get("no_proxy", ""))
    for entry in excluded.split(","):
        name = entry.strip().lstrip(".").lower()
        if name == "*" or (name and (host.lower() == name or host.lower().endswith("." + name))):
            return ""
    if host in LOOPBACK:
        return ""
    return environment.get("HTTPS_PROXY", environment.get("https_proxy", ""))


class Channel:
    """An open WebSocket, blocking."""

    def __init__(self, sock: socket.socket, rest: bytes, token: Callable[[int], bytes]) -> None:
        self._socket = sock
        self._inbox = ws.Inbox()
        self._token = token
        self._early = self._inbox.feed(rest)
        self._closing = False

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send one binary message. Raises OSError."""
        self._socket.sendall(ws.pack_client_frame(ws.BINARY, data, self._token(4)))

    def receive(self, wake: int, timeout_s: float) -> list[bytes]:
        """Messages that came, none at the time-out or when *wake* is readable.
        Raises OSError (also when the server hung up) or ProtocolError."""
        messages = self._sort(self._early)
        self._early = []
        if messages:
            return messages
        pending = isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()
        if not pending:
            readable, _, _ = select.select([self.fileno(), wake], [], [], max(0.0, timeout_s))
            if self.fileno() not in readable:
                return []
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError("the server hung up")
        while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            data += self._socket.recv(65536)
        return self._sort(self._inbox.feed(data))

    def _sort(self, received: list[tuple[int, bytes]]) -> list[bytes]:
        messages = []
        for opcode, payload in received:
            if opcode == ws.BINARY:
                messages.append(payload)
            elif opcode == ws.PING:
                self._socket.sendall(ws.pack_client_frame(ws.PONG, payload, self._token(4)))
            elif opcode == ws.CLOSE:
                self._closing = True
        if self._closing and not messages:
            raise ConnectionResetError("the server closed the connection")
        return messages

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(OSError):
            self._socket.sendall(ws.pack_client_frame(ws.CLOSE, b"\x03\xe8", self._token(4)))
        self._socket.close()


def dial(world: World, server: Server, path: str, credential: str) -> Channel:
    """Connect and upgrade. Raises OSError (ssl.SSLError among them), ProtocolError, ws.Refused."""
    if server.proxy:
        raw = _through_proxy(world, server)
    else:
        raw = world.network.connect(server.host, server.port, LINK_IO_TIMEOUT_S)
    sock = raw
    try:
        raw.settimeout(HANDSHAKE_TIMEOUT_S)
        if not server.plaintext:
            sock = _tls(raw, server)
        key = world.chance.token(16)
        host = f"[{server.host}]" if ":" in server.host else server.host
        headers = {
            "Authorization": f"Bearer {credential}",
            "Sec-WebSocket-Protocol": SUBPROTOCOL,
        }
        sock.sendall(ws.upgrade_request(f"{host}:{server.port}", path, key, headers))
        head, rest = _http_head(sock)
        ws.check_upgrade(head, key)
        sock.settimeout(LINK_IO_TIMEOUT_S)
        return Channel(sock, rest, world.chance.token)
    except BaseException:
        sock.close()
        raise


def _tls(raw: socket.socket, server: Server) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if server.fingerprint:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the fingerprint is compared below
    elif server.ca_pem:
        context.check_hostname = False
        context.load_verify_locations(cadata=server.ca_pem)
    else:
        context.load_default_certs()
    sock = context.wrap_socket(raw, server_hostname=server.host)
    if server.fingerprint:
        shown = hashlib.sha256(sock.getpeercert(binary_form=True) or b"").hexdigest()
        wanted = server.fingerprint.replace(":", "").lower()
        if not hmac.compare_digest(shown, wanted):
            sock.close()
            raise ssl.SSLError(f"the server's certificate has another fingerprint: {shown}")
    return sock


def _through_proxy(world: World, server: Server) -> socket.socket:
    url = urllib.parse.urlsplit(server.proxy if "//" in server.proxy else f"//{server.proxy}")
    if url.scheme not in ("", "http") or not url.hostname:
        raise AgentError(f"proxy {url.hostname or server.proxy!r}: only http:// proxies are known")
    raw = world.network.connect(url.hostname, url.port or 3128, LINK_IO_TIMEOUT_S)
    try:
        host = f"[{server.host}]" if ":" in server.host else server.host
        lines = [f"CONNECT {host}:{server.port} HTTP/1.1", f"Host: {host}:{server.port}"]
        if url.username:
            pair = (
                f"{urllib.parse.unquote(url.username)}:{urllib.parse.unquote(url.password or '')}"
            )
            lines.append(f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}")
        raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        head, rest = _http_head(raw)
        status, reason, _ = ws.http_status(head)
        if status != 200 or rest:
            raise ConnectionError(f"the proxy answered {status} {reason}")
        return raw
    except BaseException:
        raw.close()
        raise


def _http_head(sock: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while True:
        piece = sock.recv(4096)
        if not piece:
            raise ProtocolError("bad_message", "the connection ended before the HTTP answer did")
        data += piece
        split = ws.split_http_head(data)
        if split is not None:
            return split
