"""The tutorial "Your first delivery", done to the letter on a real server with its real agent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.running import RunningVezha

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the agent reads /proc"),
]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial" / "your-first-delivery.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def vezha(tmp_path: Path) -> Iterator[RunningVezha]:
    running = RunningVezha(tmp_path / "state").start()
    yield running
    if running.process.poll() is None:
        running.stop()


def shell(folder: Path, script: str) -> str:
    """Run *script* as a person would in that folder; what it said."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": tools, "USER": "ann"}
    environment.pop("VEZHA_STATE", None)
    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def asked(folder: Path, *words: str) -> Any:
    return json.loads(shell(folder, " ".join(["vezha", *words, "--json"])))


@pytest.mark.timeout(1200)
def test_the_tutorial_does_what_it_says(vezha: RunningVezha, tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) == 9
    deadline = time.monotonic() + 120
    # the agent has told what it can before anything is planned for it
    while '"connected": true' not in json.dumps(asked(tmp_path, "fleet", "list")):
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    said = [shell(tmp_path, block) for block in blocks]
    text = "".join(said)
    assert "Nothing was kept" in said[2]
    assert "Nothing was started" in said[3]
    assert "done" in said[3].splitlines()[-1]
    assert "started → proven" in said[4]
    assert "taken back" in said[5]
    assert "collector" in said[6]
    assert "everywhere" in said[6]
    assert "the same" in said[7]
    assert "would go back" in said[8]
    assert "Traceback" not in text

    first, second = asked(tmp_path, "change", "show", "1"), asked(tmp_path, "change", "show", "2")
    assert second["outcome"] == "reverted"
    assert first["timeline"][0]["kind"] == "drafted"
    deadline = time.monotonic() + 240
    while asked(tmp_path, "rollout", "show", "1")["state"] != "reverted":
        assert time.monotonic() < deadline, vezha.told()
        time.sleep(0.5)
    (host,) = asked(tmp_path, "rollout", "hosts", "1")
    assert host["state"] == "reverted"
