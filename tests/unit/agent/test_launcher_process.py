"""The real launcher as a process, with a stand-in for the agent: kill -9, a slow start, a full stop."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vezha.agent.launcher.machine import own_command

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="finds processes in /proc"
)

AGENT = """
import fcntl, json, os, signal, socket, sys, threading, time
READY_AFTER_S, DIES_AFTER_S, PROVES, NAME = {ready}, {dies}, {proves}, "{name}"
state = sys.argv[sys.argv.index("--state") + 1]
told = json.loads(os.environ["VEZHA_AGENT_LAUNCHED"])
channel = socket.socket(fileno=told["fd"])
time.sleep(READY_AFTER_S)
channel.send(b"R")
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
lock = os.open(state + "/agent.lock", os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
def gone():
    try:
        while channel.recv(64):
            pass
    except OSError:  # it was killed before it read what we said
        pass
    os._exit(0)
threading.Thread(target=gone, daemon=True).start()
with open(state + "/at-work.log", "a") as log:
    log.write("%s %d %s\\n" % (NAME, os.getpid(), time.monotonic()))
began = time.monotonic()
while True:
    if DIES_AFTER_S and time.monotonic() - began > DIES_AFTER_S:
        os._exit(3)
    if PROVES and told["trial"]:
        proof = dict(build="", config=told["config"], pid=os.getpid(), failing=[], gap=False,
                     monotonic_s=time.monotonic(), connected=True, acked=True)
        with open(state + "/launcher/proof.json.new", "w") as file:
            json.dump(proof, file)
        os.replace(state + "/launcher/proof.json.new", state + "/launcher/proof.json")
    time.sleep(0.1)
"""


class Host:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.factory = folder / "factory.pyz"
        self.factory.write_text(self.agent("factory"))
        self.process: subprocess.Popen[bytes] | None = None

    def agent(self, name: str, ready: float = 0, dies: float = 0, proves: bool = True) -> str:
        return AGENT.format(name=name, ready=ready, dies=dies, proves=proves)

    def start(self) -> None:
        words = ["--state", str(self.folder), "--factory", str(self.factory)]
        self.process = subprocess.Popen([*own_command(), *words], stderr=subprocess.DEVNULL)

    def offer(self, text: str, generation: int = 1) -> str:
        slots = self.folder / "launcher/slots"
        (slots / "a.pyz").write_text(text)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        request = {
            "id": f"release-{generation}", "build": "", "watch_s": 2,
            "parts": [{"kind": "release", "generation": generation, "sha256": sha256}],
            "pair": {"slot": "a", "sha256": sha256, "config": ""},
        }  # fmt: skip
        new = self.folder / "launcher/request.new"
        new.write_text(json.dumps(request))
        new.replace(self.folder / "launcher/request.json")
        assert self.process is not None
        # what the agent's nudge does: wake the launcher
        self.process.send_signal(signal.SIGCHLD)
        return sha256

    def state(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / "launcher/state.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def ends(self) -> list[str]:
        return [
            f"{e['step']} {e['reason']}".strip()
            for e in self.state().get("events", [])
            if e["step"] in ("proven", "reverted", "refused")
        ]

    def phase(self) -> str:
        return str((self.state().get("trial") or {}).get("phase"))

    def at_work(self) -> list[str]:
        """Who had the lock, in order."""
        try:
            lines = (self.folder / "at-work.log").read_text().splitlines()
        except OSError:
            return []
        return [line.split()[0] for line in lines]

    def lives(self) -> int:
        """Agents of this folder that run."""
        found = 0
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_text().split("\0")
            except OSError:
                continue
            found += "run" in words and str(self.folder) in words
        return found

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def wait(self, condition: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until, (self.state(), self.at_work())
            time.sleep(0.05)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    made.start()
    made.wait(lambda: made.at_work() == ["factory"])
    yield made
    assert made.process is not None
    made.process.terminate()
    assert made.process.wait(40) == 0
    made.wait(lambda: made.lives() == 0)


def test_a_good_one_is_proven(host: Host) -> None:
    sha256 = host.offer(host.agent("new"))
    host.wait(host.ends)
    assert host.ends() == ["proven"]
    assert host.state()["current"]["sha256"] == sha256
    assert host.at_work() == ["factory", "new"]
    assert host.lives() == 1


def test_one_that_dies_is_taken_back(host: Host) -> None:
    sha256 = host.offer(host.agent("new", dies=0.5))
    host.wait(host.ends)
    host.wait(lambda: host.at_work()[-1] == "factory" and len(host.at_work()) == 4)
    assert host.ends() == ["reverted crashed"]
    assert host.at_work() == ["factory", "new", "new", "factory"]
    assert host.state()["quarantine"][sha256]["reason"] == "crashed"


def test_killed_while_it_prepares(host: Host) -> None:
    host.offer(host.agent("new", ready=1.5))
    host.wait(lambda: host.phase() == "preparing")
    host.kill()
    host.wait(lambda: host.lives() == 0)  # whoever waited for the lock ends, too
    host.start()
    host.wait(host.ends)
    assert host.ends() == ["proven"]
    assert host.at_work()[-1] == "new"


def test_killed_while_it_proves_and_once_more(host: Host) -> None:
    host.offer(host.agent("new"))
    host.wait(lambda: host.phase() == "proving")
    host.kill()
    host.wait(lambda: host.lives() == 0)
    host.start()
    host.wait(lambda: host.state()["trial"]["starts"] == 2)
    host.kill()
    host.wait(lambda: host.lives() == 0)
    host.start()
    host.wait(host.ends)
    # two broken trials are enough: the old one runs, and nothing was tried a third time
    assert host.ends() == ["reverted interrupted"]
    host.wait(lambda: host.at_work()[-1] == "factory")
    assert host.at_work().count("new") <= 2


def test_a_killed_agent_is_started_again(host: Host) -> None:
    for line in (host.folder / "at-work.log").read_text().splitlines():
        os.kill(int(line.split()[1]), signal.SIGKILL)
    host.wait(lambda: host.at_work() == ["factory", "factory"])
    assert host.ends() == []
