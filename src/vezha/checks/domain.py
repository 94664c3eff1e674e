"""Domain expiry by WHOIS (RFC 3912): a line sent to port 43, text read back.

Without a `server` the one for the domain is asked of whois.iana.org, whose answer names it (`whois:` or
`refer:`). The text of registries differs; a date is taken from the first line whose name is one of the
usual ones. What cannot be read is a failed probe and no figure: never a date that was guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone

from vezha.checks.connection import connected
from vezha.checks.errors import CheckConfigError, ProbeFailed
from vezha.checks.limits import ANSWER_BYTES_MAX, DOMAIN_AGAIN_S, DOMAIN_ASKED_S
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
    known: dict[str, tuple[float, float, str]] = field(default_factory=dict, compare=False)
    """By target: when it was asked, what it said, and why it failed; registries ask for patience."""

    @classmethod
    def taken(cls, options: Options) -> DomainProbe:
        """Out of the options of a check. Raises CheckConfigError."""
        server = options.text("server")
        if server:
            host_port(server, PORT, f"{options.place}: server")
        return cls(server)

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
        server = self.server
        if not server:
            referral = _REFERRAL.search(await _ask(ROOT, target.rpartition(".")[2], report, world))
            if referral is None:
                raise ProbeFailed(f"{ROOT} knows no WHOIS server for {target}; set `server`")
            server = referral[1]
        return expiry_of(await _ask(server, target, report, world), target)


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
