"""HTTP and HTTPS: status, headers, body, latency by phase, certificate.

Speaks HTTP/1.1 by `h11` over a connection of its own, since no common client tells the phases.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urljoin, urlsplit

import h11

from vezha.checks.connection import (
    CertificateRefused,
    Connection,
    TlsOptions,
    connected,
    note_refused_certificate,
)
from vezha.checks.errors import CheckConfigError, ProbeFailed
from vezha.checks.limits import BODY_BYTES_MAX, BODY_SEARCHED_BYTES_MAX, REDIRECTS_MAX
from vezha.checks.options import Options, Secret, compiled
from vezha.checks.outcome import Report
from vezha.world import World

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_STATUS = re.compile(r"[1-5](xx|\d\d)")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PHASES = ("resolve", "connect", "tls", "processing", "transfer")
_REDIRECTS = (301, 302, 303, 307, 308)
_READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back; *body* is cut at what patterns see."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    body_bytes: int
    version: str

    def header(self, name: str) -> str | None:
        """The first header of that name, any case."""
        for known, value in self.headers:
            if known.lower() == name.lower():
                return value
        return None


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """A check of type `http`."""

    method: str = "GET"
    status: tuple[str, ...] = ("2xx",)
    headers: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, Secret], ...] = ()
    body: str = ""
    body_matches: re.Pattern[str] | None = None
    body_not_matches: re.Pattern[str] | None = None
    header_matches: tuple[tuple[str, re.Pattern[str]], ...] = ()
    redirects: bool = True
    must_be_tls: bool = False
    tls: TlsOptions = field(default_factory=TlsOptions)

    @classmethod
    def taken(cls, options: Options) -> HttpProbe:
        """Out of a check's options. Raises CheckConfigError."""
        headers = options.mapping("headers")
        for name, value in headers.items():
            if not _HEADER.fullmatch(name) or "\n" in value or "\r" in value:
                raise options.wrong("headers", f"has {name!r}, which is no header")
        header_matches = tuple(
            (name, compiled(text, f"{options.place}: header_matches"))
            for name, text in options.mapping("header_matches").items()
        )
        return cls(
            options.choice("method", _METHODS, "GET"),
            _statuses(options),
            tuple(headers.items()),
            _authorization(options),
            options.text("body"),
            options.pattern("body_matches"),
            options.pattern("body_not_matches"),
            header_matches,
            options.flag("follow_redirects", True),
            options.flag("must_be_tls", False),
            TlsOptions.taken(options),
        )

    def check_target(self, target: str, place: str) -> None:
        """A target is a URL."""
        try:
            _split(target)
        except ValueError as error:
            raise CheckConfigError(
                f"{place}: target {target!r}: {error}; write a URL, such as https://shop.example/"
            ) from None

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Ask, follow redirects, judge. Raises ProbeFailed, OSError."""
        answer, url = await self.answered(target, report, world)
        self._judge(answer, url, report)

    async def answered(self, target: str, report: Report, world: World) -> tuple[HttpAnswer, str]:
        """The answer after all redirects, whatever its status, and the URL that gave it. Raises
        ProbeFailed, OSError."""
        for phase in _PHASES:
            report.set("probe_http_duration_seconds", 0.0, phase=phase)
        url, method, body = target, self.method, self.body
        hops = 0
        while True:
            own = _origin(url) == _origin(target)
            answer = await self._ask(url, method, body, own, report, world)
            goal = answer.header("location")
            if not (self.redirects and answer.status in _REDIRECTS and goal):
                break
            hops += 1
            report.set("probe_http_redirects", float(hops))
            if hops > REDIRECTS_MAX:
                raise ProbeFailed(f"redirects go on after {REDIRECTS_MAX}")
            url = _redirected(url, goal)
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, body = "GET", ""
        report.set("probe_http_redirects", float(hops))
        return answer, url

    async def _ask(
        self, url: str, method: str, body: str, own: bool, report: Report, world: World
    ) -> HttpAnswer:
        parts = _split(url)
        is_tls = parts.scheme == "https"
        host, port = str(parts.hostname), parts.port or (443 if is_tls else 80)
        report.set("probe_http_ssl", float(is_tls))
        tls = self.tls if is_tls else None
        try:
            async with connected(host, port, report, world, tls) as connection:
                phases = connection.phases
                for phase, took_s in (
                    ("resolve", phases.resolve_s),
                    ("connect", phases.connect_s),
                    ("tls", phases.tls_s),
                ):
                    report.add("probe_http_duration_seconds", took_s, phase=phase)
                return await self._exchange(connection, parts, method, body, own, report, world)
        except CertificateRefused:
            await note_refused_certificate(host, port, self.tls, report, world)
            raise

    async def _exchange(
        self, connection: Connection, parts: SplitResult, method: str, body: str, own: bool,
        report: Report, world: World,
    ) -> HttpAnswer:  # fmt: skip
        clock = world.clock
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "Vezha", "Accept": "*/*"}
        headers |= {"Accept-Encoding": "identity", "Connection": "close"}
        headers |= dict(self.headers)
        if own:
            # another site's server is not told what was meant for this one
            headers |= {name: secret.reveal() for name, secret in self.secrets}
        else:
            headers = {n: v for n, v in headers.items() if n.lower() not in _PRIVATE}
        if body or method in ("POST", "PUT", "PATCH"):
            headers["Content-Length"] = str(len(body.encode()))
        machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=_READ_BYTES)
        began_s = clock.monotonic()
        try:
            request = h11.Request(method=method, target=path, headers=list(headers.items()))
            data = machine.send(request) or b""
            if body:
                data += machine.send(h11.Data(data=body.encode())) or b""
            data += machine.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError as error:
            raise ProbeFailed(f"this request cannot be sent: {error}") from None
        await connection.send(data)
        try:
            first = await _event(machine, connection)
            while isinstance(first, h11.InformationalResponse):
                first = await _event(machine, connection)
            answered_s = clock.monotonic()
            report.add("probe_http_duration_seconds", answered_s - began_s, phase="processing")
            if not isinstance(first, h11.Response):
                raise ProbeFailed("the server closed the connection without an answer")
            report.set("probe_http_status_code", float(first.status_code))
            kept, size = await _body(machine, connection)
        except h11.RemoteProtocolError as error:
            raise ProbeFailed(f"the answer is no HTTP: {error}") from None
        report.add("probe_http_duration_seconds", clock.monotonic() - answered_s, phase="transfer")
        seen = tuple((n.decode("latin-1"), v.decode("latin-1")) for n, v in first.headers)
        return HttpAnswer(first.status_code, seen, kept, size, first.http_version.decode())

    def _judge(self, answer: HttpAnswer, url: str, report: Report) -> None:
        report.set("probe_http_version", float(answer.version))
        report.set("probe_http_uncompressed_body_length", float(answer.body_bytes))
        length = answer.header("content-length") or ""
        report.set("probe_http_content_length", float(length) if length.isdecimal() else -1.0)
        if not _fits(answer.status, self.status):
            raise ProbeFailed(f"status {answer.status}, wanted {' or '.join(self.status)}")
        if self.must_be_tls and not url.startswith("https:"):
            raise ProbeFailed("the answer came without TLS")
        report.set("probe_failed_due_to_regex", 1.0)
        for name, pattern in self.header_matches:
            value = answer.header(name)
            if value is None or not pattern.search(value):
                shown = "is absent" if value is None else f"is {value[:100]!r}"
                raise ProbeFailed(f"header {name} {shown}, wanted {pattern.pattern!r}")
        text = answer.body.decode("utf-8", "replace")
        if self.body_matches is not None and not self.body_matches.search(text):
            raise ProbeFailed(f"the body does not match {self.body_matches.pattern!r}")
        if self.body_not_matches is not None and self.body_not_matches.search(text):
            raise ProbeFailed(f"the body matches {self.body_not_matches.pattern!r}, and must not")
        report.set("probe_failed_due_to_regex", 0.0)


_PRIVATE = {"authorization", "cookie", "proxy-authorization", "x-api-key"}


async def _event(machine: h11.Connection, connection: Connection) -> object:
    while True:
        event = machine.next_event()
        if event is not h11.NEED_DATA:
            return event
        data = await connection.reader.read(_READ_BYTES)
        if not data and machine.their_state is h11.SEND_RESPONSE:
            raise ProbeFailed("the server closed the connection without a whole answer")
        machine.receive_data(data)


async def _body(machine: h11.Connection, connection: Connection) -> tuple[bytes, int]:
    """What patterns see of the body, and its whole size in bytes."""
    kept: list[bytes] = []
    size = 0
    while True:
        event = await _event(machine, connection)
        if not isinstance(event, h11.Data):
            return b"".join(kept), size
        room = BODY_SEARCHED_BYTES_MAX - size
        if room > 0:
            kept.append(bytes(event.data[:room]))
        size += len(event.data)
        if size > BODY_BYTES_MAX:
            raise ProbeFailed(f"the body is over {BODY_BYTES_MAX} bytes")


def _fits(status: int, wanted: tuple[str, ...]) -> bool:
    text = str(status)
    return any(text == one or (one[1:] == "xx" and text[0] == one[0]) for one in wanted)


def _statuses(options: Options) -> tuple[str, ...]:
    value = options.take("status")
    if value is None:
        return ("2xx",)
    items = tuple(str(item) for item in (value if isinstance(value, list) else [value]))
    for item in items:
        if not _STATUS.fullmatch(item):
            raise options.wrong("status", f"has {item}; write statuses such as [200, 3xx]")
    return items


def _authorization(options: Options) -> tuple[tuple[str, Secret], ...]:
    bearer = options.secret("bearer_token")
    user, password = options.text("username"), options.secret("password")
    if bearer and user:
        raise options.wrong("bearer_token_file", "and username exclude each other; keep one")
    if bool(user) != bool(password):
        raise options.wrong("username", "and password_file go together; set both or neither")
    if bearer:
        return (("Authorization", Secret(f"Bearer {bearer.reveal()}")),)
    if user:
        pair = base64.b64encode(f"{user}:{password.reveal()}".encode()).decode()
        return (("Authorization", Secret(f"Basic {pair}")),)
    return ()


def _split(url: str) -> SplitResult:
    """The parts of an HTTP URL. Raises ValueError in words."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise ValueError("it begins with neither http:// nor https://")
    if not parts.hostname or any(c.isspace() or ord(c) < 32 for c in url) or parts.username:
        raise ValueError("it has no host, or a name, or white space in it")
    if parts.port == 0:
        raise ValueError("0 is no port")
    if not url.isascii():
        raise ValueError("characters beyond ASCII must be percent-encoded")
    return parts


def _redirected(url: str, goal: str) -> str:
    """Where *goal* leads from *url*. Raises ProbeFailed."""
    try:
        joined = urljoin(url, goal)
        _split(joined)
    except ValueError as error:
        raise ProbeFailed(f"redirected to {goal[:200]!r}: {error}") from None
    return joined


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
