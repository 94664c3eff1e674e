"""The agent's watch over made-up hosts: edges are told once, with the labels of the samples."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from vezha.agent.collect.collector import NotHere
from vezha.agent.collect.host import Host
from vezha.agent.collect.watched import Collector as WatchedCollector
from vezha.agent.config import AgentConfig, parse_config
from vezha.agent.limits import WATCH_CROSSINGS_PER_S
from vezha.agent.watch import Watch, Wires
from vezha.wire.errors import ProtocolError
from vezha.wire.limits import TRIPWIRES_MAX
from vezha.wire.message import Crossing
from vezha.wire.tripwire import Busy, Condition, Selector, Tripwire, from_json, to_json
from vezha.world import World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def now(self) -> float:
        return 1_800_000_000.0 + self.at_s

    def monotonic(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.at_s += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    return World(clock=clock)


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    """A host whose /proc lies in the test's folder."""
    (tmp_path / "proc" / "1").mkdir(parents=True)
    (tmp_path / "textfile").mkdir()
    return parse_config(f'proc = "{tmp_path}/proc"\n', state=str(tmp_path))


def gauge(op: str = ">", value: float = 5.0, **match: str) -> Condition:
    return Condition(op, value, Selector("queue", tuple((n, "=", v) for n, v in match.items())))


def write(folder: Path, text: str) -> None:
    (folder / "new").write_text(text)
    (folder / "new").replace(folder / "textfile" / "a.prom")


def sides(crossings: list[Crossing]) -> list[tuple[str, bool, float, dict[str, str]]]:
    return [(c.tripwire, c.active, c.value, c.labels) for c in crossings]


def test_a_gauge_in_a_text_file(tmp_path: Path, config: AgentConfig, world: World) -> None:
    wires = Wires(config, world)
    write(tmp_path, 'queue{name="a"} 1\nqueue{name="b"} 1\nother 9\n')
    wires.set([Tripwire("t", (gauge(),))])
    assert wires.look() == []
    write(tmp_path, 'queue{name="a"} 1\nqueue{name="b"} 7\nother 9\n')
    (told,) = wires.look()
    assert sides([told]) == [("t", True, 7.0, {"name": "b"})]
    assert told.time_ms == round(world.clock.now() * 1000)
    assert wires.look() == []
    write(tmp_path, 'queue{name="a"} 1\nqueue{name="b"} 8\nother 9\n')
    assert wires.look() == [], "still across: no edge"
    write(tmp_path, 'queue{name="a"} 1\nqueue{name="b"} 2\nother 9\n')
    assert sides(wires.look()) == [("t", False, 2.0, {"name": "b"})]
    wires.close()


def test_what_vanished_did_not_recover(tmp_path: Path, config: AgentConfig, world: World) -> None:
    wires = Wires(config, world)
    write(tmp_path, "queue 7\n")
    wires.set([Tripwire("t", (gauge(),))])
    assert len(wires.look()) == 1
    write(tmp_path, "queue 7")  # half written: the file does not count
    assert wires.look() == []
    (tmp_path / "textfile" / "a.prom").unlink()
    assert wires.look() == []
    write(tmp_path, "queue 7\n")
    assert wires.look() == [], "it was across all the time, as far as anybody knows"
    write(tmp_path, "queue 1\n")
    assert sides(wires.look()) == [("t", False, 1.0, {})]
    wires.close()


def test_conditions_hold_for_the_same_labels(
    tmp_path: Path, config: AgentConfig, world: World
) -> None:
    both = (gauge(), Condition("==", 0.0, Selector("paused")))
    wires = Wires(config, world)
    write(tmp_path, 'queue{n="a"} 9\nqueue{n="b"} 9\npaused{n="a"} 1\npaused{n="b"} 0\n')
    wires.set([Tripwire("t", both)])
    assert sides(wires.look()) == [("t", True, 9.0, {"n": "b"})]
    wires.close()


def test_wires_that_stay_keep_their_state(
    tmp_path: Path, config: AgentConfig, world: World
) -> None:
    wires = Wires(config, world)
    write(tmp_path, "queue 7\n")
    stays = Tripwire("t", (gauge(),))
    wires.set([stays])
    assert len(wires.look()) == 1
    wires.set([Tripwire("other", (gauge(value=1.0),)), stays])
    write(tmp_path, "queue 8\n")
    assert [c.tripwire for c in wires.look()] == ["other"]
    wires.set([])
    assert wires.look() == []
    wires.close()


