"""Domain expiry by WHOIS, against a server of our own on this machine."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from vezha.checks import domain as module
from vezha.checks.config import parse_checks
from vezha.checks.domain import DomainProbe, expiry_of, rdap_base
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


BOOTSTRAP = {
    "version": "1.0",
    "publication": "2026-11-01T00:00:00Z",
    "services": [
        [["org", "example"], ["http://PLACE/rdap"]],
        [["co.example"], ["http://PLACE/co/"]],
    ],
}


def rdap(name: str, **more: object) -> str:
    """A domain as RFC 9083 shows it in section 5.3."""
    return json.dumps(
        {
            "rdapConformance": ["rdap_level_0"],
            "objectClassName": "domain",
            "handle": "EXAMPLE-1",
            "ldhName": name,
            "status": ["active"],
            "events": [
                {"eventAction": "registration", "eventDate": "1990-12-31T23:59:59Z"},
                {"eventAction": "expiration", "eventDate": "2027-03-04T00:00:00Z"},
            ],
            **more,
        }
    )


def test_rdap_is_asked_where_the_bootstrap_file_knows_it(tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split()[1]
        asked.append(path)
        assert "accept: application/rdap+json" in head.lower()
        name = path.rpartition("/")[2]
        status, body = "200 OK", rdap(name.upper())
        if name == "gone.org":
            status, body = "404 Not Found", '{"errorCode": 404}'
        elif name == "moved.org":
            status, body = "302 Found\r\nLocation: /rdap/domain/shop.org", ""
        elif name == "other.org":
            body = rdap("another.org")
        elif name == "endless.org":
            body = rdap(name, events=[])
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/rdap+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
        )
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        (tmp_path / "dns.json").write_text(json.dumps(BOOTSTRAP).replace("PLACE", place))
        text = f"checks: [{{name: d, type: domain, targets: [shop.org], rdap_bootstrap: {tmp_path}/dns.json}}]"
        (check,) = parse_checks(text, lambda path: Path(path).read_bytes(), "checks.yml")
        whys = {}
        for name in ("shop.org", "a.co.example", "gone.org", "other.org", "endless.org"):
            done = await run_probe(check.probe, name, 5.0, World())
            whys[name] = done.why
            if done.success:
                assert done.report.get("vezha_check_domain_expiry_timestamp_seconds") == END
        assert whys["shop.org"] == whys["a.co.example"] == ""
        assert "is not registered" in whys["gone.org"]
        assert whys["other.org"] == "RDAP answers of another.org, not of other.org"
        assert whys["endless.org"] == "RDAP tells no end of endless.org"
        # said outright; and a redirect is followed, but only to the domain that was asked for
        text = f"checks: [{{name: d, type: domain, targets: [moved.org], rdap: 'http://{place}/rdap'}}]"
        (direct,) = parse_checks(text, lambda _: b"", "checks.yml")
        moved = await run_probe(direct.probe, "moved.org", 5.0, World())
        assert moved.why == "RDAP answers of shop.org, not of moved.org"
        server.close()

    asyncio.run(main())
    assert asked[:2] == ["/rdap/domain/shop.org", "/co/domain/a.co.example"]


def test_which_rdap_server_knows_a_name() -> None:
    known = (("org", "a"), ("co.example", "b"), ("example", "c"))
    assert rdap_base(known, "shop.org") == "a"
    assert rdap_base(known, "shop.co.example") == "b"
    assert rdap_base(known, "borg") == ""
    assert rdap_base((("", "d"), *known), "shop.net") == "d"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("rdap: 'ftp://x'", "write a URL"),
        ("rdap_bootstrap: dns.json", "is no bootstrap file"),
        ("rdap: 'https://rdap.example/', server: whois.example", "keep one of them"),
    ],
)
def test_rdap_options_that_cannot_be_meant(options: str, why: str) -> None:
    text = f"checks: [{{name: d, type: domain, targets: [shop.org], {options}}}]"
    with pytest.raises(CheckConfigError, match=why):
        parse_checks(text, lambda _: b"{}", "checks.yml")
