"""`vezha agent`: the same verbs through the command line, and the process that it becomes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vezha.agent.identity import Identity, save_identity
from vezha.world import World

VEZHA = (sys.executable, "-P", "-m", "vezha", "agent")


def vezha(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*VEZHA, *words], capture_output=True, text=True, timeout=60)


def test_it_builds_the_file_and_says_its_hash(tmp_path: Path) -> None:
    first = vezha("build", "-o", str(tmp_path / "a.pyz"))
    second = vezha("build", "-o", str(tmp_path / "sub" / "b.pyz"))
    assert first.returncode == second.returncode == 0
    assert first.stdout.split("sha256 ")[1] == second.stdout.split("sha256 ")[1]
    told = subprocess.run([str(tmp_path / "a.pyz"), "version"], capture_output=True, text=True)
    assert told.stdout.startswith("vezha-agent ")


def test_it_collects_and_prints_its_page(tmp_path: Path) -> None:
    assert "node_load1 " in vezha("collect", "--state", str(tmp_path)).stdout
    assert "loadavg" in vezha("collect", "--status", "--state", str(tmp_path)).stdout
    assert vezha("metrics").stdout.startswith("# Metrics of the agent\n")
    assert vezha("version").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--state", "{folder}"], "enrol this host first"),
        (["collect", "--config", "{folder}/agent.toml"], "unknown setting nam; did you mean name?"),
        (["run", "--config", "{folder}/agent.toml"], "unknown setting nam; did you mean name?"),
        (
            [
                "enrol",
                "--server",
                "127.0.0.1:1",
                "--token",
                "x",
                "--state",
                "{folder}/s",
                "--label",
                "site",
            ],
            "must be NAME=VALUE",
        ),
    ],
)
def test_an_operators_mistake_is_one_sentence(tmp_path: Path, words: list[str], said: str) -> None:
    if "--config" in words:
        (tmp_path / "agent.toml").write_text('nam = "x"\n')
    told = vezha(*(word.format(folder=tmp_path) for word in words))
    assert told.returncode == 2
    assert said in told.stderr
    assert told.stderr.count("\n") == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_run_becomes_a_lean_process_that_keeps_its_lifeline(tmp_path: Path) -> None:
    # Nobody answers at this address: the agent samples, spools and tries again.
    save_identity(World(), str(tmp_path), Identity("a1", "secret", "host", "127.0.0.1:1"))
    (tmp_path / "agent.toml").write_text("allow_plaintext_loopback = true\n")
    ours, its = socket.socketpair()
    child = subprocess.Popen(
        [*VEZHA, "run", "--state", str(tmp_path)],
        env={**os.environ, "VEZHA_LIFELINE_FD": str(its.fileno())},
        pass_fds=[its.fileno()],
        stderr=subprocess.PIPE,
        text=True,
    )
    its.close()
    try:
        process = Path(f"/proc/{child.pid}")
        wait_until(lambda: "agent_process" in (process / "cmdline").read_text())
        words = (process / "cmdline").read_text().split("\0")
        assert words[words.index("vezha") : words.index("vezha") + 3] == ["vezha", "agent", "run"]
        wait_until(lambda: len(os.listdir(process / "task")) > 2)
        assert "typer" not in (process / "maps").read_text()
        wait_until(lambda: any((tmp_path / "spool").iterdir()))
        ours.close()
        assert child.wait(20) in (0, -signal.SIGTERM)
    finally:
        child.kill()
        child.wait()
        assert child.stderr is not None
        child.stderr.close()


def wait_until(is_so: object) -> None:
    assert callable(is_so)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if is_so():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not come about in 20 s")
