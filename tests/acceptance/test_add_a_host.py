"""The command that adds a host works exactly as the API shows it, and again, and backwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.running import RunningVezha

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(shutil.which("curl") is None, reason="the command needs curl"),
    pytest.mark.skipif(
        os.geteuid() == 0 and Path("/run/systemd/system").is_dir(),
        reason="it would make a service of this machine",
    ),
]


def ask(running: RunningVezha, token: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(running.url + path, data=data)
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it as a person would, with this Python as `python3`."""
    (folder / "bin").mkdir(exist_ok=True)
    python = folder / "bin" / "python3"
    if not python.exists():
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder)}
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_fetch_check_install_run_and_away_again(tmp_path: Path) -> None:
    running = RunningVezha(tmp_path / "state", (), ["--no-agent"]).start()
    host = tmp_path / "host"
    host.mkdir()
    agent: subprocess.Popen[bytes] | None = None
    try:
        made = subprocess.run(
            [sys.executable, "-P", "-m", "vezha", "token", "create", "adder", "--role", "operator",
             "--json", "--state", str(running.state)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        token = json.loads(made.stdout)["token"]
        command = ask(running, token, "/api/v1/enrolments", {})["command"]
        assert command.startswith(f"curl -fsSk https://127.0.0.1:{running.channel_port}/")

        wrong = command.replace("echo '", "echo '0000", 1)
        refused = shell(wrong, host)
        assert refused.returncode != 0, "a file with another hash is not run"
        assert not (host / "agent").exists()

        command += f" --name web-7 --folder {host}/agent"
        done = shell(command, host)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "web-7 is enrolled" in done.stdout
        by_hand = next(line for line in done.stdout.splitlines() if "in front:" in line)
        agent = subprocess.Popen(by_hand.partition("in front:")[2].split(), cwd="/")
        until = time.monotonic() + 30
        while not [h for h in ask(running, token, "/api/v1/hosts")["hosts"] if h["connected"]]:
            assert time.monotonic() < until, running.told()
            time.sleep(0.2)

        again = shell(command, host)
        assert again.returncode == 0, again.stderr
        assert "already" in again.stdout, "a used token does not matter where one is enrolled"
        agent.terminate()
        assert agent.wait(30) == 0
        removed = next(line for line in again.stdout.splitlines() if "remove:" in line)
        gone = shell(removed.partition("remove:")[2] + " --purge", host)
        assert gone.returncode == 0, gone.stderr
        assert not (host / "agent").exists()
    finally:
        if agent is not None and agent.poll() is None:
            agent.kill()
            agent.wait()
        running.stop()
