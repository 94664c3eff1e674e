"""Change over real sockets: directives, files by pieces, progress that is kept until it is written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.gateway.test_channel import Host, Server, wait_for

from vezha.gateway.change import Bucket
from vezha.gateway.listener import Gateway
from vezha.gateway.sink import Identity
from vezha.testing.sink import MemorySink
from vezha.wire import message as m
from vezha.wire.limits import CHUNK_BYTES_MAX

ENTRY = {"kind": "config", "generation": 1, "target": "t", "sha256": "0" * 64, "length": 1}


class Ledger:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.directives: list[dict[str, Any]] = []
        self.files = {"targets/a/b": bytes(range(256)) * 1000, "metadata/timestamp.json": b"{}"}
        self.written: list[tuple[str, int]] = []
        self.states: list[m.State] = []
        self.broken = 0

    def directives_of(self, host: str) -> Sequence[dict[str, Any]]:
        return [{**entry, "run": "", "detail": {"host": host}} for entry in self.directives]

    def read_published(self, path: str, offset: int, length: int) -> tuple[int, bytes] | None:
        content = self.files.get(path)
        return None if content is None else (len(content), content[offset : offset + length])

    def write_progress(self, told: Sequence[tuple[Identity, m.Progress]]) -> None:
        if self.broken:
            self.broken -= 1
            raise RuntimeError("the ledger is away")
        self.written += [(identity.host, said.number) for identity, said in told]

    def state_told(self, identity: Identity, state: m.State) -> None:
        self.states.append(state)


class Kept:
    """Progress of an agent."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)

    def untold(self) -> list[m.Progress]:
        return [m.Progress(n, "config", 1, "0" * 64, "staged", 5) for n in self.numbers]

    def acked(self, number: int) -> None:
        self.numbers = [n for n in self.numbers if n > number]


class Scene:
    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger()
        self.server = Server(MemorySink())
        self.server.start()
        self.server.call(self._prepare)
        self.host = Host(self.server, folder / "spool")
        self.desired: list[m.Desired] = []
        self.host.link.on_desired = self.desired.append
        self.host.link.capabilities = ["config", "script"]

    def _prepare(self, gateway: Gateway) -> None:
        gateway.desk.changes = self.ledger

    def begin(self) -> None:
        self.host.start()
        wait_for(lambda: bool(self.desired))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.host.stop()
    made.server.stop()


def test_directives_are_told_at_hello_and_when_they_change(scene: Scene) -> None:
    scene.ledger.directives = [ENTRY, {**ENTRY, "kind": "release"}]
    scene.begin()
    # only what the agent acts on
    assert [d["kind"] for d in scene.desired[0].directives] == ["config"]
    assert scene.desired[0].directives[0]["detail"] == {"host": "db-1"}
    scene.ledger.directives = []
    scene.server.call(lambda gateway: gateway.push_desired({"another"}))
    scene.server.call(lambda gateway: gateway.push_desired({"db-1"}))
    wait_for(lambda: len(scene.desired) == 2)
    assert scene.desired[1].directives == []


def test_a_file_comes_by_pieces(scene: Scene) -> None:
    scene.begin()
    wanted, got = scene.ledger.files["targets/a/b"], b""
    while True:
        chunk = scene.host.link.fetch("targets/a/b", len(got), CHUNK_BYTES_MAX)
        assert (chunk.status, chunk.offset, chunk.total) == (m.CHUNK_HERE, len(got), len(wanted))
        got += chunk.data
        if len(got) >= chunk.total:
            break
    assert got == wanted


@pytest.mark.parametrize(
    "path", ["targets/none", "metadata/../online.key", "online.key", "/etc/passwd", "targets//a/b"]
)
def test_nothing_but_published_files_is_given(scene: Scene, path: str) -> None:
    scene.ledger.files["online.key"] = b"secret"
    scene.begin()
    chunk = scene.host.link.fetch(path, 0, 100)
    assert (chunk.status, chunk.data) == (m.CHUNK_ABSENT, b"")


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, 0), (0, CHUNK_BYTES_MAX + 1)])
def test_an_impossible_piece_ends_the_connection(scene: Scene, offset: int, length: int) -> None:
    scene.begin()
    with pytest.raises(OSError, match="ended"):
        scene.host.link.fetch("targets/a/b", offset, length)


def test_progress_is_told_again_until_it_is_written(scene: Scene) -> None:
    kept = Kept(1, 2, 3)
    scene.host.link.progress = kept
    scene.ledger.broken = 1
    scene.begin()
    wait_for(lambda: not kept.numbers)
    assert [number for _, number in scene.ledger.written] == [1, 2, 3]


