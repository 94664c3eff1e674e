"""A real VictoriaMetrics behind a real server: what is older than the server is asked of it, by the
API, a page's chart and a rule; while it is away, what is here is answered and the rest is named."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.contract.test_remote_engine import Victoria
from tests.running import RunningVezha

from vezha.model.labels import metric

pytestmark = [pytest.mark.peer("victoria-metrics"), pytest.mark.acceptance]
RULES = """
groups:
  - name: g
    interval: 1s
    rules:
      - alert: OldLoad
        expr: max_over_time(old_load[1h] offset 2h) > 1
"""


class Server:
    def __init__(self, running: RunningVezha, state: Path) -> None:
        made = subprocess.run(
            [sys.executable, "-P", "-m", "vezha", "token", "create", "far", "--role", "operator",
             "--state", str(state), "--json"],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.url, self.token = running.url, json.loads(made.stdout)["token"]

    def get(self, path: str, **parameters: object) -> Any:
        request = urllib.request.Request(f"{self.url}{path}?{urlencode(parameters)}")
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())


def _wait(found: Callable[[], Any], seconds: float = 40.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if got := found():
            return got
        time.sleep(0.2)
    raise AssertionError("it did not come")


def test_older_samples_come_from_the_engine(
    vezha_up: Callable[..., RunningVezha],
    tmp_path: Path,
    peer_path: Callable[[str], str],
    free_port: Callable[[], int],
) -> None:
    now = int(time.time()) // 60 * 60
    engine = Victoria(peer_path("victoria-metrics"), tmp_path, free_port())
    try:
        hosts = [metric("old_load", instance=f"db-{i}") for i in range(3)]
        ages = range(6 * 3_600, 1_800, -15)
        engine.fill([(h, 1000 * (now - a), float(i)) for a in ages for i, h in enumerate(hosts)],
                    tmp_path)  # fmt: skip
        state = tmp_path / "state"
        (state / "rules").mkdir(parents=True)
        (state / "rules" / "far.yml").write_text(RULES)
        running = vezha_up(
            f"remote.query_url={engine.url}", f"remote.write_url={engine.url}/api/v1/write",
            "rules.builtin=false", state=state, agent=False,
        )  # fmt: skip
        server = Server(running, state)
        span = {"start": now - 5 * 3_600, "end": now + 120, "step": 60}

        def chart(query: str) -> dict[str, Any]:
            found: dict[str, Any] = server.get("/api/v1/query_range", query=query, **span)
            assert found["status"] == "success"
            return found

        # steps, raw windows, functions, and where it ends: half an hour ago, less the lookback
        (row,) = chart("sum(old_load)")["data"]["result"]
        assert {value for _, value in row["values"]} == {"3"}
        assert row["values"][-1][0] == now - 1_800 - 15 + 15 + 285 - (285 % 60)
        (row,) = chart("sum(count_over_time(old_load[5m]))")["data"]["result"]
        assert row["values"][0][1] == "60"
        assert "warnings" not in chart("max(old_load)")
        names = server.get("/api/v1/label/instance/values", start=now - 4 * 3_600, end=now - 3_600)
        assert {"db-0", "db-1", "db-2"} <= set(names["data"])

        def firing() -> Any:
            return server.get("/api/v1/query", query='ALERTS{alertname="OldLoad"}')["data"][
                "result"
            ]

        assert [r["metric"]["instance"] for r in _wait(firing)] == ["db-2"]
    finally:
        engine.stop()
    (warning,) = chart("sum(old_load)")["warnings"]
    assert f"the remote engine {engine.url} (remote.query_url) does not answer" in warning
    # the rule's series came to the own store while the engine was there
    recent = server.get("/api/v1/query", query="count_over_time(ALERTS[1m])")
    assert recent["data"]["result"]
    # by the second: the alert ended with the engine, maybe before the next minute began
    span = {"start": now, "end": int(time.time()), "step": 1}
    (row,) = chart("count(ALERTS)")["data"]["result"]
    assert row["values"][-1][0] >= now
