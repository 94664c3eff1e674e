"""Space by mount; a hung mount harms no other and is asked again when it answers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from vezha.agent.catalogue import BY_NAME, Option
from vezha.agent.collect import filesystem
from vezha.agent.collect.filesystem import Collector, Mount, parse_mounts
from vezha.agent.collect.host import Host
from vezha.agent.collect.text import is_missing
from vezha.model.labels import get_label
from vezha.world import World

Found = dict[tuple[str, str], float]


class Mounts:
    """Stands for statfs: what it answers by mount point, and which hang."""

    def __init__(self) -> None:
        self.free: dict[str, float] = {}
        self.hanging: dict[str, threading.Event] = {}
        self.asked: list[str] = []

    def ask(self, point: str, readonly: bool) -> tuple[float, ...]:
        self.asked.append(point)
        if point in self.hanging:
            self.hanging[point].wait()
        free = self.free.get(point, 1.0)
        return (100.0, free, free, 10.0, 5.0, float(readonly), 0.0)


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch) -> Mounts:
    stand_in = Mounts()
    monkeypatch.setattr(filesystem, "ask", stand_in.ask)
    return stand_in


def start(folder: Path, text: str, **options: Option) -> Collector:
    (folder / "self").mkdir(exist_ok=True)
    (folder / "self" / "mounts").write_text(text)
    given: dict[str, Option] = {"mount_timeout_s": 0.03, **options}
    host = Host(World(), str(folder), str(folder))
    collector = Collector(host.with_options({**BY_NAME["filesystem"].options, **given}))
    collector.start()
    return collector


def read(collector: Collector) -> Found:
    values = collector.read(1.0)
    assert len(values) == len(collector.series)
    return {
        (
            get_label(labels, "__name__").removeprefix("node_filesystem_"),
            get_label(labels, "mountpoint"),
        ): v
        for labels, v in zip(collector.series, values, strict=True)
        if not is_missing(v)
    }


FOUR = (
    "/dev/a / ext4 rw,relatime 0 0\n"
    "/dev/b /data xfs ro,noatime 0 0\n"
    "server:/x /net nfs4 rw 0 0\n"
    "/dev/c /last ext4 rw 0 0\n"
    "proc /proc proc rw 0 0\n"
    "tmpfs /dev/shm tmpfs rw 0 0\n"
)


def test_mounts_are_read_with_their_odd_names() -> None:
    text = "/dev/a /with\\040space\\134 ext4 rw,errors=ro 0 0\n/dev/a /with\\040space\\134 ext4 ro 0 0\nbad\n"
    assert parse_mounts(text) == [Mount("/dev/a", "/with space\\", "ext4", False)]
    assert Mount("s:/x", "/n", "nfs4", False).is_network
    assert Mount("s", "/n", "fuse.sshfs", False).is_network
    assert not Mount("t", "/n", "tmpfs", False).is_network


def test_every_wanted_mount_is_asked(tmp_path: Path, mounts: Mounts) -> None:
    mounts.free["/data"] = 42.0
    collector = start(tmp_path, FOUR)
    found = read(collector)
    assert {point for _, point in found} == {"/", "/data", "/net", "/last"}
    assert found["free_bytes", "/data"] == 42.0
    assert (found["readonly", "/data"], found["readonly", "/"]) == (1.0, 0.0)
    assert all(found["device_error", point] == 0.0 for point in ("/", "/data", "/net", "/last"))
    collector.stop()


def test_a_real_file_system_is_asked_really(tmp_path: Path) -> None:
    collector = start(tmp_path, "/dev/x / ext4 rw 0 0\n/dev/y /no/such/place ext4 rw 0 0\n")
    found = read(collector)
    assert 0 < found["avail_bytes", "/"] <= found["free_bytes", "/"] <= found["size_bytes", "/"]
    assert found["device_error", "/no/such/place"] == 1.0
    assert ("size_bytes", "/no/such/place") not in found
    collector.stop()


def test_a_hung_mount_harms_no_other(tmp_path: Path, mounts: Mounts) -> None:
    collector = start(tmp_path, FOUR)
    before = collector.series
    read(collector)
    answer = mounts.hanging["/data"] = threading.Event()
    found = read(collector)
    assert found["device_error", "/data"] == 1.0
    assert ("free_bytes", "/data") not in found
    assert found["device_error", "/last"] == found["device_error", "/"] == 0.0
    # It is not asked again while it hangs, so it costs nothing more.
    mounts.asked.clear()
    assert read(collector)["device_error", "/data"] == 1.0
    assert "/data" not in mounts.asked
    assert "/last" in mounts.asked
    del mounts.hanging["/data"]
    answer.set()
    for _ in range(200):
        if read(collector)["device_error", "/data"] == 0.0:
            break
        threading.Event().wait(0.01)
    assert read(collector)["free_bytes", "/data"] == 1.0
    assert collector.series is not before
    collector.stop()


def test_several_hung_mounts_are_left_behind_within_the_budget(
    tmp_path: Path, mounts: Mounts
) -> None:
    answer = threading.Event()
    points = [f"/m{i}" for i in range(30)]
    mounts.hanging = dict.fromkeys(points, answer)
    text = (
        "".join(f"/dev/x {point} ext4 rw 0 0\n" for point in points) + "/dev/z /fine ext4 rw 0 0\n"
    )
    collector = start(tmp_path, text)
    for _ in range(6):
        found = read(collector)
    # Those beyond the limit are unasked errors; no thread more is lost on them.
    hanging = [thread for thread in threading.enumerate() if thread.name == "collect-statfs"]
    assert 2 < len(hanging) <= 17
    stuck = [point for point in points if found.get(("device_error", point)) == 1.0]
    assert len(stuck) == 30
    answer.set()
    collector.stop()


def test_network_mounts_are_asked_less_often(tmp_path: Path, mounts: Mounts) -> None:
    collector = start(tmp_path, FOUR, network_every_s=3600)
    for _ in range(3):
        found = read(collector)
    assert mounts.asked.count("/net") == 1
    assert mounts.asked.count("/") == 3
    assert found["free_bytes", "/net"] == 1.0
    collector.stop()


def test_where_process_1_hides_its_mounts_our_own_are_read(tmp_path: Path, mounts: Mounts) -> None:
    (tmp_path / "1" / "mounts").mkdir(parents=True)  # opens, but reading it fails
    collector = start(tmp_path, FOUR)
    assert ("size_bytes", "/data") in read(collector)
    collector.stop()


def test_a_new_mount_is_announced(tmp_path: Path, mounts: Mounts) -> None:
    collector = start(tmp_path, FOUR)
    read(collector)
    same = collector.series
    read(collector)
    assert collector.series is same
    (tmp_path / "self" / "mounts").write_text(FOUR + "/dev/d /new ext4 rw 0 0\n")
    assert ("size_bytes", "/new") in read(collector)
    collector.stop()
