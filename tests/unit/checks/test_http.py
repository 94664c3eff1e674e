"""HTTP against real servers: status, body, headers, redirects, phases, certificates."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.checks.servers import Handler, certified, only, run, serving

from vezha.checks.probe import run_probe
from vezha.world import World


def answering(*answers: str) -> tuple[Handler, list[bytes]]:
    """Gives one answer after another; and the requests that came."""
    left, seen = list(answers), []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(left.pop(0).replace("\n", "\r\n").encode())

    return handle, seen


OK = "HTTP/1.1 200 OK\nX-Version: 12\nContent-Length: 5\n\nhello"
DOWN = "HTTP/1.1 503 No\nContent-Length: 0\n\n"


@pytest.mark.parametrize(
    ("answer", "options", "why"),
    [
        (OK, "", ""),
        (OK, "body_matches: '^hel+o$', header_matches: {x-version: '^1'}", ""),
        (OK, "body_matches: bye", "does not match 'bye'"),
        (OK, "body_not_matches: hell", "matches 'hell', and must not"),
        (OK, "header_matches: {x-version: '^3'}", "is '12', wanted '^3'"),
        (OK, "header_matches: {x-other: '.'}", "x-other is absent"),
        (OK, "must_be_tls: true", "without TLS"),
        (DOWN, "", "status 503, wanted 2xx"),
        (DOWN, "status: [200, 503]", ""),
        ("HTTP/1.1 200 OK\n\nuntil the end", "body_matches: end", ""),
        (
            "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
            "body_matches: '^abc$'",
            "",
        ),
        ("SSH-2.0-x\n\n", "", "no HTTP"),
        ("", "", "closed"),
        ("HTTP/1.1 302 Go\nLocation: http://[\nContent-Length: 0\n\n", "", "redirected to"),
        ("HTTP/1.1 302 Go\nLocation: gopher://x\nContent-Length: 0\n\n", "", "redirected to"),
        ("HTTP/1.1 302 Go\nLocation: /x\nContent-Length: 0\n\n", "follow_redirects: false", "302"),
    ],
)
def test_an_answer_is_judged(answer: str, options: str, why: str) -> None:
    async def ask() -> None:
        handler, _ = answering(answer)
        async with serving(handler) as port:
            targets = f"name: a, type: http, targets: ['http://127.0.0.1:{port}/']"
            outcome = await run(f"{{{targets}, {options}}}" if options else f"{{{targets}}}")
        assert why in outcome.why
        assert outcome.success is (not why)

    asyncio.run(ask())


def test_redirects_and_phases(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")

    async def ask() -> None:
        other, other_seen = answering(OK)
        async with serving(other) as away:
            first, seen = answering(
                "HTTP/1.1 302 Go\nLocation: /second\nContent-Length: 0\n\n",
                f"HTTP/1.1 307 Go\nLocation: http://127.0.0.1:{away}/third\nContent-Length: 0\n\n",
            )
            async with serving(first) as port:
                outcome = await run(
                    f"{{name: a, type: http, targets: ['http://127.0.0.1:{port}/x?y=1'],"
                    f" bearer_token_file: {tmp_path}/token}}"
                )
        assert outcome.why == ""
        assert [r.split(b" ")[1] for r in (*seen, *other_seen)] == [
            b"/x?y=1",
            b"/second",
            b"/third",
        ]
        assert all(b"Authorization: Bearer s3cret" in r for r in seen)
        assert b"s3cret" not in other_seen[0], "a secret went to another server"
        report = outcome.report
        assert report.get("probe_http_redirects") == 2
        assert report.get("probe_http_status_code") == 200
        phases = [
            report.get("probe_http_duration_seconds", phase=p)
            for p in ("resolve", "connect", "tls", "processing", "transfer")
        ]
        assert phases[2] == 0
        assert 0 < sum(p or 0 for p in phases) <= outcome.took_s

    asyncio.run(ask())


def test_a_silent_server_times_out() -> None:
    async def ask() -> None:
        async def handle(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            await reader.read()

        async with serving(handle) as port:
            outcome = await run(
                f"{{name: a, type: http, timeout: 200ms, targets: ['http://127.0.0.1:{port}/']}}"
            )
        assert outcome.why == "no answer within 0.2 s"

    asyncio.run(ask())


@pytest.mark.parametrize("kind", ["http", "tls", "tcp"])
@pytest.mark.parametrize(("days", "why"), [(10.0, ""), (-2.0, "expired")])
def test_certificates(tmp_path: Path, kind: str, days: float, why: str) -> None:
    context, authority, end = certified(tmp_path, days)

    async def ask() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK.replace("\n", "\r\n").encode())

        async with serving(handle, context) as port:
            target = f"https://127.0.0.1:{port}/" if kind == "http" else f"127.0.0.1:{port}"
            extra = ", tls: true" if kind == "tcp" else ""
            outcome = await run(
                f"{{name: a, type: {kind}, targets: ['{target}'], ca_file: {authority}{extra}}}"
            )
            stranger = await run(f"{{name: a, type: {kind}, targets: ['{target}']{extra}}}")
        assert why in outcome.why
        assert outcome.success is (not why)
        assert outcome.report.get("probe_ssl_earliest_cert_expiry") == end
        assert outcome.report.get("vezha_check_certificate_chain_length") == 2
        assert "certificate is refused" in stranger.why
        assert stranger.report.get("probe_ssl_earliest_cert_expiry") == end

    asyncio.run(ask())


def test_a_renewed_authority_is_read_without_a_change_of_the_checks(tmp_path: Path) -> None:
    context, authority, _ = certified(tmp_path, -2.0)

    async def main() -> list[bool]:
        handler, _ = answering(OK)
        async with serving(handler, context) as port:
            check = only(
                f"{{name: a, type: http, targets: ['https://127.0.0.1:{port}/'], ca_file: {authority}}}"
            )

            async def once() -> bool:
                outcome = await run_probe(check.probe, check.targets[0], check.timeout_s, World())
                return outcome.success

            before = await once()
            certified(tmp_path, 90.0)
            context.load_cert_chain(tmp_path / "leaf.pem")
            return [before, await once()]

    assert asyncio.run(main()) == [False, True]
