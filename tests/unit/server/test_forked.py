"""Children that are forked: what they share with the supervisor and each other, and what not."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vezha.server.forked import can_fork
from vezha.server.lifeline import VARIABLE

HOUSE = Path(__file__).with_name("forking_house.py")
pytestmark = pytest.mark.skipif(not can_fork(), reason="children are programs here")


class House:
    """`forking_house.py`, and what it prints."""

    def __init__(self, folder: Path, scene: str, **environment: str) -> None:
        self._lifeline, theirs = socket.socketpair()
        clean = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(HOUSE), str(folder), scene],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**clean, **environment, VARIABLE: str(theirs.fileno())},
            pass_fds=(theirs.fileno(),),
            text=True,
        )
        theirs.close()
        self.lines: list[str] = []

    def until(self, begin: str, count: int = 1) -> str:
        """Read on to the line that is the *count*-th to begin so."""
        assert self.process.stdout is not None
        while True:
            found = [line for line in self.lines if line.startswith(begin)]
            if len(found) >= count:
                return found[count - 1]
            line = self.process.stdout.readline()
            assert line, f"no {begin!r} among {self.lines}"
            self.lines.append(line.rstrip())

    def serving(self) -> dict[str, int]:
        """Process ids of the children that serve, as they last told."""
        told = [line.split() for line in self.lines if " serves " in line]
        return {name: int(pid) for _, name, _, pid in told}

    def let_go(self) -> None:
        """What becomes of our end of its lifeline when we are killed."""
        self._lifeline.close()

    def end(self) -> int:
        """As Ctrl-C does; its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            self._lifeline.close()
            assert self.process.stdout is not None
            self.process.stdout.close()


@pytest.fixture
def houses() -> Iterator[list[House]]:
    made: list[House] = []
    yield made
    for house in made:
        house.end()


def gone(pid: int, seconds: float = 20.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_all_serve_and_end_when_asked(tmp_path: Path, houses: list[House]) -> None:
    houses.append(house := House(tmp_path, "serve"))
    house.until("ready")
    children = house.serving()
    assert set(children) == {"data", "web"}
    assert house.lines[0] == "threads 1 1"
    assert "serves" in (tmp_path / "logs" / "data.log").read_text()
    assert house.end() == 0
    assert all(gone(pid) for pid in children.values())


@pytest.mark.parametrize(
    ("scene", "why"),
    [
        ("crash", "ended with code 1 (RuntimeError: broken on purpose); starting again in 0.5 s"),
        ("exit", "ended with code 3; starting again in 0.5 s"),
    ],
)
def test_one_that_ends_is_started_again_and_the_other_goes_on(
    tmp_path: Path, houses: list[House], scene: str, why: str
) -> None:
    houses.append(house := House(tmp_path, scene))
    told = house.until("told web")
    assert why in told
    house.until("heard web serves")
    house.until("ready")
    assert sum(line.startswith("heard data serves") for line in house.lines) == 1


def test_a_killed_one_is_told_by_its_signal(tmp_path: Path, houses: list[House]) -> None:
    houses.append(house := House(tmp_path, "serve"))
    house.until("ready")
    before = house.serving()
    os.kill(before["web"], signal.SIGKILL)
    assert "was ended by SIGKILL; starting again" in house.until("told web")
    house.until("heard web serves", 2)
    after = house.serving()
    assert after["data"] == before["data"]
    assert after["web"] != before["web"]


def test_children_of_a_killed_supervisor_stop(tmp_path: Path, houses: list[House]) -> None:
    houses.append(house := House(tmp_path, "polite"))
    house.until("ready")
    children = house.serving()
    house.process.kill()
    assert all(gone(pid) for pid in children.values())
    assert (tmp_path / "farewell").read_text() == "stopped"


def test_a_supervisor_whose_own_supervisor_is_gone_stops_all(
    tmp_path: Path, houses: list[House]
) -> None:
    houses.append(house := House(tmp_path, "polite"))
    house.until("ready")
    children = house.serving()
    house.let_go()
    house.until("over")
    assert all(gone(pid, 1.0) for pid in children.values())


def shown_by(house: House, name: str) -> dict[str, Any]:
    (line,) = [line for line in house.lines if line.startswith(f"heard {name} {{")]
    found: dict[str, Any] = json.loads(line.partition("{")[1] + line.partition("{")[2])
    return found


@pytest.mark.parametrize("given", [None, "4"])
def test_what_a_child_has_of_its_own(
    tmp_path: Path, houses: list[House], given: str | None
) -> None:
    houses.append(
        house := House(tmp_path, "show", **({"MALLOC_ARENA_MAX": given} if given else {}))
    )
    house.until("ready")
    ops, web = shown_by(house, "ops"), shown_by(house, "web")
    assert ops["environment"] == {"MALLOC_ARENA_MAX": given or "1", "OF_PLAN": "1"}
    assert web["environment"] == {"MALLOC_ARENA_MAX": given or "1", "OF_PLAN": None}
    assert ops["cmdline"] == ["vezha", "server", "ops"]
    assert web["comm"] == "vezha web"
    for one in (ops, web):
        assert one["session"]
        assert one["ignored"]  # as nohup wants it
        assert one["sigterm"]
        assert not one["huge"]
        assert one["blocked"] == []
        # streams and its end of one lifeline; nobody else's, no log, no lock, no selector
        assert len(one["descriptors"]) == 4, one["descriptors"]
        assert one["descriptors"]["0"] == os.devnull
        assert one["descriptors"]["1"] == one["descriptors"]["2"]
        assert one["threads"] == 2  # its own and the one that watches its lifeline
    assert ops["chance"] != web["chance"]
    sockets = [
        {to for to in one["descriptors"].values() if to.startswith("socket:")} for one in (ops, web)
    ]
    assert len(sockets[0]) == len(sockets[1]) == 1
    assert sockets[0] != sockets[1]


@pytest.mark.parametrize(("given", "most"), [(None, 1), ("3", 3)])
def test_children_allocate_from_one_arena_unless_told_otherwise(
    tmp_path: Path, houses: list[House], given: str | None, most: int
) -> None:
    houses.append(
        house := House(tmp_path, "arenas", **({"MALLOC_ARENA_MAX": given} if given else {}))
    )
    assert house.until("heard data arenas") == f"heard data arenas {most}"


def test_workers_on_request(tmp_path: Path, houses: list[House]) -> None:
    houses.append(house := House(tmp_path, "workers"))
    house.until("ready")
    assert "heard web echo hello a b None" in house.lines
    assert "heard web end True" in house.lines
    assert "heard web refused the supervisor could not start a worker" in house.lines
    log = tmp_path / "logs" / "web.log"
    until = time.monotonic() + 10
    while "vezha: a echo worker was ended by SIGKILL" not in log.read_text():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_outputs_and_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", str(HOUSE), str(tmp_path), "outputs"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["(4, b'answer')", "too long", "None", "-9 -9"]


def test_it_starts_with_its_streams_closed(tmp_path: Path) -> None:
    closed = f"exec {sys.executable} -P {HOUSE} {tmp_path} closed <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", closed], timeout=60, check=False).returncode == 0
    assert (tmp_path / "opened").read_text() == f"{os.devnull} {os.devnull} {os.devnull} answer"
