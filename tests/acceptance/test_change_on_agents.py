"""Three real agents under the launcher: a good release, three bad ones, a bad configuration.

Every bad one is taken back by the host itself, the server is told, and the series have no gap. At
first who gets what is written into the ledger's rows by hand; then a whole change goes in waves.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
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

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc"),
]

WATCH_S = 4
NAMES = ("one", "two", "three")
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

    def wait(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
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

    def deliver(self, target: str) -> Any:
        """A change of all three hosts, `one` first; its rollout when that is over."""
        change = self.call(
            "POST",
            "/api/v1/changes",
            {
                "kind": "agent", "target": target, "why": "a test", "owner": "ann",
                "checklist": "rollout", "gates": [{"kind": "proof"}],
                "waves": [
                    {"name": "canary", "hosts": ["one"], "bake_s": 1},
                    {"name": "rest", "bake_s": 1},
                ],
                "policy": {"watch_s": WATCH_S, "jitter_s": 0, "pace": False},
                "selector": 'instance=~"one|two|three"',
            },
        )["id"]  # fmt: skip
        self.call("POST", f"/api/v1/changes/{change}/plan", {})
        rollout = self.call("POST", f"/api/v1/changes/{change}/start", {})["id"]
        over = ("done", "reverted", "aborted")
        path = f"/api/v1/rollouts/{rollout}"
        self.wait(lambda: self.call("GET", path)["state"] in over, 120.0)
        return self.call("GET", path)

    def gaps(self, name: str) -> list[float]:
        """Pauses of over two and a half seconds in a host's series."""
        found = self.ask(f'node_load1{{instance="{name}"}}[10m]')
        times = [float(t) for t, _ in found[0]["values"]]
        return [b - a for a, b in itertools.pairwise(times) if b - a > 2.5]


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


def test_bad_releases_are_taken_back_by_the_hosts_themselves(scene: Scene) -> None:
    publisher = scene.publisher
    bad = {"one": ("crash", CRASH), "two": ("mute", MUTE), "three": ("busy", BUSY)}
    generations = {}
    for name, (what, changes) in bad.items():
        artifact = release(publisher, f"0.{what}", variant(scene.folder / what, changes))
        generations[name] = publisher.direct(name, artifact, watch_s=WATCH_S)
    wanted = {
        "one": {"reverted does_not_start"},
        "two": {"reverted no_telemetry"},
        # what eats a core is told by itself, or by a collector that it starved
        "three": {"reverted cpu", "reverted collector"},
    }
    for name, ends in wanted.items():
        assert scene.end_of(name, generations[name]) in ends, scene.told()
        steps = [step for step, _ in publisher.told(name, generations[name])]
        assert steps[:2] == ["downloaded", "staged"]
        assert steps[-1] == "quarantined" or steps[-2:] == ["reverted", "quarantined"]
    for name, agent in scene.agents.items():
        assert agent.launcher_state()["current"]["slot"] == "factory", name
        scene.wait(partial(quarantined, publisher, name))
    # never again, unless somebody forces it
    again = publisher.direct("one", artifact_of(scene, "0.crash"), watch_s=WATCH_S)
    assert scene.end_of("one", again) == "refused quarantined"


def quarantined(publisher: Publisher, name: str) -> bool:
    return bool(publisher.running(name).quarantined)


def runs(publisher: Publisher, name: str, build: str) -> bool:
    return bool(publisher.running(name).build == build)


def artifact_of(scene: Scene, version: str) -> Any:
    from vezha.trust.folder import ReleaseFolder
    from vezha.trust.repository import check
    from vezha.world import World

    files = ReleaseFolder(World(), str(scene.running.state / "releases")).files()
    return check(files, time.time()).artifact(f"agent/vezha-agent/{version}/vezha-agent.pyz")


def test_a_good_release_is_proven_also_when_the_launcher_is_killed(scene: Scene) -> None:
    publisher = scene.publisher
    artifact = release(publisher, "0.good", variant(scene.folder / "good", GOOD))
    generations = {n: publisher.direct(n, artifact, watch_s=WATCH_S) for n in NAMES}
    victim = scene.agents["three"]
    scene.wait(lambda: (victim.launcher_state().get("trial") or {}).get("phase") == "proving")
    victim.kill()
    scene.wait(lambda: not victim.agents())
    victim.start()
    for name in NAMES:
        assert scene.end_of(name, generations[name]) == "proven", scene.told()
        scene.wait(partial(runs, publisher, name, artifact.custom["build"]))
        current = scene.agents[name].launcher_state()["current"]
        assert (current["slot"], current["sha256"]) == ("a", artifact.sha256)


def test_a_configuration_that_breaks_a_collector_is_taken_back(scene: Scene) -> None:
    publisher = scene.publisher
    good, bad = "config/base/1/agent.toml", "config/base/2/agent.toml"
    signed = publisher.sign(
        {
            good: (b"[labels]\nrole = 'db'\n", {}),
            # good by itself; only the host can tell that this is no folder
            bad: (b"[collectors.textfile]\nfolder = '/etc/passwd'\n", {}),
        }
    )
    generation = publisher.direct("one", signed[good], watch_s=WATCH_S)
    assert scene.end_of("one", generation) == "proven", scene.told()
    scene.wait(lambda: publisher.running("one").config_sha256 == signed[good].sha256)
    assert 'role = "db"' in publisher.running("one").detail["text"]
    generation = publisher.direct("one", signed[bad], watch_s=WATCH_S)
    assert scene.end_of("one", generation) == "reverted collector", scene.told()
    told = publisher.rows("one", generation)
    assert [row.detail["text"] for row in told if row.step == "reverted"] == [
        "these fail now: textfile"
    ]
    scene.wait(lambda: signed[bad].sha256 in publisher.running("one").quarantined)
    scene.wait(lambda: publisher.running("one").config_sha256 == signed[good].sha256)


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


def test_a_change_goes_in_waves_and_a_bad_one_stops_at_the_canary(scene: Scene) -> None:
    good = {"agent/run.py": ("    agent.run()\n", "    agent.run()  # in waves\n")}
    artifact = release(scene.publisher, "0.waves", variant(scene.folder / "waves", good))
    assert scene.deliver(artifact.target)["state"] == "done", scene.told()
    for name in NAMES:
        scene.wait(partial(runs, scene.publisher, name, artifact.custom["build"]))
    crash = {"agent/run.py": (CRASH["agent/run.py"][0], '    raise SystemExit("in waves")\n')}
    bad = release(scene.publisher, "0.worse", variant(scene.folder / "worse", crash))
    rollout = scene.deliver(bad.target)
    assert rollout["state"] == "reverted", scene.told()
    hurt = scene.call("GET", f"/api/v1/rollouts/{rollout['id']}/attempts")["attempts"]
    assert [one["host"] for one in hurt if one["state"] == "reverted"] == ["one"]
    for name in NAMES:
        assert scene.publisher.running(name).build == artifact.custom["build"], name


def test_nothing_was_lost_from_the_series(scene: Scene) -> None:
    for name in ("one", "two"):
        assert scene.gaps(name) == [], scene.told()


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
