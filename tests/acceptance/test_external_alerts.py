"""Other people's programs send us alerts: a real Prometheus, a real amtool, a person's web hook."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.running import RunningVezha

pytestmark = pytest.mark.acceptance


@dataclass
class Hook:
    """A web hook that remembers."""

    said: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    made = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.said.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Asked:
    """The API with a token."""

    vezha: RunningVezha
    token: str

    def get(self, path: str) -> Any:
        request = urllib.request.Request(self.vezha.url + path)
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: Any) -> Any:
        request = urllib.request.Request(self.vezha.url + path, json.dumps(body).encode())
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def titles(self, state: str = "open") -> list[str]:
        return [i["title"] for i in self.get(f"/api/v1/incidents?state={state}")["incidents"]]


@pytest.fixture(scope="module")
def asked(
    vezha_up: Callable[..., RunningVezha], tmp_path_factory: pytest.TempPathFactory, hook: Hook
) -> Asked:
    state = tmp_path_factory.mktemp("external") / "state"
    state.mkdir()
    (state / "notify.toml").write_text(f'[receivers.hook]\ntype = "webhook"\nurl = "{hook.url}"\n')
    vezha = vezha_up("rules.builtin=false", state=state, agent=False)
    made = subprocess.run(
        [sys.executable, "-m", "vezha", "token", "create", "prom", "--role", "operator",
         "--state", str(state), "--json"],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return Asked(vezha, json.loads(made.stdout)["token"])


def wait_for(what: Callable[[], Any], seconds: float = 40.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError(f"nothing within {seconds} s")


@pytest.mark.peer("prometheus")
def test_prometheus_sends_an_alert_and_a_person_is_told(
    asked: Asked, hook: Hook, tmp_path: Path, peer_path: Callable[[str], str],
    free_port: Callable[[], int],
) -> None:  # fmt: skip
    rules = tmp_path / "rules.yml"
    rule = """
groups:
  - name: g
    rules:
      - alert: TheirAlert
        expr: {expr}
        labels: {{severity: critical, instance: "old-1:9100"}}
        annotations: {{summary: "seen by the other one"}}
"""
    rules.write_text(rule.format(expr="vector(1)"))
    address = asked.vezha.url.removeprefix("http://")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        f"""
global: {{evaluation_interval: 1s}}
rule_files: ["{rules}"]
alerting:
  alertmanagers:
    - authorization: {{credentials: "{asked.token}"}}
      static_configs: [{{targets: ["{address}"]}}]
"""
    )
    port = free_port()
    process = subprocess.Popen(
        [peer_path("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data",
         f"--web.listen-address=127.0.0.1:{port}", "--rules.alert.resend-delay=2s",
         "--web.enable-lifecycle"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: [m for m in hook.said if "TheirAlert" in json.dumps(m)])
        assert asked.titles() == ["old-1: Their alert"]
        (alert,) = asked.get("/api/v2/alerts")
        assert alert["labels"]["source"] == "prom"
        # several repetitions later it is still the one message
        time.sleep(5)
        told = [m for m in hook.said if "TheirAlert" in json.dumps(m)]
        assert len(told) == 1
        rules.write_text(rule.format(expr="vector(1) > 2"))
        reload = urllib.request.Request(f"http://127.0.0.1:{port}/-/reload", method="POST")
        urllib.request.urlopen(reload, timeout=10).close()
        wait_for(lambda: asked.titles() == [], 60)
        assert "old-1: Their alert" in asked.titles("all")
        wait_for(lambda: len([m for m in hook.said if "TheirAlert" in json.dumps(m)]) == 2)
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.peer("amtool")
def test_amtool_sends_reads_and_silences(
    asked: Asked, hook: Hook, tmp_path: Path, peer_path: Callable[[str], str]
) -> None:
    config = tmp_path / "http.yml"
    config.write_text(f"authorization: {{credentials: {asked.token}}}\n")

    def amtool(*words: str) -> str:
        command = [peer_path("amtool"), f"--alertmanager.url={asked.vezha.url}"]
        done = subprocess.run(
            [*command, f"--http.config.file={config}", *words],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    amtool("alert", "add", "ByHand", "instance=db-9", "severity=warning")
    assert "ByHand" in amtool("alert", "query", "alertname=ByHand")
    wait_for(lambda: [m for m in hook.said if "ByHand" in json.dumps(m)])
    made = amtool("silence", "add", "alertname=ByHand", "--duration=1h", "--comment=known",
                  "--author=anna").strip()  # fmt: skip
    assert amtool("silence", "query", "-q").strip() == made
    assert "ByHand" not in amtool("alert", "query")
    assert "ByHand" in amtool("alert", "query", "--silenced")
    amtool("silence", "expire", made)
    assert amtool("silence", "query", "-q").strip() == ""
    assert "hook" in amtool("config", "show")
    assert "disabled" in amtool("cluster", "show")


def test_an_incident_names_the_deploy_that_ci_reported_a_moment_before(asked: Asked) -> None:
    reported = asked.post(
        "/api/v1/changes/report", {"title": "shop v3", "service": "shop", "hosts": ["shop-1"]}
    )
    alert = {"alertname": "ShopSlow", "instance": "shop-1", "severity": "critical"}
    asked.post("/api/v2/alerts", [{"labels": alert}])

    def causes() -> Any:
        for one in asked.get("/api/v1/incidents")["incidents"]:
            if one["hosts"] == ["shop-1"]:
                return asked.get(f"/api/v1/incidents/{one['id']}/causes")["causes"]
        return None

    [cause] = wait_for(causes)
    assert cause["change"] == reported["change"]
    assert cause["score"] > 0.5
    assert "1 of the 1 hosts" in cause["why"]
    page = wait_for(lambda: asked.get("/api/v1/diary")["weeks"])[0]["week"]
    assert asked.get(f"/api/v1/diary/{page}")["parts"][0]["name"] == "delivered"
