"""Domain expiry: by RDAP (RFC 9082, 9083) where a server for it is known, else by WHOIS (RFC 3912).

Which RDAP server knows a domain stands in IANA's bootstrap file (RFC 9224), which the operator keeps
beside `checks.yml` (`rdap_bootstrap`), or is said (`rdap`). An answer is JSON with an event `expiration`.

WHOIS is a line sent to port 43, text read back. Without a `server` the one for the domain is asked of whois.iana.org, whose answer names it (`whois:` or
`refer:`). The text of registries differs; a date is taken from the first line whose name is one of the
usual ones. What cannot be read is a failed probe and no figure: never a date that was guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from vezha.checks.connection import TlsOptions, connected
from vezha.checks.errors import CheckConfigError, ProbeFailed
from vezha.checks.http import HttpProbe
from vezha.checks.limits import (
    ANSWER_BYTES_MAX,
    DOMAIN_AGAIN_S,
    DOMAIN_ASKED_S,
    RDAP_BOOTSTRAP_BYTES_MAX,
)
from vezha.checks.options import Options, host_port
from vezha.checks.outcome import Report
from vezha.world import World

ROOT = "whois.iana.org"
PORT = 43
_DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_REFERRAL = re.compile(r"^\s*(?:whois|refer)\s*:\s*([a-z0-9.-]+)\s*$", re.IGNORECASE | re.MULTILINE)
_EXPIRY = re.compile(
    r"^\s*(?:registry expiry date|registrar registration expiration date|expiry date|expiration date"
    r"|expiration time|expires on|expires|expire|paid-till|valid until|renewal date)\s*[:.\]]+\s*(\S.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_FORMATS = (
    "%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%Y%m%d", "%d-%b-%Y", "%d.%m.%Y", "%d/%m/%Y",
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M:%S%z", "%Y.%m.%d %H:%M:%S", "%d.%m.%Y %H:%M:%S",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DomainProbe:
    """A check of type `domain`. Targets are registered names: `example.org`."""

    server: str = ""
    rdap: tuple[tuple[str, str], ...] = ()
    """Endings of names (`org`; empty: any) and the URL of the RDAP server that knows them."""
    tls: TlsOptions = field(default_factory=TlsOptions)
    known: dict[str, tuple[float, float, str]] = field(default_factory=dict, compare=False)
    """By target: when it was asked, what it said, and why it failed; registries ask for patience."""

    @classmethod
    def taken(cls, options: Options) -> DomainProbe:
        """Out of the options of a check. Raises CheckConfigError."""
        server = options.text("server")
        if server:
            host_port(server, PORT, f"{options.place}: server")
        rdap = (*_said(options), *_bootstrap(options))
        if server and rdap:
            raise options.wrong("server", "is of WHOIS, yet RDAP is set; keep one of them")
        return cls(server, rdap, TlsOptions.taken(options))

    def check_target(self, target: str, place: str) -> None:
        """A target is a domain's name, in its ASCII form."""
        if not _DOMAIN.fullmatch(target):
            raise CheckConfigError(f"{place}: target {target!r} is no domain, such as example.org")

    async def probe(self, target: str, report: Report, world: World) -> None:
        """Until when the name is registered, asked now and then. Raises ProbeFailed, OSError."""
        now_s = world.clock.monotonic()
        at_s, expiry, why = self.known.get(target, (0.0, 0.0, ""))
        wait_s = DOMAIN_AGAIN_S if why else DOMAIN_ASKED_S
        if target not in self.known or now_s - at_s >= wait_s:
            try:
                expiry, why = await self._asked(target, report, world), ""
            except ProbeFailed as fault:
                why = str(fault)
            self.known[target] = (now_s, expiry, why)
        if why:
            raise ProbeFailed(why)
        report.set("vezha_check_domain_expiry_timestamp_seconds", expiry)

    async def _asked(self, target: str, report: Report, world: World) -> float:
        base = rdap_base(self.rdap, target)
        if base:
            return await self._asked_rdap(base, target, report, world)
        server = self.server
        if not server:
            referral = _REFERRAL.search(await _ask(ROOT, target.rpartition(".")[2], report, world))
            if referral is None:
                raise ProbeFailed(f"{ROOT} knows no WHOIS server for {target}; set `server`")
            server = referral[1]
        return expiry_of(await _ask(server, target, report, world), target)

    async def _asked_rdap(self, base: str, target: str, report: Report, world: World) -> float:
        accept = (("Accept", "application/rdap+json"),)
        asking = HttpProbe(headers=accept, tls=self.tls)
        answer, url = await asking.answered(f"{base}domain/{target}", report, world)
        if answer.status == 404:
            raise ProbeFailed(f"{target} is not registered, says {url}")
        if answer.status != 200:
            raise ProbeFailed(f"{url} answers with status {answer.status}")
        return rdap_expiry(answer.body, target)


