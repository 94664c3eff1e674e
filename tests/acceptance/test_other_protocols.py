"""Other people's programs against a real server: they send, and what they sent is there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.running import RunningVezha

pytestmark = pytest.mark.acceptance


class Asked:
    """The API with a token."""

    def __init__(self, url: str, token: str, state: Path) -> None:
        self.url = url
        self.token = token
        self.state = state

    def call(
        self, path: str, data: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Any:
        request = urllib.request.Request(self.url + path, data=data, headers=headers or {})
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def query(self, text: str) -> list[Any]:
        result: list[Any] = self.call(f"/api/v1/query?{urlencode({'query': text})}")["data"][
            "result"
        ]
        return result

    def wait_for(self, text: str, seconds: float = 30.0) -> list[Any]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := self.query(text):
                return found
            time.sleep(0.2)
        raise AssertionError(f"{text} stayed empty for {seconds} s")


@pytest.fixture(scope="module")
def asked(vezha_up: Callable[..., RunningVezha], tmp_path_factory: pytest.TempPathFactory) -> Asked:
    state = tmp_path_factory.mktemp("doors") / "state"
    running = vezha_up(state=state, agent=False)
    made = subprocess.run(
        [sys.executable, "-m", "vezha", "token", "create", "doors", "--role", "operator",
         "--state", str(state), "--json"],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return Asked(running.url, json.loads(made.stdout)["token"], state)


@pytest.fixture
def running_peer(tmp_path: Path) -> Iterator[Callable[[list[str]], None]]:
    started: list[subprocess.Popen[bytes]] = []

    def run(argv: list[str]) -> None:
        started.append(
            subprocess.Popen(
                argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
            )
        )

    yield run
    for process in started:
        process.terminate()
        process.wait(20)


@pytest.mark.peer("prometheus")
def test_prometheus_writes_to_us(
    asked: Asked, tmp_path: Path, peer_path: Callable[[str], str], free_port: Callable[[], int],
    running_peer: Callable[[list[str]], None],
) -> None:  # fmt: skip
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: itself
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
remote_write:
  - url: {asked.url}/api/v1/write
    authorization: {{credentials: {asked.token}}}
    queue_config: {{batch_send_deadline: 1s}}
"""
    )
    running_peer(
        [peer_path("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
         f"--web.listen-address=127.0.0.1:{port}"]
    )  # fmt: skip
    asked.wait_for('count_over_time(up{job="itself"}[1m]) >= 5')
    ours = asked.query('count({job="itself"})')[0]["value"][1]
    asking = urlencode({"query": 'count({job="itself"})'})
    with urllib.request.urlopen(
        f"http://127.0.0.1:{port}/api/v1/query?{asking}", timeout=10
    ) as answer:
        theirs = json.load(answer)["data"]["result"][0]["value"][1]
    assert abs(int(ours) - int(theirs)) <= int(theirs) * 0.05


@pytest.mark.peer("prometheus")
def test_promtool_asks_us(asked: Asked, peer_path: Callable[[str], str]) -> None:
    asked.call("/api/v1/import/prometheus?job=tool", b"tool_metric 42\n")
    asked.wait_for("tool_metric")
    promtool = str(Path(peer_path("prometheus")).with_name("promtool"))
    # Of promtool's ways to say who asks, only a name and password in the address are known to
    # every version: the token is the password, the name is any.
    address = asked.url.replace("://", f"://promtool:{asked.token}@")
    done = subprocess.run(
        [promtool, "query", "instant", address, "tool_metric"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "tool_metric" in done.stdout, done.stderr
    assert "=> 42" in done.stdout


@pytest.mark.peer("prometheus-node-exporter")
def test_we_scrape_an_exporter(
    peer_path: Callable[[str], str], free_port: Callable[[], int],
    running_peer: Callable[[list[str]], None], asked: Asked,
) -> None:  # fmt: skip
    port = free_port()
    running_peer([peer_path("prometheus-node-exporter"), f"--web.listen-address=127.0.0.1:{port}"])
    (asked.state / "scrape.yml").write_text(
        f"""
scrape_configs:
  - job_name: exporter
    scrape_interval: 1s
    static_configs: [{{targets: ["127.0.0.1:{port}", "127.0.0.1:1"]}}]
"""
    )
    asked.wait_for(f'count_over_time(node_load1{{instance="127.0.0.1:{port}"}}[1m]) >= 3')
    assert asked.query(f'up{{instance="127.0.0.1:{port}"}}')[0]["value"][1] == "1"
    assert asked.wait_for('up{instance="127.0.0.1:1"}')[0]["value"][1] == "0"
    assert asked.query(f'scrape_samples_scraped{{instance="127.0.0.1:{port}"}} > 100')


def test_opentelemetry_writes_to_us(asked: Asked) -> None:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    metric = resource.scope_metrics.add().metrics.add(name="cart.size", unit="By")
    metric.gauge.data_points.add(time_unix_nano=time.time_ns(), as_int=7)
    asked.call(
        "/api/v1/otlp/v1/metrics", request.SerializeToString(),
        {"Content-Type": "application/x-protobuf"},
    )  # fmt: skip
    assert asked.wait_for('cart_size_bytes{job="shop"}')[0]["value"][1] == "7"


def test_who_may_not_is_refused_and_nonsense_is_400(asked: Asked) -> None:
    nobody = Asked(asked.url, "vzt_wrong", asked.state)
    with pytest.raises(urllib.error.HTTPError) as caught:
        nobody.call("/api/v1/write", b"x")
    assert caught.value.code == 401
    for path, body, kind in (
        ("/api/v1/write", b"\xff\xff\xff", "application/x-protobuf"),
        ("/api/v1/import/prometheus", b"not a sample\n", "text/plain"),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            asked.call(path, body, {"Content-Type": kind})
        assert caught.value.code == 400
        caught.value.close()


def test_what_an_admin_deletes_is_gone(asked: Asked) -> None:
    asked.call("/api/v1/import/prometheus?job=gone", b"to_delete 1\nto_keep 2\n")
    asked.wait_for('{job="gone",__name__="to_delete"}')
    path = "/api/v1/admin/tsdb/delete_series?" + urlencode({"match[]": 'to_delete{job="gone"}'})
    with pytest.raises(urllib.error.HTTPError) as caught:
        asked.call(path, b"")
    assert caught.value.code == 403  # an operator may not
    caught.value.close()
    made = subprocess.run(
        [sys.executable, "-m", "vezha", "token", "create", "eraser", "--role", "admin",
         "--state", str(asked.state), "--json"],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    admin = Asked(asked.url, json.loads(made.stdout)["token"], asked.state)
    admin.call(path, b"")
    until = time.monotonic() + 10
    while admin.query('{job="gone",__name__="to_delete"}'):
        assert time.monotonic() < until, "still there"
        time.sleep(0.2)
    assert admin.query('{job="gone",__name__="to_keep"}')
    rows = admin.call("/api/v1/audit?limit=20")["audit"]
    assert any(row["action"] == "samples.delete" for row in rows)
