"""Tripwires with real processes: a fault between two samples is told before the next one."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.running import RunningVezha

pytestmark = [
    pytest.mark.alone,
    pytest.mark.acceptance,
    pytest.mark.skipif(not Path("/proc/self/comm").exists(), reason="watches processes in /proc"),
]

RULES = """
groups:
  - name: mine
    rules:
      - alert: QueueStuck
        expr: shop_stuck > 0
        labels: {severity: critical}
        vezha: {tripwire: true, no_data: resolve}
      - alert: ShopDead
        expr: vezha_watched_process_up{name=~".*shop.pid"} == 0
        labels: {severity: critical}
        vezha: {tripwire: true}
"""
SETTLED_S = 20.0


class Sink(http.server.ThreadingHTTPServer):
    """A web hook's end: (kind, alert, its state) as they come."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def heard(self, alert: str, state: str) -> bool:
        return any(told[1:] == (alert, state) for told in self.told)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert isinstance(self.server, Sink)
        for alert in body["incident"]["alerts"]:
            told = (body["kind"], alert["labels"]["alertname"], alert["state"])
            self.server.told.append(told)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def sink() -> Iterator[Sink]:
    made = Sink()
    yield made
    made.shutdown()
    made.server_close()


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    """Whether *condition* held within *timeout_s*."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.02)
    return False


def flip(folder: Path, value: int) -> None:
    (folder / ".new").write_text(f"shop_stuck {value}\n")
    (folder / ".new").replace(folder / "shop.prom")


def transitions(state: Path) -> list[tuple[str, str, int]]:
    """(alert, event, ms between the crossing or sample and the written row), in order."""
    from sqlalchemy import select

    from vezha.ledger import Ledger
    from vezha.ledger.tables import alert_transition as t

    ledger = Ledger.open(str(state / "ledger.db"))
    try:
        with ledger.read() as connection:
            rows = connection.execute(select(t).order_by(t.c.id)).all()
    finally:
        ledger.close()
    return [(r.alert_name, r.event, r.written_ms - (r.sampled_ms or r.active_ms)) for r in rows]


def test_faults_are_told_at_once_and_samples_confirm(tmp_path: Path, sink: Sink) -> None:
    state = tmp_path / "state"
    texts = state / "agent" / "textfile"
    texts.mkdir(parents=True)
    (state / "rules").mkdir()
    (state / "rules" / "mine.yml").write_text(RULES)
    (state / "notify.toml").write_text(
        f'[receivers.sink]\ntype = "webhook"\nurl = "http://127.0.0.1:{sink.server_port}/"\n'
    )
    shop = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
    pid_file = tmp_path / "shop.pid"
    pid_file.write_text(str(shop.pid))
    (state / "agent" / "agent.toml").write_text(f'[collectors.watched]\nprocesses = "{pid_file}"\n')
    flip(texts, 0)
    running = RunningVezha(state, ["rules.builtin=false"]).start()
    try:
        time.sleep(SETTLED_S)
        flip(texts, 1)
        assert wait_until(lambda: sink.heard("QueueStuck", "firing")), running.told()
        # the ordinary samples agree: it stays until they do not
        time.sleep(5.0)
        assert [row[:2] for row in transitions(state)] == [("QueueStuck", "fired")]
        flip(texts, 0)
        assert wait_until(lambda: sink.heard("QueueStuck", "resolved")), running.told()
        shop.kill()
        shop.wait()
        assert wait_until(lambda: sink.heard("ShopDead", "firing")), running.told()
        # a flip that is gone before the next sample was there, too: only a tripwire sees it
        before = len(transitions(state))
        time.sleep(1.0 - time.time() % 1.0 + 0.2)
        flip(texts, 1)
        assert wait_until(lambda: len(transitions(state)) > before), running.told()
        flip(texts, 0)
        assert wait_until(lambda: transitions(state)[-1][:2] == ("QueueStuck", "resolved")), (
            running.told()
        )
    finally:
        running.stop()
        if shop.poll() is None:
            shop.kill()
            shop.wait()
    assert [t for t in sink.told if t[0] == "resolved"], sink.told
