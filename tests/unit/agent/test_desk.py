"""Following directives: what is due, what is told once, and the lock of the agent's folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vezha.agent.build import Build
from vezha.agent.change import desk as desk_module
from vezha.agent.change.book import Book, due, load_book, save_book
from vezha.agent.change.desk import Desk
from vezha.agent.change.launched import VARIABLE, Launched, launched, take_lock
from vezha.agent.change.progress import ProgressBook
from vezha.agent.change.proof import ProofWriter, is_acknowledged
from vezha.agent.errors import AgentError
from vezha.agent.limits import PROGRESS_KEPT_MAX, RUNS_KEPT_MAX
from vezha.agent.remote_config import load_effective
from vezha.testing.disk import MemoryDisk
from vezha.wire import message as m
from vezha.wire.directive import Directive
from vezha.wire.ranges import Ranges
from vezha.world import World

SHA = "0f" * 32
OTHER = "1e" * 32


def config(generation: int, sha256: str = SHA, **detail: Any) -> Directive:
    return Directive("config", generation, "config/a/1/agent.toml", sha256, 9, "", detail)


def release(generation: int, sha256: str = SHA) -> Directive:
    return Directive("release", generation, "agent/a/1/a.pyz", sha256, 9)


def script(run: str) -> Directive:
    return Directive("script", 1, "script/a/1/a.sh", SHA, 9, run)


def test_what_is_due() -> None:
    book = Book()
    both = [config(3), release(2), script("r1"), script("r2")]
    assert due(both, book, False) == (both[:2], [])
    assert due(both, book, True) == ([script("r1")], [])
    book.note(config(3))
    book.note(release(2))
    book.note(script("r1"))
    assert due(both, book, False) == ([script("r2")], [])
    book.note(script("r2"))
    assert due(both, book, False) == ([], [])


def test_an_older_generation_is_refused_once() -> None:
    book = Book()
    book.note(config(3))
    assert due([config(2)], book, False) == ([], [config(2)])
    assert due([config(3, OTHER)], book, False) == ([], [config(3, OTHER)])
    book.note(config(2))
    assert due([config(2)], book, False) == ([], [])
    assert book.kinds["config"] == (3, SHA)
    assert due([config(4)], book, False) == ([config(4)], [])


def test_the_book_is_kept(tmp_path: Path) -> None:
    book = Book()
    for number in range(RUNS_KEPT_MAX + 5):
        book.note(script(f"r{number}"))
    book.note(config(3))
    book.note(config(1))
    save_book(World(), str(tmp_path), book)
    assert load_book(World(), str(tmp_path)) == book
    assert len(book.runs) == RUNS_KEPT_MAX
    (tmp_path / "directives.json").write_text("{")
    assert load_book(World(), str(tmp_path)) == Book()


def event(number: int, step: str = "started") -> dict[str, Any]:
    return {
        "number": number, "kind": "release", "generation": 1, "sha256": SHA, "step": step,
        "reason": "", "text": "", "time_ms": number,
    }  # fmt: skip


def memory_world() -> World:
    world = World(disk=MemoryDisk(seed=1))
    world.disk.make_folder("s")
    return world


def test_progress_is_numbered_kept_and_told_until_acknowledged() -> None:
    world = memory_world()
    book = ProgressBook(world, "s")
    book.add("config", 1, SHA, "downloaded")
    book.add("config", 1, SHA, "refused", "", "wrong_hash", {"text": "x"})
    state = {"events": [event(1), event(2, "proven")], "next_event": 3}
    assert book.add_events(state)
    assert not book.add_events(state)
    assert [p.number for p in book.untold()] == [1, 2, 3, 4]
    book.acked(2)
    again = ProgressBook(world, "s")
    assert [(p.number, p.step) for p in again.untold()] == [(3, "started"), (4, "proven")]
    assert not again.add_events(state)
    again.acked(4)
    again.add("config", 2, SHA, "staged")
    assert [p.number for p in ProgressBook(world, "s").untold()] == [5]


def test_a_history_that_begins_anew_is_told_anew() -> None:
    book = ProgressBook(memory_world(), "s")
    book.add_events({"events": [event(1), event(2)], "next_event": 3})
    assert book.add_events({"events": [event(1)], "next_event": 2})
    assert len(book.untold()) == 3


def test_a_damaged_progress_file_never_gives_a_number_twice() -> None:
    world = memory_world()
    book = ProgressBook(world, "s")
    book.add("config", 1, SHA, "downloaded")
    world.disk.write_whole("s/progress.json", b"{")
    again = ProgressBook(world, "s")
    again.add("config", 1, SHA, "downloaded")
    assert again.untold()[0].number > 10**12


def test_what_nobody_takes_is_bounded() -> None:
    book = ProgressBook(memory_world(), "s")
    for _ in range(PROGRESS_KEPT_MAX + 3):
        book.add("config", 1, SHA, "downloaded")
    assert book.dropped == 3
    assert book.untold()[0].number == 4


def test_acknowledged_means_without_a_gap() -> None:
    assert is_acknowledged(Ranges([(10, 20)]), 10, 21)
    assert not is_acknowledged(Ranges([(10, 14), (16, 20)]), 10, 21)
    assert not is_acknowledged(Ranges(), 10, 11)
    assert not is_acknowledged(Ranges([(0, 99)]), 10, 10)


def test_the_proof_is_written_while_frames_are_acknowledged(tmp_path: Path) -> None:
    class Clock:
        now_s = 100.0

        def now(self) -> float:
            return self.now_s

        monotonic = now

        def sleep(self, seconds: float) -> None:
            self.now_s += seconds

    clock = Clock()
    writer = ProofWriter(World(clock=clock), str(tmp_path), "b1", "c1", "", lambda: ["disk"])
    durable = Ranges()
    for seq in range(20, 30):
        writer.tick(20, seq + 1, durable, True, False)
        durable.add(seq)
        clock.sleep(1.0)
    proof = json.loads((tmp_path / "proof.json").read_text())
    assert (proof["build"], proof["config"], proof["failing"]) == ("b1", "c1", ["disk"])
    assert (proof["acked"], proof["gap"], proof["pid"]) == (True, False, os.getpid())
    holed = Ranges([(20, 25), (27, 40)])
    writer.tick(20, 31, holed, True, False)
    proof = json.loads((tmp_path / "proof.json").read_text())
    assert (proof["acked"], proof["gap"]) == (False, True)


class Line:
    def __init__(self) -> None:
        self.told = 0

    def fetch(self, path: str, offset: int, length: int) -> m.Chunk:
        raise OSError("cut")

    def tell_state(self) -> None:
        self.told += 1

    def tell_progress(self) -> None:
        self.told += 1


class Scene:
    """A desk without its child process."""

    def __init__(
        self, folder: Path, is_launched: bool = True, scripts: bool = False, left_out: str = ""
    ) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "launcher").mkdir(exist_ok=True)
        (folder / "agent.toml").write_text(f"[scripts]\nenabled = {str(scripts).lower()}\n")
        self.folder = folder
        self.ours, self.theirs = socket.socketpair()
        self.launcher({"current": {"slot": "factory", "sha256": "f", "config": ""}, "trial": None})
        self.said: list[str] = []
        self.desk = Desk(
            World(), Line(), self.said.append, state=str(folder), config_path="",
            effective=load_effective(World(), str(folder), "", left_out), build=Build("b", "1"),
            by=Launched("factory", "f", "", False, self.theirs) if is_launched else None,
            probe={"host": "h", "port": 1}, failing=lambda: ["old"], facts=lambda: {"os": "x"},
        )  # fmt: skip
        self.jobs: list[dict[str, Any]] = []
        self.staged: dict[str, Any] | None = {}
        self.desk._run_child = self._run_child  # type: ignore[method-assign,assignment]

    def _run_child(self, job: dict[str, Any], by_kind: Any) -> dict[str, Any] | None:
        self.jobs.append(job)
        return self.staged

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    def launcher(self, state: dict[str, Any]) -> None:
        (self.folder / "launcher/state.json").write_text(json.dumps(state))

    def told(self) -> list[tuple[str, str]]:
        return [(p.step, p.reason) for p in self.desk.progress.untold()]

    def want(self, *directives: Directive) -> None:
        self.desk.told(m.Desired([d.as_json() for d in directives]))
        self.desk._turn()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "a")
    yield made
    made.close()


def test_the_launcher_is_asked_for_the_switch(scene: Scene) -> None:
    scene.staged = {
        "release": {"slot": "a", "sha256": SHA, "build": "b2"},
        "config": {"sha256": OTHER},
    }
    scene.want(release(4), config(5, OTHER, watch_s=9))
    request = json.loads((scene.folder / "launcher/request.json").read_text())
    assert request["pair"] == {"slot": "a", "sha256": SHA, "config": OTHER}
    assert [(p["kind"], p["generation"]) for p in request["parts"]] == [
        ("release", 4), ("config", 5),
    ]  # fmt: skip
    assert (request["build"], request["watch_s"], request["failing"]) == ("b2", 9, ["old"])
    assert scene.ours.recv(1) == b"N"
    # the same again is nothing new; while it is tried nothing else is touched
    scene.want(release(4), config(5, OTHER, watch_s=9))
    scene.want(release(6))
    assert len(scene.jobs) == 1


def test_killed_between_request_and_book_it_asks_the_same_again(
    scene: Scene, tmp_path: Path
) -> None:
    scene.staged = {"config": {"sha256": OTHER}}
    scene.want(config(5, OTHER))
    first = (scene.folder / "launcher/request.json").read_text()
    (scene.folder / "directives.json").unlink()  # as if it had not come to that
    (scene.folder / "launcher/request.json").unlink()  # the launcher took it up
    again = Scene(tmp_path / "a")
    again.staged = {"config": {"sha256": OTHER}}
    again.want(config(5, OTHER))
    # by its id the launcher knows it
    assert (scene.folder / "launcher/request.json").read_text() == first
    again.close()


def test_back_to_what_the_host_had(scene: Scene) -> None:
    scene.launcher({
        "factory": "f0", "trial": None, "current": {"slot": "a", "sha256": SHA, "config": OTHER},
    })  # fmt: skip
    scene.staged = {"release": {}, "config": {}}
    scene.want(Directive("release", 4, "", "", 0), Directive("config", 4, "", "", 0))
    request = json.loads((scene.folder / "launcher/request.json").read_text())
    assert request["pair"] == {"slot": "factory", "sha256": "f0", "config": ""}


def test_what_runs_already_is_neither_fetched_nor_started(scene: Scene) -> None:
    scene.launcher({
        "factory": "f0", "trial": None, "current": {"slot": "a", "sha256": SHA, "config": OTHER},
    })  # fmt: skip
    scene.want(release(4), config(5, OTHER))
    request = json.loads((scene.folder / "launcher/request.json").read_text())
    assert (request["as_is"], request["pair"]) == (
        True, {"slot": "a", "sha256": SHA, "config": OTHER},
    )  # fmt: skip
    assert scene.jobs == []
    # one of the two is another: both are taken
    (scene.folder / "launcher/request.json").unlink()
    scene.staged = {
        "release": {"slot": "b", "sha256": OTHER, "build": "b3"},
        "config": {"sha256": OTHER},
    }
    scene.want(release(6, OTHER), config(7, OTHER))
    request = json.loads((scene.folder / "launcher/request.json").read_text())
    assert (request["as_is"], request["pair"]["slot"]) == (False, "b")


def test_a_configuration_that_was_left_out_is_fetched_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a", left_out=OTHER)
    scene.launcher({
        "factory": "f0", "trial": None, "current": {"slot": "a", "sha256": SHA, "config": OTHER},
    })  # fmt: skip
    scene.staged = {"config": {"sha256": OTHER}}
    scene.want(config(5, OTHER))
    request = json.loads((scene.folder / "launcher/request.json").read_text())
    assert request["as_is"] is False
    assert len(scene.jobs) == 1
    scene.close()


def test_what_broke_off_is_taken_up_again(scene: Scene) -> None:
    scene.staged = None
    scene.want(config(1))
    scene.desk._turn()
    assert len(scene.jobs) == 2
    assert scene.told() == []


def test_without_the_launcher_it_keeps_working_and_says_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "a", is_launched=False)
    scene.close()
    assert scene.desk.capabilities == []
    assert "install it anew" in scene.desk.state().release["why_not"]
    scene.want(release(1))
    assert scene.told() == [("refused", "no_launcher")]
    assert scene.jobs == []


def test_a_script_to_a_host_that_did_not_opt_in(scene: Scene, tmp_path: Path) -> None:
    scene.want(script("r1"))
    assert scene.told() == [("refused", "opted_out")]
    scene = Scene(tmp_path / "b", scripts=True)
    scene.close()
    scene.want(script("r1"))
    assert (scene.told(), len(scene.jobs)) == ([], 1)


def test_a_quarantined_hash_is_refused_unless_forced(scene: Scene) -> None:
    current = {"slot": "factory", "sha256": "f", "config": ""}
    scene.launcher({"current": current, "trial": None, "quarantine": {SHA: {"reason": "cpu"}}})
    scene.want(config(1))
    assert scene.told() == [("refused", "quarantined")]
    assert scene.desk.state().quarantined == [SHA]
    scene.staged = {"config": {"sha256": SHA}}
    scene.want(config(2, forced=True))
    assert json.loads((scene.folder / "launcher/request.json").read_text())["forced"] is True


def test_a_directive_that_cannot_be_read_costs_nothing_else(scene: Scene) -> None:
    scene.desk.told(m.Desired([{"kind": "rules"}, config(1).as_json()]))
    scene.desk._turn()
    assert len(scene.jobs) == 1
    assert "left out" in scene.said[0]


def test_a_connection_that_ends_breaks_the_child_off(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = (
        'import sys; sys.stdin.readline(); print(\'{"fetch": ["metadata/x", 0, 9]}\', flush=True); '
    )
    asks += "print('{\"broken\": \"' + sys.stdin.readline().strip().replace('\"', '') + '\"}')"
    monkeypatch.setattr(desk_module, "child_command", lambda: [sys.executable, "-c", asks])
    assert Desk._run_child(scene.desk, {"directives": []}, {}) is None
    assert "cut" in scene.said[-1]


# the launcher's word, and the lock --------------------------------------------------------------------


def test_what_the_launcher_tells() -> None:
    ours, theirs = socket.socketpair()
    told = {
        "protocol": 1,
        "fd": theirs.detach(),
        "slot": "a",
        "sha256": "s",
        "config": "",
        "trial": True,
    }
    by = launched({VARIABLE: json.dumps(told)})
    assert by is not None
    assert (by.slot, by.trial, by.is_alone) == ("a", True, False)
    by.ready()
    assert ours.recv(9) == b"R"
    gone = threading.Event()
    by.watch(gone.set)
    ours.close()
    assert gone.wait(10)
    assert by.is_alone
    by.nudge()  # nobody there, no error
    for wrong in ("", "{", '{"protocol": 9}', '{"protocol": 1, "fd": 12345}'):
        assert launched({VARIABLE: wrong}) is None
    by.channel.close()


def test_one_agent_works_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vezha.agent.change.launched.LOCK_WAIT_S", 0.1)
    world = World()
    lock = take_lock(world, str(tmp_path), None)
    with pytest.raises(AgentError, match="another agent works in"):
        take_lock(world, str(tmp_path), None)
    os.close(lock)
    os.close(take_lock(world, str(tmp_path), None))


def test_the_lock_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    holds = (
        "import sys, time; from vezha.agent.change.launched import take_lock;"
        "from vezha.world import World; take_lock(World(), sys.argv[1], None);"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-P", "-c", holds, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    threading.Timer(0.3, holder.kill).start()
    began = time.monotonic()
    os.close(take_lock(World(), str(tmp_path), None))
    assert time.monotonic() - began > 0.1
    holder.wait()
    holder.stdout.close()


def test_the_resident_agent_carries_no_signature_code() -> None:
    look = (
        "import sys; import vezha.agent.run, vezha.agent.command;"
        "print([n for n in sys.modules if n.split('.')[0] in ('tuf', 'securesystemslib',"
        " 'subprocess', 'argparse') or n == 'vezha.trust.verify'])"
    )
    told = subprocess.run(
        [sys.executable, "-P", "-c", look], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"