def rdap_base(known: Sequence[tuple[str, str]], domain: str) -> str:
    """The URL of the RDAP server whose ending of the name is the longest; empty: none is known."""
    fits = [(len(end), url) for end, url in known if not end or domain.endswith(f".{end}")]
    return max(fits, default=(0, ""), key=lambda one: one[0])[1]


def rdap_expiry(body: bytes, domain: str) -> float:
    """When the registration ends, in seconds since the epoch, by RFC 9083, section 4.5. Raises
    ProbeFailed."""
    try:
        told = json.loads(body)
    except ValueError:
        raise ProbeFailed(f"RDAP answers of {domain} with what is no JSON") from None
    if not isinstance(told, dict) or told.get("objectClassName") != "domain":
        raise ProbeFailed(f"RDAP answers with no domain of {domain}")
    name = str(told.get("ldhName", domain)).rstrip(".").lower()
    if name != domain:
        raise ProbeFailed(f"RDAP answers of {name[:80]}, not of {domain}")
    events = told.get("events")
    for event in events if isinstance(events, list) else ():
        if isinstance(event, dict) and event.get("eventAction") == "expiration":
            when = _moment(str(event.get("eventDate", "")))
            if when is None:
                raise ProbeFailed(f"RDAP tells the end of {domain} as {event.get('eventDate')!r}")
            return when.timestamp()
    raise ProbeFailed(f"RDAP tells no end of {domain}")


def read_bootstrap(content: bytes) -> tuple[tuple[str, str], ...]:
    """Endings and URLs of a file as IANA publishes it (RFC 9224); of several URLs the first that is
    HTTPS. Raises ValueError."""
    services = json.loads(content)["services"]
    found = []
    for entry in services:
        ends, urls = entry[0], entry[1]
        url = next((u for u in urls if u.startswith("https:")), urls[0])
        found += [(str(end).strip(".").lower(), _slashed(str(url))) for end in ends]
    return tuple(found)


def _slashed(url: str) -> str:
    return url if url.endswith("/") else f"{url}/"


def _said(options: Options) -> tuple[tuple[str, str], ...]:
    url = options.text("rdap")
    if not url:
        return ()
    HttpProbe().check_target(url, f"{options.place}: rdap")
    return (("", _slashed(url)),)


def _bootstrap(options: Options) -> tuple[tuple[str, str], ...]:
    content = options.content("rdap_bootstrap", RDAP_BOOTSTRAP_BYTES_MAX)
    if not content:
        return ()
    try:
        return read_bootstrap(content)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, StopIteration):
        raise options.wrong(
            "rdap_bootstrap", "is no bootstrap file; get IANA's dns.json (RFC 9224)"
        ) from None


async def _ask(server: str, line: str, report: Report, world: World) -> str:
    host, port = host_port(server, PORT, "")
    async with connected(host, port, report, world, None) as connection:
        await connection.send(f"{line}\r\n".encode())
        got = b""
        while part := await connection.reader.read(4_096):
            got += part
            if len(got) > ANSWER_BYTES_MAX:
                raise ProbeFailed(f"{host} said over {ANSWER_BYTES_MAX} bytes")
    return got.decode("utf-8", "replace")


def expiry_of(text: str, domain: str) -> float:
    """When the registration ends, in seconds since the epoch. Raises ProbeFailed."""
    found = _EXPIRY.search(text)
    if found is None:
        said = next((line.strip() for line in text.splitlines() if line.strip()), "nothing")
        raise ProbeFailed(f"WHOIS tells no end of {domain}; it says: {said[:100]}")
    when = _moment(found[1].strip())
    if when is None:
        raise ProbeFailed(f"WHOIS tells the end of {domain} as {found[1].strip()[:60]!r}")
    return when.timestamp()


def _moment(text: str) -> datetime | None:
    text = re.sub(r"\s*\(?(?:UTC|GMT)\)?$", "", text)
    # Python 3.10 reads neither of these
    text = re.sub(r"([+-]\d\d)$", r"\1:00", re.sub(r"Z$", "+00:00", text)) if ":" in text else text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        for form in _FORMATS:
            try:
                found = datetime.strptime(text, form)  # noqa: DTZ007 - the zone is put in below
                break
            except ValueError:
                continue
        else:
            return None
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
