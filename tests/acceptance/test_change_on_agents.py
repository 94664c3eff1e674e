"""Three real agents under their launchers: changes in waves, a good one and four bad ones.

Each bad one is stopped at its canary and taken back by itself: nobody else ever started it, the
reason says what was wrong with it, it is in quarantine, and no host's series has a hole. One server
and one fleet play all the stories, each after the other.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.launched import (
    BUSY,
    CRASH,
    GOOD,
    MUTE,
    LaunchedAgent,
    Publisher,
    release,
    variant,
    wait_until,
)
from tests.running import RunningVezha

from vezha.access import Role
from vezha.access.token import create_token
from vezha.access.user import SYSTEM
from vezha.agent.zipapp import build_bytes
from vezha.ledger.tables import attempt_event, host, quarantine
from vezha.trust.artifact import Artifact

pytestmark = [
    pytest.mark.alone,
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc"),
]

WATCH_S = 3
CANARY, REST = "one", ("two", "three")
NAMES = (CANARY, *REST)
SWITCH_PAUSE_S = 2.0
"""How far apart the samples before and after a switch may be (docs/reference/changes.md)."""
OWN = """
[collectors.systemd]
enabled = false
[scripts]
enabled = true
allowed = ["greet"]
[plugins]
enabled = true
allowed = ["/bin/true"]
"""
GREET = b'echo "hello $1, $VEZHA_PARAM_WHOM"\n'
GREET_CUSTOM = {
    "parameters": [{"name": "whom", "type": "text", "pattern": "[a-z]+"}],
    "arguments": ["whom"],
    "timeout_s": 10,
}


@dataclass(frozen=True)
class Story:
    """A bad change: what it is, and the cause that must be named."""

    name: str
    cause: str
    changes: Any = None
    """What is wrong in the agent's sources; None: it is a configuration."""


STORIES = (
    Story("crashes at start", "does_not_start", CRASH),
    Story("sends no telemetry", "no_telemetry", MUTE),
    Story("eats CPU", "cpu", BUSY),
    Story("breaks a collector", "collector"),
)
LATER = {"agent/run.py": ("    agent.run()\n", "    agent.run()  # a later build\n")}
# good by itself; only the host can tell that this is no folder
BAD_CONFIG = b"[collectors.textfile]\nfolder = '/etc/passwd'\n"