def test_memory(tmp_path: Path, config: AgentConfig, world: World) -> None:
    meminfo = tmp_path / "proc" / "meminfo"
    text = (
        "MemTotal:       1000 kB\nMemFree:  900 kB\nMemAvailable:    {}  kB\nActive(anon): 3 kB\n"
    )
    meminfo.write_text(text.format(500))
    share = Condition(
        "<",
        0.05,
        Selector("node_memory_MemAvailable_bytes"),
        Selector("node_memory_MemTotal_bytes"),
    )
    odd = Condition(">", 2048.0, Selector("node_memory_Active_anon_bytes"))
    wires = Wires(config, world)
    wires.set([Tripwire("t", (share,)), Tripwire("odd", (odd,))])
    assert sides(wires.look()) == [("odd", True, 3072.0, {})]
    meminfo.write_text(text.format(40))
    assert sides(wires.look()) == [("t", True, 0.04, {})]
    wires.close()


def test_the_memory_source_agrees_with_the_collector(world: World) -> None:
    from vezha.agent.collect.meminfo import Collector as Memory
    from vezha.agent.watch_sources import open_source

    collector = Memory(Host(world))
    collector.start()
    collector.read(0.0)
    names = {dict(labels)["__name__"] for labels in collector.series}
    collector.stop()
    source = open_source("meminfo", AgentConfig(), world)
    source.want(names)
    source.look(0.0)
    assert {dict(labels)["__name__"] for labels in source.series} == names
    source.close()


def test_a_mount(tmp_path: Path, config: AgentConfig, world: World, clock: Clock) -> None:
    mounts = tmp_path / "proc" / "1" / "mounts"
    mounts.write_text(f"disk {tmp_path} ext4 rw 0 0\nserver:/x /nfs nfs4 rw 0 0\n")
    room = Condition(
        ">",
        0.0,
        Selector("node_filesystem_avail_bytes", (("fstype", "!~", "tmpfs|ramfs"),)),
        Selector("node_filesystem_size_bytes"),
    )
    writable = Condition("==", 0.0, Selector("node_filesystem_readonly"))
    wires = Wires(config, world)
    wires.set([Tripwire("t", (room, writable))])
    (told,) = wires.look()
    assert told.labels == {"device": "disk", "mountpoint": str(tmp_path), "fstype": "ext4"}
    assert 0 < told.value <= 1
    mounts.write_text(f"disk {tmp_path} ext4 ro 0 0\n")
    clock.at_s += 5
    assert [c.active for c in wires.look()] == [False]
    wires.close()


def test_processor_time(tmp_path: Path, config: AgentConfig, world: World, clock: Clock) -> None:
    stat = tmp_path / "proc" / "stat"
    ticks = os.sysconf("SC_CLK_TCK") * os.sysconf("SC_NPROCESSORS_ONLN")
    used = 0.0

    def pass_time(busy: float) -> list[Crossing]:
        nonlocal used
        clock.at_s += 0.1
        used += 0.1 * busy
        idle = (clock.at_s - 1000.0) - used
        stat.write_text(f"cpu  {used * ticks:.0f} 0 0 {idle * ticks:.0f} 0 0 0 0\ncpu0 1\n")
        return wires.look()

    wires = Wires(config, world)
    busy = Busy((("mode", "=", "idle"),), 2.0, True)
    wires.set([Tripwire("t", (Condition(">", 0.8, busy=busy),))])
    for _ in range(40):
        assert pass_time(0.1) == []
    told = [c for _ in range(40) for c in pass_time(1.0)]
    assert [(c.active, c.labels) for c in told] == [(True, {})]
    assert told[0].value == pytest.approx(0.83, abs=0.05)
    wires.close()


def test_a_source_that_is_not_there_is_tried_again(
    tmp_path: Path, config: AgentConfig, world: World, clock: Clock
) -> None:
    wires = Wires(config, world)
    memory = Condition("<", 1e6, Selector("node_memory_MemAvailable_bytes"))
    wires.set([Tripwire("t", (memory,))])
    assert wires.look() == []
    (tmp_path / "proc" / "meminfo").write_text("MemAvailable: 1 kB\n")
    clock.at_s += 60
    assert len(wires.look()) == 1
    wires.close()


def sleeper(folder: Path, name: str) -> subprocess.Popen[bytes]:
    """A process whose command is *name*."""
    script = folder / name
    if not script.exists():
        script.symlink_to("/bin/sleep")
    return subprocess.Popen([script, "1000"])


def watched(folder: Path, processes: str, proc: str = "/proc") -> WatchedCollector:
    host = Host(World(), proc, state=str(folder)).with_options({"processes": processes})
    collector = WatchedCollector(host)
    collector.start()
    return collector


