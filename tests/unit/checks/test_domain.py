"""Domain expiry by WHOIS, against a server of our own on this machine."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone

import pytest

from vezha.checks import domain as module
from vezha.checks.config import parse_checks
from vezha.checks.domain import DomainProbe, expiry_of
from vezha.checks.errors import CheckConfigError, ProbeFailed
from vezha.checks.probe import run_probe
from vezha.world import World

END = datetime(2027, 3, 4, tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("   Registry Expiry Date: 2027-03-04T00:00:00Z", END),
        ("expires:        2027-03-04 02:00:00+02", END),
        ("paid-till:     2027-03-04T00:00:00Z", END),
        ("Expiration Date: 04-Mar-2027", END),
        ("expire:        04.03.2027", END),
        ("Expiry Date...: 2027/03/04", END),
        ("Expiration Time: 2027-03-04 00:00:00 (UTC)", END),
    ],
)
def test_dates_as_registries_write_them(line: str, seconds: float) -> None:
    assert expiry_of(f"Domain Name: X\nCreated: 2001-01-01\n{line}\n", "x.org") == seconds


@pytest.mark.parametrize(
    "text", ["No match for domain", "expires: soon\n", "", "Expires: 2027-13-45"]
)
def test_what_cannot_be_read_is_no_date(text: str) -> None:
    with pytest.raises(ProbeFailed):
        expiry_of(text, "x.org")


def test_the_server_is_found_by_the_root_and_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode().strip()
        asked.append(line)
        port = writer.get_extra_info("sockname")[1]
        if line == "org":
            writer.write(f"domain: ORG\nwhois: 127.0.0.1:{port}\n".encode())
        else:
            writer.write(b"Registry Expiry Date: 2027-03-04T00:00:00Z\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setattr(module, "ROOT", f"127.0.0.1:{port}")
        monkeypatch.setattr(module, "_REFERRAL", __import__("re").compile(r"whois: (\S+)"))
        probe = DomainProbe()
        for _ in range(3):  # asked once; then the answer is repeated
            done = await run_probe(probe, "example.org", 5.0, World())
        assert (done.success, done.why) == (True, "")
        assert done.report.get("vezha_check_domain_expiry_timestamp_seconds") == END
        direct = await run_probe(DomainProbe(f"127.0.0.1:{port}"), "shop.org", 5.0, World())
        assert direct.success
        server.close()
        refused = await run_probe(DomainProbe("127.0.0.1:1"), "shop.org", 5.0, World())
        assert not refused.success

    asyncio.run(main())
    assert asked == ["org", "example.org", "shop.org"]


def test_its_options_are_strict() -> None:
    text = "checks:\n- {name: d, type: domain, targets: [example.org], interval: 4m}\n"
    (check,) = parse_checks(text, lambda _: b"", "checks.yml")
    assert (check.kind, check.interval_s) == ("domain", 240.0)
    for wrong in ("https://example.org", "example", "a b.org"):
        with pytest.raises(CheckConfigError, match="is no domain"):
            parse_checks(text.replace("example.org", wrong), lambda _: b"", "checks.yml")