def test_progress_outlives_a_server_that_is_killed(scene: Scene) -> None:
    kept = Kept(7)
    scene.host.link.progress = kept
    scene.ledger.broken = 10**9
    scene.begin()
    time.sleep(0.3)
    scene.server.kill()
    assert kept.numbers == [7]
    scene.ledger.broken = 0
    scene.server.start()
    scene.server.call(scene._prepare)
    wait_for(lambda: not kept.numbers, 25)
    assert ("db-1", 7) in scene.ledger.written


def test_state_is_told_at_hello_and_when_it_changes(scene: Scene) -> None:
    state = m.State({"os": "x"}, release={"build": "b1"})
    scene.host.link.state = lambda: state
    scene.begin()
    wait_for(lambda: bool(scene.ledger.states))
    state = m.State({"os": "x"}, release={"build": "b2"})
    scene.host.link.tell_state()
    wait_for(lambda: len(scene.ledger.states) == 2)
    assert [s.release["build"] for s in scene.ledger.states] == ["b1", "b2"]


def test_an_agent_that_acts_on_nothing_is_told_nothing(scene: Scene) -> None:
    scene.host.link.capabilities = []
    scene.ledger.directives = [ENTRY]
    scene.host.start()
    wait_for(lambda: scene.host.link.connected)
    scene.server.call(lambda gateway: gateway.push_desired({"db-1"}))
    scene.host.sample(5)
    wait_for(lambda: not scene.host.spool.waiting(scene.host.link.durable))
    assert scene.desired == []


def test_a_bucket_lets_through_what_its_rate_allows() -> None:
    bucket = Bucket(100.0, 50.0)
    assert bucket.wait_s(0.0) == 0.0
    bucket.take(150)
    assert bucket.wait_s(0.0) == pytest.approx(1.0)
    assert bucket.wait_s(0.5) == pytest.approx(0.5)
    assert bucket.wait_s(10.0) == 0.0
    # over ten seconds: the burst and the rate, no more
    bucket, now, sent = Bucket(100.0, 50.0), 0.0, 0
    while now <= 10.0:
        now += bucket.wait_s(now)
        bucket.take(30)
        sent += 30
    assert sent <= 50 + 100 * 10 + 60


def test_a_fleet_that_asks_at_once_is_told_to_come_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vezha.gateway.change.FETCH_WAIT_MAX_S", 0.05)
    scene.begin()

    def drain(gateway: Gateway) -> None:
        gateway.desk._all.take(1 << 40)

    scene.server.call(drain)
    level = scene.server.gateway.desk._all._level  # type: ignore[union-attr]
    chunk = scene.host.link.fetch("targets/a/b", 0, 100)
    assert (chunk.status, chunk.data) == (m.CHUNK_LATER, b"")
    # who was sent away took nothing
    assert scene.server.gateway.desk._all._level >= level  # type: ignore[union-attr]


def test_story_a_stolen_credential(scene: Scene, tmp_path: Path) -> None:
    """Who copies an agent's identity gets no second voice: the newer connection fences the older,
    that is told while both are alive, and revoking ends both."""
    fenced: list[tuple[str, str, str]] = []

    def prepare(gateway: Gateway) -> None:
        gateway.on_fenced = lambda *told: fenced.append(told)

    scene.server.call(prepare)
    scene.begin()
    thief = Host(scene.server, tmp_path / "thief")
    thief.start()
    wait_for(lambda: bool(fenced))
    assert fenced[0] == ("db-1", "127.0.0.1", "127.0.0.1")
    wait_for(lambda: any("fenced" in line for line in scene.host.said))
    scene.server.book.secrets.pop("a1")
    scene.server.call(lambda gateway: gateway.drop_agent("a1"))
    wait_for(lambda: any("401" in line for line in [*thief.said, *scene.host.said]), 30)
    assert not thief.link.connected or not scene.host.link.connected
    thief.stop()


def test_an_agent_that_comes_back_is_no_thief(scene: Scene) -> None:
    fenced: list[tuple[str, str, str]] = []

    def prepare(gateway: Gateway) -> None:
        gateway.on_fenced = lambda *told: fenced.append(told)

    scene.server.call(prepare)
    scene.begin()

    def hang_up(gateway: Gateway) -> None:
        transport = gateway._connections["a1"]._transport
        assert transport is not None
        transport.disconnect(False)

    scene.server.call(hang_up)
    wait_for(lambda: len(scene.desired) == 2)
    assert fenced == []
