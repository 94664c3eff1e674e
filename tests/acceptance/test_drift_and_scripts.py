"""With a real agent: drift is seen and mended, and a checklist's step runs a script and shows what it
wrote."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pwd
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.launched import LaunchedAgent, Publisher, wait_until
from tests.running import RunningVezha

from vezha.agent.zipapp import build_bytes
from vezha.cli.app import run

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the agent reads /proc"),
]
TARGET = "config/base/1/agent.toml"
SCRIPT = b'#!/bin/sh\necho "hello $1"\n[ "$1" = world ]\n'
CUSTOM = {"interpreter": ["/bin/sh"], "arguments": ["who"],
          "parameters": [{"name": "who", "type": "text", "pattern": "[a-z]+"}]}  # fmt: skip
LIST = "---\ntitle: Greet\n---\n- [ ] Greet {script hello who=$who}\n"
QUICK = ("--gate", "proof", "--wave", "all@0s", "--watch", "2s")
WORDS = ("--why", "a test", "--owner", "ann", "--checklist", "rollout", *QUICK)


class Scene:
    """A server, and one agent that lets scripts run."""

    def __init__(self, folder: Path) -> None:
        self.server = RunningVezha(folder / "state", ("rules.builtin=false",), ["--no-agent"])
        self.server.start()
        self.publisher = Publisher(self.server.state)
        self.agent = LaunchedAgent(folder / "one", "one")
        # whoever runs the tests: an agent that is root runs scripts as nobody, unless told so
        me = pwd.getpwuid(os.getuid()).pw_name
        settings = f'[scripts]\nenabled = true\nuser = "{me}"\n'
        self.agent.install(self.server.state, self.server.channel_port, build_bytes(), settings)
        self.agent.start()
        self.wait(lambda: self.publisher.running("one"))
        self.vezha("fleet", "label", "one", "role=first")

    def wait(self, condition: Any, seconds: float = 120.0) -> None:
        wait_until(condition, seconds, lambda: self.server.told() + self.agent.log())

    def vezha(self, *words: str, code: int = 0) -> str:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            done = run([*words, "--state", str(self.server.state)])
        assert done == code, f"{words}\n{out.getvalue()}"
        return out.getvalue()

    def close(self) -> None:
        self.agent.stop()
        self.server.stop()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("drift"))
    yield made
    made.close()


@pytest.mark.timeout(600)
def test_drift_is_mended_through_the_whole_way(scene: Scene) -> None:
    scene.publisher.sign({TARGET: (b'[labels]\nteam = "blue"\n', {})})
    scene.vezha("change", "draft", TARGET, *WORDS)
    scene.vezha("change", "plan", "1", "--keep")
    scene.vezha("change", "start", "1", "--yes")
    scene.vezha("rollout", "wait", "1", "--timeout", "4m")
    assert "run what was delivered" in scene.vezha("change", "drift")

    (kept,) = (scene.agent.folder / "configs").glob("*.toml")
    kept.write_bytes(b'[labels]\nteam = "red"\n')
    for pid in scene.agent.agents():
        os.kill(pid, signal.SIGTERM)  # the launcher starts it again
    scene.wait(lambda: not scene.publisher.running("one").config_sha256)
    (found,) = json.loads(scene.vezha("change", "drift", "--json", code=1))
    assert (found["code"], found["can_be_mended"], found["change_id"]) == ("left_out", True, 1)
    assert "Nothing was started" in scene.vezha("change", "mend", "1")
    made = json.loads(scene.vezha("change", "mend", "1", "--yes", "--json"))["mended"][0]
    scene.vezha("rollout", "wait", str(made["rollout_id"]), "--timeout", "4m")
    assert kept.read_bytes() == b'[labels]\nteam = "blue"\n'
    history = json.loads(scene.vezha("rollout", "hosts", str(made["rollout_id"]), "one", "--json"))
    assert [s["to_state"] for s in history[0]["history"]][-3:] == ["staged", "started", "proven"]
    scene.wait(lambda: scene.publisher.running("one").config_sha256)
    scene.vezha("change", "drift")


@pytest.mark.timeout(600)
def test_a_checklist_runs_a_script_and_shows_what_it_wrote(scene: Scene) -> None:
    scene.publisher.sign({"script/hello/1/hello.sh": (SCRIPT, CUSTOM)})
    (scene.server.state / "checklists").mkdir(exist_ok=True)
    (scene.server.state / "checklists" / "greet.md").write_text(LIST)
    for who, state, code in (("world", "proven", 0), ("nobody", "failed", 1)):
        out = scene.vezha("checklist", "run", "greet", "--set", "host=one", "--set", f"who={who}",
                          "--json")  # fmt: skip
        number = str(json.loads(out)["id"])
        scene.wait(lambda: "script" in scene.publisher.running("one").capabilities)
        assert f"runs with who={who}" in scene.vezha("checklist", "script", number, "1")
        begun = json.loads(scene.vezha("checklist", "script", number, "1", "--yes", "--json"))
        scene.vezha("rollout", "wait", str(begun["rollout_id"]), "--timeout", "4m", code=code)
        shown = json.loads(scene.vezha("checklist", "show", number, "--json"))
        (host,) = shown["checklist_steps"][0]["went"]["hosts"]
        assert (host["state"], host["exit_code"], host["output"]) == (state, code, f"hello {who}\n")
