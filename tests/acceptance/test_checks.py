"""Checks by a real server: found down, found up, a certificate that ends, a job that is silent."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.running import RunningVezha
from tests.unit.checks.servers import certified

from vezha.checks.heartbeat import token_hash

pytestmark = pytest.mark.acceptance
TOKEN = "a-token-of-the-test-0123"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[int, list[int], Path]]:
    """An HTTPS server whose certificate ends in two days; its port, its next statuses (the last
    stays), the authority's file."""
    context, authority, _ = certified(tmp_path, 2.0)
    statuses = [200]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {statuses[-1]} x\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(handle, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server.sockets[0].getsockname()[1], statuses, authority
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0.1))
    loop.close()


def test_what_people_see_is_seen(
    vezha_up: Callable[..., RunningVezha], tmp_path: Path, shop: tuple[int, list[int], Path]
) -> None:
    port, statuses, authority = shop
    state = tmp_path / "state"
    running = vezha_up(state=state, agent=False)
    made = subprocess.run(
        [sys.executable, "-m", "vezha", "token", "create", "checks", "--role", "viewer",
         "--state", str(state), "--json"],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    token = json.loads(made.stdout)["token"]

    def query(text: str) -> list[Any]:
        request = urllib.request.Request(f"{running.url}/api/v1/query?{urlencode({'query': text})}")
        request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: list[Any] = json.load(answer)["data"]["result"]
        return found

    def wait_for(text: str, seconds: float = 60.0) -> list[Any]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := query(text):
                return found
            time.sleep(0.2)
        raise AssertionError(f"{text} stayed empty for {seconds} s")

    def beat(name: str, secret: str) -> int:
        url = f"{running.url}/api/v1/heartbeats/{name}?token={secret}&exit=0"
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="POST")) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    (state / "checks.yml").write_text(
        f"""
defaults: {{interval: 1s, timeout: 1s}}
checks:
  - name: shop
    type: http
    targets: ["https://127.0.0.1:{port}/"]
    ca_file: {authority}
    labels: {{team: web}}
  - {{name: backup, type: heartbeat, period: 3s, grace: 1s, token_sha256: {token_hash(TOKEN)}}}
"""
    )
    wait_for('vezha_check_up{job="shop", team="web", type="http"} == 1')
    phases = query('probe_http_duration_seconds{job="shop"}')
    assert {p["metric"]["phase"] for p in phases} == {
        "resolve", "connect", "tls", "processing", "transfer",
    }  # fmt: skip
    wait_for('(probe_ssl_earliest_cert_expiry{job="shop"} - time()) < 3 * 86400')
    # a job that calls, one that stops calling
    assert beat("backup", "a-wrong-token-of-the-test") == 404
    assert beat("nobody", TOKEN) == 404
    assert beat("backup", TOKEN) == 204
    wait_for('vezha_heartbeat_last_timestamp_seconds{instance="backup"}')
    wait_for('vezha_check_up{type="heartbeat"} == 0')
    wait_for('ALERTS{alertname="HeartbeatMissed", alertstate="firing"}')
    assert beat("backup", TOKEN) == 204
    wait_for('vezha_check_up{type="heartbeat"} == 1')
    statuses.append(500)
    wait_for('ALERTS{alertname="CheckFailing", alertstate="firing", job="shop"}')
    statuses.append(200)
    wait_for('vezha_check_up{job="shop"} == 1')
    shown = subprocess.run(
        [sys.executable, "-m", "vezha", "check", "list", "--state", str(state), "--json"],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert {"shop": "up"}.items() <= {
        r["name"]: r["state"] for r in json.loads(shown.stdout)
    }.items()
    # a file with a fault changes nothing; an empty one ends the series
    (state / "checks.yml").write_text("chekcs: []")
    time.sleep(6)
    wait_for('time() - timestamp(probe_success{job="shop"}) < 3')
    (state / "checks.yml").write_text("checks: []")
    until = time.monotonic() + 30
    while query('{__name__=~"probe_.*|vezha_check_.*"}'):
        assert time.monotonic() < until
        time.sleep(0.5)
