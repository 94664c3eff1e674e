"""A real server and a real agent: kill -9 on either, a cut network; every sample is there once.

The agent counts its frames; its spool's files say how many each of its lives made. The store is
asked through the Prometheus API.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.running import RunningVezha

from vezha.access import Role
from vezha.access.certificate import fingerprint
from vezha.access.enrolment import create_enrolment
from vezha.access.token import create_token
from vezha.access.user import SYSTEM
from vezha.ledger import Ledger
from vezha.testing.fleet.realagent import COUNTER, RealAgent, missing_and_doubled
from vezha.testing.fleet.tcpcut import TcpCut
from vezha.world import World

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc"),
]

HOST = "counted"


class Prometheus:
    """The API as Grafana would ask it."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._token = token

    def query(self, text: str) -> list[dict[str, object]]:
        """The result of an instant query."""
        body = urllib.parse.urlencode({"query": text}).encode()
        request = urllib.request.Request(
            f"{self._url}/api/v1/query",
            body,
            {"Authorization": f"Bearer {self._token}"},
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            told = json.load(answer)
        assert told["status"] == "success"
        return list(told["data"]["result"])

    def count(self) -> int:
        """How many frames of the agent are stored."""
        found = self.query(f'count_over_time({COUNTER}{{instance="{HOST}"}}[10m])')
        return int(found[0]["value"][1]) if found else 0  # type: ignore[index]

    def values(self) -> list[tuple[float, float]]:
        """Times (s) and values of the agent's own count, as stored."""
        found = self.query(f'{COUNTER}{{instance="{HOST}"}}[10m]')
        rows: list[list[object]] = found[0]["values"]  # type: ignore[assignment]
        return [(float(str(t)), float(str(v))) for t, v in rows]


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Whether *condition* held within *timeout_s*; an API that is away counts as no."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except OSError:
            pass
        time.sleep(0.2)
    return False


def kill_data_contour(vezha: RunningVezha) -> None:
    """kill -9; the supervisor starts it anew."""
    pid = vezha.processes()["data"]
    os.kill(pid, signal.SIGKILL)
    assert wait_until(lambda: vezha.processes().get("data", pid) != pid, 30.0)


def test_every_sample_is_stored_once(vezha_up: Callable[..., RunningVezha], tmp_path: Path) -> None:
    vezha = vezha_up("rules.builtin=false", agent=False)
    world = World()
    now_ms = int(time.time() * 1000)
    ledger = Ledger.open(f"sqlite:///{vezha.state / 'ledger.db'}")
    invitation = create_enrolment(ledger, SYSTEM, now_ms)
    _, token = create_token(ledger, SYSTEM, "test", Role.VIEWER, now_ms)
    ledger.close()
    network = TcpCut(vezha.channel_port)
    agent = RealAgent(tmp_path / "agent", HOST)
    agent.enrol(
        f"127.0.0.1:{network.port}",
        invitation.token,
        fingerprint(world, str(vezha.state / "tls" / "server.pem")),
    )
    api = Prometheus(vezha.url, token)
    agent.start()
    try:
        assert wait_until(lambda: api.count() >= 2, 30.0), vezha.told()
        for _ in range(3):
            kill_data_contour(vezha)
            time.sleep(2.0)
        network.cut()
        time.sleep(6.0)
        network.mend()
        agent.kill()
        time.sleep(1.5)
        agent.start()
        time.sleep(4.0)
        kill_data_contour(vezha)
        time.sleep(3.0)
        before = api.count() if wait_until(lambda: api.count() > 0, 20.0) else 0
        # live again: what is asked for now was sampled after all the trouble
        assert wait_until(lambda: api.count() >= before + 3, 40.0), vezha.told()
        agent.stop()
        made = sum(agent.lives)
        wait_until(lambda: api.count() >= made, 20.0)
        stored = api.values()
    finally:
        agent.stop()
        network.close()
    assert len(agent.lives) == 2
    assert made > 20
    assert missing_and_doubled([v for _, v in stored], agent.lives) == (0, 0), (
        agent.lives,
        stored,
    )
    assert api.count() == made
