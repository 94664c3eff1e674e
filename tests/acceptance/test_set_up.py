"""`vezha up` as a person meets it: it starts, says where, survives crashes, stops, continues."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.running import RunningVezha

from vezha.server.forked import can_fork

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc"),
]

Start = Callable[..., RunningVezha]


def wait_until(condition: Callable[[], bool], timeout_s: float = 30.0) -> bool:
    """Whether *condition* held within *timeout_s*."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def answers(url: str) -> bool:
    """Whether the server says that it is well."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.fixture
def vezha(tmp_path: Path) -> Iterator[RunningVezha]:
    running = RunningVezha(tmp_path / "state").start()
    yield running
    if running.process.poll() is None:
        running.stop()


def test_it_starts_says_where_and_ctrl_c_leaves_no_process(vezha: RunningVezha) -> None:
    assert answers(vezha.url), vezha.told()
    assert vezha.password
    assert str(vezha.state) in "\n".join(vezha.lines)
    assert wait_until(lambda: len(vezha.processes()) == 4), vezha.told()
    children = vezha.processes()
    assert set(children) == {"data", "ops", "web", "agent"}
    began = time.monotonic()
    assert vezha.stop() == 0, vezha.told()
    assert time.monotonic() - began < 15
    assert not [name for name, pid in children.items() if is_alive(pid)]
    assert vezha.lines[-1].startswith("Stopped.")


def test_a_second_start_continues(vezha: RunningVezha) -> None:
    password = vezha.password
    assert wait_until((vezha.state / "agent" / "identity.json").exists), vezha.told()
    identity = (vezha.state / "agent" / "identity.json").read_text()
    authority = (vezha.state / "tls" / "ca.pem").read_text()
    assert vezha.stop() == 0
    again = RunningVezha(vezha.state).start()
    try:
        # The password stays on show until somebody has changed it.
        assert again.password == password
        assert wait_until(lambda: "agent" in again.processes()), again.told()
        kept = (vezha.state / "agent" / "identity.json").read_text()
        assert kept.partition('"server"')[0] == identity.partition('"server"')[0]
        assert (vezha.state / "tls" / "ca.pem").read_text() == authority
    finally:
        assert again.stop() == 0, again.told()


@pytest.mark.parametrize("victim", ["web", "ops", "data"])
def test_a_killed_contour_comes_back_and_the_others_go_on(vezha: RunningVezha, victim: str) -> None:
    before = vezha.processes()
    os.kill(before[victim], signal.SIGKILL)
    assert wait_until(lambda: vezha.processes().get(victim, before[victim]) != before[victim])
    assert wait_until(lambda: answers(vezha.url)), vezha.told()
    after = vezha.processes()
    for name in {"data", "ops", "web"} - {victim}:
        assert after[name] == before[name], vezha.told()
    told = [line for line in vezha.lines if line.startswith(victim)]
    assert "was ended by SIGKILL; starting again" in told[0]


def test_kill_9_leaves_no_orphan_and_the_next_start_works(vezha: RunningVezha) -> None:
    assert wait_until(lambda: len(vezha.processes()) == 4), vezha.told()
    children = vezha.processes()
    vezha.kill()
    assert wait_until(lambda: not any(is_alive(pid) for pid in children.values())), vezha.told()
    again = RunningVezha(vezha.state).start()
    assert answers(again.url)
    assert again.stop() == 0


@pytest.mark.skipif(not can_fork(), reason="children are programs here")
def test_forked_children_share_nothing_that_is_open(vezha: RunningVezha) -> None:
    supervisor = vezha.process.pid
    assert len(os.listdir(f"/proc/{supervisor}/task")) == 1  # who forks runs no thread
    children = vezha.processes()
    opened = {name: links_of(pid) for name, pid in children.items()}
    for name in ("data", "ops", "web"):
        assert f"vezha\0server\0{name}\0" in Path(f"/proc/{children[name]}/cmdline").read_text()
        assert not [to for to in opened[name] if to.endswith("up.lock")]
        others = [opened[other] for other in opened if other != name] + [links_of(supervisor)]
        for to in opened[name]:
            if to.startswith("socket:"):
                assert not any(to in links for links in others), (name, to)


def links_of(pid: int) -> set[str]:
    """What a process has open."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


def test_a_second_up_on_the_same_folder_says_so(vezha: RunningVezha) -> None:
    second = subprocess.run(
        [sys.executable, "-P", "-m", "vezha", "up", "--state", str(vezha.state)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 2
    assert f"already runs on the state folder {vezha.state}" in second.stderr
    assert f"process {vezha.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert answers(vezha.url)


def test_a_taken_port_is_told_in_one_sentence(vezha: RunningVezha, tmp_path: Path) -> None:
    taken = vezha.url.removeprefix("http://")
    command = [sys.executable, "-P", "-m", "vezha", "up", "--state", str(tmp_path / "other")]
    second = subprocess.run(
        [*command, "--set", f"web.listen={taken}", "--set", "channel.listen=127.0.0.1:0"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode == 2
    assert second.stderr.startswith(f"vezha: web.listen {taken} is taken by another program")
    assert "VEZHA_WEB_LISTEN=" in second.stderr
    assert len(second.stderr.splitlines()) == 1
