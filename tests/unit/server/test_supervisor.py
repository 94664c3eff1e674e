"""The supervisor with real processes: small Python programs that stand for contours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vezha.server import lifeline
from vezha.server.children import Plan
from vezha.server.errors import ContourError
from vezha.server.settings import load_settings
from vezha.server.state import StateFolder
from vezha.server.supervisor import Supervisor
from vezha.world import World

HOLD = (
    "import os; from vezha.server import lifeline; lifeline.take(os.environ); l = lifeline.held();"
)
SERVE = HOLD + "print('hello', flush=True); l.ready(); import time; time.sleep(600)"
CRASH_ONCE = (
    HOLD + "import pathlib, time; p = pathlib.Path({flag!r});"
    "first = not p.exists(); p.touch(); l.ready(); time.sleep(0 if first else 600); os._exit(3)"
)
GIVE_UP = HOLD + "l.failed('web.listen is taken'); raise SystemExit(2)"
DEAF = (
    HOLD
    + "import signal; signal.signal(15, signal.SIG_IGN); l.ready(); import time; time.sleep(600)"
)


def program(name: str, text: str) -> Plan:
    return Plan(name, (sys.executable, "-P", "-c", text))


class Run:
    """One run of a supervisor, with what it told."""

    def __init__(self, folder: Path, *plans: Plan) -> None:
        state = StateFolder.at(folder)
        state.make()
        self.told: list[tuple[str, str]] = []
        self.heard: list[tuple[str, str]] = []
        self.ready = threading.Event()
        self.supervisor = Supervisor(
            settings=load_settings(state, {}),
            plans=plans,
            world=World(),
            tell=lambda name, text: self.told.append((name, text)),
            hear=lambda name, line: self.heard.append((name, line)),
            on_ready=self.ready.set,
        )

    def until(self, condition: Callable[[], bool]) -> None:
        """Run, and stop as soon as *condition* holds (or after ten seconds)."""

        over = threading.Event()

        def watch() -> None:
            deadline = time.monotonic() + 10
            while not (over.wait(0.01) or condition()) and time.monotonic() < deadline:
                pass
            self.supervisor.stop()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            self.supervisor.run()
        finally:
            over.set()
            thread.join()


def test_ready_is_told_when_all_are_and_output_is_filed(tmp_path: Path) -> None:
    run = Run(tmp_path, program("data", SERVE), program("web", SERVE))
    run.until(lambda: run.ready.is_set() and len(run.heard) == 2)
    assert run.ready.is_set()
    assert sorted(run.heard) == [("data", "hello"), ("web", "hello")]
    assert (tmp_path / "logs" / "data.log").read_text() == "hello\n"


def test_a_crashed_child_is_started_again_and_the_other_goes_on(tmp_path: Path) -> None:
    crash = CRASH_ONCE.format(flag=str(tmp_path / "flag"))
    run = Run(tmp_path, program("data", SERVE), program("web", crash))
    run.until(lambda: bool(run.told) and run.ready.is_set())
    assert [name for name, _ in run.told] == ["web"]
    assert "ended with code 3; starting again in 0.5 s" in run.told[0][1]
    assert run.heard.count(("data", "hello")) == 1


def test_a_child_that_gives_up_at_the_first_start_ends_all_with_its_sentence(
    tmp_path: Path,
) -> None:
    run = Run(tmp_path, program("data", SERVE), program("web", GIVE_UP))
    with pytest.raises(ContourError, match=r"^web\.listen is taken$"):
        run.until(lambda: False)
    assert not run.ready.is_set()


def test_a_second_stop_kills_the_deaf(tmp_path: Path) -> None:
    run = Run(tmp_path, program("data", DEAF))
    began = time.monotonic()

    def stop_twice() -> bool:
        if not run.ready.is_set():
            return False
        run.supervisor.stop()
        return True

    run.until(stop_twice)
    assert time.monotonic() - began < 7


def test_signals_stop_it(tmp_path: Path) -> None:
    run = Run(tmp_path, program("data", SERVE))
    handler = signal.getsignal(signal.SIGTERM)

    def send() -> None:
        assert run.ready.wait(10)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=send)
    thread.start()
    run.supervisor.run()
    thread.join()
    assert run.told == []
    assert signal.getsignal(signal.SIGTERM) is handler


def test_children_of_a_killed_supervisor_stop(tmp_path: Path) -> None:
    code = HOLD + (
        "import signal, sys, time\n"
        "def bye(*_): open(sys.argv[1], 'w').write('stopped'); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, bye); l.ready(); time.sleep(600)"
    )
    ours, theirs = socket.socketpair()
    file = tmp_path / "farewell"
    child = subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(file)],
        env={**os.environ, lifeline.VARIABLE: str(theirs.fileno())},
        pass_fds=(theirs.fileno(),),
    )
    theirs.close()
    assert ours.recv(64) == b"ready\n"
    ours.close()  # as the kernel does for a supervisor that was killed
    assert child.wait(10) == 0
    assert file.read_text() == "stopped"


def test_what_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    run = Run(tmp_path, program("data", SERVE), Plan("web", (str(tmp_path / "nothing"),)))
    run.until(lambda: len(run.told) >= 2)
    assert run.told[0][0] == "web"
    assert "cannot be started" in run.told[0][1]
    assert "trying again in 0.5 s" in run.told[0][1]
    assert "trying again in 1 s" in run.told[1][1]


@pytest.mark.parametrize("given", [None, "4"])
def test_children_allocate_from_one_arena_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    if given is not None:
        monkeypatch.setenv("MALLOC_ARENA_MAX", given)
    shown = HOLD + "print(os.environ['MALLOC_ARENA_MAX'], flush=True); l.ready();"
    run = Run(tmp_path, program("data", shown + "import time; time.sleep(600)"))
    run.until(lambda: bool(run.heard))
    assert run.heard[0] == ("data", given or "1")