@pytest.mark.skipif(not os.path.exists("/bin/sleep"), reason="needs /bin/sleep")
@pytest.mark.parametrize("has_pidfd", [True, False])
def test_watched_processes(
    tmp_path: Path, has_pidfd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    name = f"vz{os.getpid() % 10**8}"
    process = sleeper(tmp_path, name)
    pid_file = tmp_path / "me.pid"
    pid_file.write_text(f"{process.pid}\n")
    collector = watched(tmp_path, f"{name} {pid_file} nobody-has-this")
    try:
        _until(lambda: collector.read(0.0) == [1.0, 1.0, 0.0], collector)
        process.kill()
        process.wait()
        assert collector.read(0.0) == [0.0, 0.0, 0.0]
        assert collector.descriptors() == []
        process = sleeper(tmp_path, name)
        _until(lambda: collector.read(0.0) == [1.0, 0.0, 0.0], collector)
    finally:
        process.kill()
        process.wait()
        collector.stop()


def _until(holds: object, collector: WatchedCollector) -> None:
    assert callable(holds)
    for _ in range(100):
        collector._scan_s = collector._full_scan_s = 0.0  # look again at once
        if holds():
            return
        threading.Event().wait(0.05)
    raise AssertionError("it never held")


def test_nobody_named_is_nothing_to_watch(tmp_path: Path) -> None:
    with pytest.raises(NotHere):
        watched(tmp_path, "")


def test_the_thread_tells_of_an_end_at_once(tmp_path: Path) -> None:
    process = subprocess.Popen(["/bin/sleep", "1000"])
    (tmp_path / "p.pid").write_text(str(process.pid))
    config = parse_config(
        f'[collectors.watched]\nprocesses = "{tmp_path}/p.pid"\n', state=str(tmp_path)
    )
    told: list[Crossing] = []
    news = threading.Event()

    def send(crossing: Crossing) -> None:
        told.append(crossing)
        news.set()

    watch = Watch(config, World(), send)
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        dead = Condition("==", 0.0, Selector("vezha_watched_process_up"))
        watch.set([Tripwire("t", (dead,))])
        while not watch.looks_total:
            threading.Event().wait(0.02)
        assert told == []
        process.kill()
        process.wait()
        assert news.wait(10.0)
        assert [(c.active, c.labels) for c in told] == [(True, {"name": f"{tmp_path}/p.pid"})]
    finally:
        watch.stop()
        thread.join()


def test_a_storm_of_crossings_is_bounded(tmp_path: Path, config: AgentConfig, world: World) -> None:
    told: list[Crossing] = []
    watch = Watch(config, world, told.append)
    write(tmp_path, "".join(f'queue{{n="{i}"}} 9\n' for i in range(500)))
    watch.set([Tripwire("t", (gauge(),))])
    watch._take_wanted()
    watch.look()
    assert len(told) == WATCH_CROSSINGS_PER_S
    assert watch.dropped_total == 500 - WATCH_CROSSINGS_PER_S


def test_what_a_server_may_send() -> None:
    good = Tripwire("t", (gauge(name="x"),))
    assert from_json([to_json(good)]) == [good]
    bad: list[dict[str, Any]] = [
        {},
        {"id": "t", "all": []},
        {"id": "t", "all": [{"op": "~", "value": 1, "of": {"metric": "a", "match": []}}]},
        {"id": "t", "all": [{"op": "<", "value": "x", "of": {"metric": "a", "match": []}}]},
        {"id": "t", "all": [{"op": "<", "value": 1, "of": {"metric": "a", "match": [["a"]]}}]},
        {"id": "t", "all": [{"op": "<", "value": 1, "new": 1}]},
        {
            "id": "t",
            "all": [{"op": "<", "value": 1, "of": {"metric": "a", "match": [["a", "=~", "("]]}}],
        },
    ]
    assert from_json(bad) == [], "what we do not know we do not watch"
    with pytest.raises(ProtocolError):
        from_json([to_json(good)] * (TRIPWIRES_MAX + 1))


def test_a_source_that_breaks_harms_no_other(
    tmp_path: Path, config: AgentConfig, world: World, clock: Clock
) -> None:
    (tmp_path / "proc" / "meminfo").write_text("MemAvailable: 1 kB\n")
    write(tmp_path, "queue 1\n")
    memory = Condition("<", 1.0, Selector("node_memory_MemAvailable_bytes"))
    wires = Wires(config, world)
    wires.set([Tripwire("m", (memory,)), Tripwire("t", (gauge(),))])
    assert wires.look() == []
    (tmp_path / "proc" / "meminfo").write_text("nonsense\n")
    write(tmp_path, "queue 7\n")
    assert [c.tripwire for c in wires.look()] == ["t"]
    (tmp_path / "proc" / "meminfo").write_text("MemAvailable: 0 kB\n")
    clock.at_s += 60
    assert [c.tripwire for c in wires.look()] == ["m"]
    wires.close()