class Scene:
    """One server and its three agents."""

    def __init__(self, running: RunningVezha, folder: Path) -> None:
        self.running = running
        self.folder = folder
        self.publisher = Publisher(running.state)
        self.agents = {name: LaunchedAgent(folder / name, name) for name in NAMES}
        self.factory = build_bytes()
        ledger = self.publisher.ledger()
        _, self.token = create_token(ledger, SYSTEM, "test", Role.ADMIN, int(time.time() * 1000))
        ledger.close()
        for agent in self.agents.values():
            agent.install(running.state, running.channel_port, self.factory, OWN)
            agent.start()

    def told(self) -> str:
        parts = [self.running.told()]
        for name, agent in self.agents.items():
            parts.append(f"--- {name}: {self.publisher.told(name)}\n{agent.log()[-2000:]}")
            parts.append(json.dumps(agent.launcher_state(), indent=1)[-1500:])
        return "\n".join(parts)

    def wait(self, condition: Callable[[], object], seconds: float = 240.0) -> None:
        wait_until(condition, seconds, self.told)

    def end_of(self, name: str, generation: int) -> str:
        """Wait for the end of a directive; what it was."""
        self.wait(lambda: self.ended(name, generation))
        return self.ended(name, generation)

    def ended(self, name: str, generation: int) -> str:
        """How a directive ended, or an empty text."""
        ends = {"proven", "reverted", "refused", "finished"}
        found = [f"{s} {r}".strip() for s, r in self.publisher.told(name, generation) if s in ends]
        return found[-1] if found else ""

    def ask(self, query: str) -> list[Any]:
        body = urllib.parse.urlencode({"query": query}).encode()
        request = urllib.request.Request(f"{self.running.url}/api/v1/query", body)
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return list(json.load(answer)["data"]["result"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        raw = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.running.url + path, raw, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def deliver(self, kind: str, target: str) -> int:
        """Start a change of all three hosts, the canary first; the rollout's number."""
        change = self.call(
            "POST",
            "/api/v1/changes",
            {
                "kind": kind, "target": target, "why": "a test", "owner": "ann",
                "checklist": "rollout", "gates": [{"kind": "proof"}],
                "waves": [
                    {"name": "canary", "hosts": [CANARY], "bake_s": 1},
                    {"name": "rest", "bake_s": 1},
                ],
                "policy": {
                    "watch_s": WATCH_S, "jitter_s": 0, "pace": False, "max_unavailable": 2,
                },
                "selector": f'instance=~"{"|".join(NAMES)}"',
            },
        )["id"]  # fmt: skip
        self.call("POST", f"/api/v1/changes/{change}/plan", {})
        return int(self.call("POST", f"/api/v1/changes/{change}/start", {})["id"])

    def over(self, rollout: int) -> Any:
        """Wait for the end of a rollout; it."""
        path, ends = f"/api/v1/rollouts/{rollout}", ("done", "reverted", "aborted")
        self.wait(lambda: self.call("GET", path)["state"] in ends, 480.0)
        return self.call("GET", path)

    def states_of(self, rollout: int, name: str) -> list[str]:
        """Which states a host went through in a rollout."""
        return self.column(
            select(attempt_event.c.to_state)
            .join(host, host.c.id == attempt_event.c.host_id)
            .where(attempt_event.c.rollout_id == rollout, host.c.name == name)
            .order_by(attempt_event.c.id)
        )

    def quarantined(self, sha256: str) -> list[str]:
        """Why that hash is in quarantine at the server: for everybody, then by host."""
        return self.column(
            select(quarantine.c.reason)
            .where(quarantine.c.sha256 == sha256, quarantine.c.lifted_ms.is_(None))
            .order_by(quarantine.c.host_id)
        )

    def column(self, query: Any) -> list[Any]:
        ledger = self.publisher.ledger()
        try:
            with ledger.read() as connection:
                return list(connection.execute(query).scalars())
        finally:
            ledger.close()

    def missing(self, name: str, since_s: float) -> list[float]:
        """Pauses of over a second in a host's series since then, in s."""
        found = self.ask(f'node_load1{{instance="{name}"}}[15m]')
        times = [float(t) for t, _ in found[0]["values"]]
        pairs = itertools.pairwise(t for t in times if t >= since_s)
        return [round(b - a, 1) for a, b in pairs if b - a > 1.001]

    def overslept(self, name: str, since_s: float) -> int:
        """Seconds since then for which the machine did not let that agent run, as it tells."""
        query = f'increase(vezha_agent_ticks_missed_total{{instance="{name}"}}[{time.time() - since_s:.0f}s])'
        return sum(math.ceil(float(one["value"][1])) for one in self.ask(query))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("change")
    running = RunningVezha(folder / "state", ("rules.builtin=false",), ["--no-agent"]).start()
    made = None
    try:
        made = Scene(running, folder)
        made.wait(lambda: all(made.publisher.running(name) for name in NAMES))
        yield made
    finally:
        for agent in made.agents.values() if made else ():
            agent.stop()
        running.stop()


def test_what_the_agents_say_of_themselves(scene: Scene) -> None:
    row = scene.publisher.running("one")
    assert row.capabilities == ["release", "config", "script"]
    assert row.detail["slot"] == "factory"
    assert len(row.build) == 16
    assert "systemd" in row.detail["text"]


def check_series(scene: Scene, since_s: float, switches: int) -> None:
    """Every second of every host is there; a switch may cost a host one."""
    for name in NAMES:
        missing = scene.missing(name, since_s)
        # who was not switched misses nothing, but on a machine that has no time for anybody
        most = switches if name == CANARY else scene.overslept(name, since_s)
        assert sum(missing) - len(missing) <= most, (name, missing, scene.told())


def test_a_good_release_goes_from_the_canary_to_everybody(scene: Scene) -> None:
    began_s = time.time()
    good = release(scene.publisher, "0.good", variant(scene.folder / "good", GOOD))
    rollout = scene.deliver("agent", good.target)
    victim = scene.agents["three"]
    scene.wait(lambda: (victim.launcher_state().get("trial") or {}).get("phase") == "proving")
    victim.kill()  # in the middle of its trial
    scene.wait(lambda: not victim.agents())
    victim.start()
    assert scene.over(rollout)["state"] == "done", scene.told()
    for name in NAMES:
        scene.wait(partial(runs, scene.publisher, name, good.custom["build"]))
        current = scene.agents[name].launcher_state()["current"]
        assert (current["slot"], current["sha256"]) == ("a", good.sha256)
    # the rest was offered it only after the canary had proven it
    assert scene.states_of(rollout, CANARY)[-1] == "proven"
    # what two unplanned kills cost is not a switch's
    assert sum(scene.missing(CANARY, began_s)) <= SWITCH_PAUSE_S, scene.told()


def test_our_own_death_in_the_middle_is_not_held_against_a_release(scene: Scene) -> None:
    good = release(scene.publisher, "0.later", variant(scene.folder / "later", LATER))
    rollout = scene.deliver("agent", good.target)
    canary = scene.agents[CANARY]
    scene.wait(lambda: (canary.launcher_state().get("trial") or {}).get("phase") == "proving")
    os.kill(scene.running.processes()["data"], signal.SIGKILL)  # it is started again
    assert scene.over(rollout)["state"] == "done", scene.told()
    assert scene.quarantined(good.sha256) == []
    for name in NAMES:
        scene.wait(partial(runs, scene.publisher, name, good.custom["build"]))
        assert scene.agents[name].launcher_state()["quarantine"] == {}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_bad_change_stops_at_the_canary_and_is_taken_back(scene: Scene, story: Story) -> None:
    publisher = scene.publisher
    before = {name: publisher.running(name) for name in NAMES}
    if story.changes is None:
        target = "config/base/1/agent.toml"
        artifact = publisher.sign({target: (BAD_CONFIG, {})})[target]
    else:
        folder = scene.folder / story.cause
        artifact = release(publisher, f"0.{story.cause}", variant(folder, story.changes))
    began_s = time.time()
    rollout = scene.deliver(artifact.kind, artifact.target)
    end = scene.over(rollout)
    assert end["state"] == "reverted", scene.told()
    assert f"{CANARY} ({story.cause})" in end["reason"], scene.told()
    # only the canary was ever offered it
    assert scene.states_of(rollout, CANARY)[-1] == "reverted"
    for name in REST:
        assert scene.states_of(rollout, name) == ["skipped"]
        told = [e["sha256"] for e in scene.agents[name].launcher_state()["events"]]
        assert artifact.sha256 not in told
    check_quarantine(scene, artifact, story.cause)
    for name in NAMES:
        scene.wait(partial(is_as_before, publisher, name, before[name]))
    check_series(scene, began_s, switches=0 if story.cause == "does_not_start" else 2)


def check_quarantine(scene: Scene, artifact: Artifact, cause: str) -> None:
    """It is never offered again: not by the server, and the host would refuse it."""
    assert scene.quarantined(artifact.sha256) == ["too_many_failures", cause]
    scene.wait(lambda: artifact.sha256 in scene.publisher.running(CANARY).quarantined)
    assert scene.agents[CANARY].launcher_state()["quarantine"][artifact.sha256]["reason"] == cause
    with pytest.raises(urllib.error.HTTPError) as refused:
        scene.deliver(artifact.kind, artifact.target)
    assert "in quarantine" in refused.value.read().decode()


def is_as_before(publisher: Publisher, name: str, before: Any) -> bool:
    now = publisher.running(name)
    return bool((now.build, now.config_sha256) == (before.build, before.config_sha256))


def runs(publisher: Publisher, name: str, build: str) -> bool:
    return bool(publisher.running(name).build == build)


def test_a_script_runs_where_the_host_opted_in(scene: Scene) -> None:
    publisher = scene.publisher
    targets = {
        "script/greet/1/greet.sh": (GREET, GREET_CUSTOM),
        "script/other/1/other.sh": (b"echo no\n", {}),
    }
    signed = publisher.sign(targets)
    greet, other = signed["script/greet/1/greet.sh"], signed["script/other/1/other.sh"]
    first = publisher.direct("one", greet, run="run-1", params={"whom": "olena"})
    second = publisher.direct("two", greet, run="run-2", params={"whom": "olena; id"})
    third = publisher.direct("three", other, run="run-3")
    for name, generation, ends in (
        ("one", first, "finished"),
        ("two", second, "refused bad_params"),
        ("three", third, "refused opted_out"),
    ):
        assert scene.end_of(name, generation) == ends, scene.told()
    told = publisher.rows("one", first)[-1]
    assert (told.run, told.detail["exit_code"]) == ("run-1", 0)
    assert told.detail["output"] == "hello olena, olena\n"


def test_checks_run_on_the_hosts_that_the_file_names(scene: Scene, tmp_path: Path) -> None:
    running, publisher = scene.running, scene.publisher
    (running.state / "checks.yml").write_text(
        f"""
defaults: {{interval: 1s, timeout: 1s}}
checks:
  - name: pages
    type: http
    targets: ["{running.url}/api/v1/health"]
    status: [200, 401, 404]
    labels: {{team: web}}
    from: 'instance=~"one|two"'
  - {{name: closed, type: tcp, targets: ["127.0.0.1:1"], from: {{instance: one}}}}
  - {{name: channel, type: tls, targets: ["127.0.0.1:{running.channel_port}"], tls_verify: false, from: {{instance: one}}}}
  - {{name: names, type: dns, targets: ["127.0.0.1:1"], query: shop.example, from: {{instance: one}}}}
  - {{name: plug, type: plugin, command: [/bin/true], from: {{instance: one}}}}
  - {{name: not-allowed, type: plugin, command: [/bin/false], from: {{instance: three}}}}
  - {{name: own, type: tcp, targets: ["127.0.0.1:{running.channel_port}"]}}
"""
    )

    def vezha(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "vezha", "check", *words, "--state", str(running.state)],
            check=True, stdout=subprocess.PIPE, text=True,
        ).stdout  # fmt: skip

    def rows() -> dict[tuple[str, str], dict[str, Any]]:
        found = json.loads(vezha("list", "--json"))
        told = scene.call("GET", "/api/v1/checks")["checks"]
        same = ("name", "target", "seen_from", "delivered", "interval_s")
        assert [[r[n] for n in same] for r in found] == [[r[n] for n in same] for r in told]
        return {(r["name"], r["seen_from"]): r for r in found}

    scene.wait(lambda: scene.call("GET", "/api/v1/checks")["checks"])
    scene.wait(lambda: scene.ask('vezha_check_up{job="own"} == 1'))
    assert scene.ask('vezha_check_up{job="pages"}') == []
    config = tmp_path / "agent.toml"
    vezha("config", "-o", str(config))
    target = "config/checks/1/agent.toml"
    artifact = publisher.sign({target: (config.read_bytes(), {})})[target]
    generations = {name: publisher.direct(name, artifact, watch_s=WATCH_S) for name in NAMES}
    assert scene.end_of("one", generations["one"]) == "proven", scene.told()
    assert scene.end_of("two", generations["two"]) == "proven", scene.told()
    # a program that the host's own file does not allow
    assert scene.end_of("three", generations["three"]) == "refused bad_config", scene.told()
    refused = publisher.rows("three", generations["three"])[-1]
    assert "/bin/false is not in plugins.allowed" in refused.detail["text"]
    for name in ("one", "two"):
        scene.wait(lambda n=name: scene.ask(  # type: ignore[misc]
            f'vezha_check_up{{job="pages", team="web", from="{n}", type="http"}} == 1'
        ))  # fmt: skip
    scene.wait(
        lambda: scene.ask('vezha_check_up{job="closed", instance="127.0.0.1:1", from="one"} == 0')
    )
    scene.wait(lambda: scene.ask('vezha_check_up{job="names", from="one"} == 0'))
    scene.wait(lambda: scene.ask('vezha_check_up{job="plug", instance="here", from="one"} == 1'))
    scene.wait(lambda: scene.ask('probe_ssl_earliest_cert_expiry{job="channel"} > time()'))
    assert {p["metric"]["phase"] for p in scene.ask('probe_http_duration_seconds{from="two"}')} == {
        "resolve", "connect", "tls", "processing", "transfer",
    }  # fmt: skip
    assert scene.ask('vezha_check_up{from="", job!="own"}') == []
    scene.wait(lambda: rows()["pages", "two"]["state"] == "up")
    told = rows()
    assert told["pages", "one"]["delivered"] == "yes"
    assert told["closed", "one"]["state"] == "down"
    assert told["not-allowed", "three"]["delivered"] == "no"
    assert told["own", ""]["state"] == "up"
    # a host that is gone knows nothing: its last word does not count
    scene.agents["two"].stop()
    scene.wait(lambda: rows()["pages", "two"]["state"] == "unknown")
    assert rows()["pages", "one"]["state"] == "up"
    scene.agents["two"].start()
    scene.wait(lambda: rows()["pages", "two"]["state"] == "up")
