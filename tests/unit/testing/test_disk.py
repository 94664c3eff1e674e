"""The disk twin behaves like a disk, and loses no more and no less than a disk may lose."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vezha.testing.disk import MemoryDisk, PowerCut
from vezha.world.disk import Disk, SystemDisk


@pytest.fixture(params=["memory", "system"])
def disk_and_folder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Disk, str]:
    disk: Disk = MemoryDisk() if request.param == "memory" else SystemDisk()
    folder = f"{tmp_path}/a/b"
    disk.make_folder(folder)
    return disk, folder


def test_it_appends_reads_and_truncates(disk_and_folder: tuple[Disk, str]) -> None:
    disk, folder = disk_and_folder
    file = disk.open_append(f"{folder}/x")
    file.write(b"hello ")
    file.write(b"world")
    file.sync()
    assert file.size == disk.size(f"{folder}/x") == 11
    assert disk.read(f"{folder}/x", 6, 3) == b"wor"
    file.truncate(5)
    file.write(b"!")
    file.close()
    assert disk.read(f"{folder}/x") == b"hello!"
    again = disk.open_append(f"{folder}/x")
    assert again.size == 6
    again.close()


def test_it_lists_replaces_and_removes(disk_and_folder: tuple[Disk, str]) -> None:
    disk, folder = disk_and_folder
    disk.write_whole(f"{folder}/y", b"1")
    disk.write_whole(f"{folder}/y", b"22")
    assert disk.list_names(folder) == ["y"]
    assert disk.list_names(f"{folder}/none") == []
    assert disk.exists(folder)
    assert disk.free_bytes(folder) > 0
    disk.remove(f"{folder}/y")
    disk.remove(f"{folder}/y")
    disk.sync_folder(folder)
    assert not disk.exists(f"{folder}/y")
    with pytest.raises(FileNotFoundError):
        disk.read(f"{folder}/y")
    with pytest.raises(FileNotFoundError):
        disk.open_append(f"{folder}/none/z")


@settings(deadline=None)
@given(
    seed=st.integers(0, 1000),
    pieces=st.lists(st.tuples(st.binary(max_size=50), st.booleans()), max_size=10),
)
def test_a_crash_keeps_what_was_synced(seed: int, pieces: list[tuple[bytes, bool]]) -> None:
    disk = MemoryDisk(seed)
    disk.make_folder("/d")
    file = disk.open_append("/d/f")
    disk.sync_folder("/d")
    synced = everything = b""
    for data, sync in pieces:
        file.write(data)
        everything += data
        if sync:
            file.sync()
            synced = everything
    disk.crash()
    after = disk.read("/d/f")
    assert after.startswith(synced)
    assert len(after) <= len(everything)
    with pytest.raises(OSError, match="Bad file"):
        file.write(b"x")


def test_names_need_a_folder_sync() -> None:
    lost = kept = 0
    for seed in range(40):
        disk = MemoryDisk(seed)
        disk.make_folder("/d")
        disk.open_append("/d/f").sync()
        disk.crash()
        lost += not disk.exists("/d/f")
        kept += disk.exists("/d/f")
    assert lost
    assert kept


def test_a_full_disk_keeps_what_fits_and_says_so() -> None:
    disk = MemoryDisk(capacity_bytes=10)
    disk.make_folder("/d")
    file = disk.open_append("/d/f")
    file.write(b"12345678")
    with pytest.raises(OSError) as caught:
        file.write(b"abcd")
    assert caught.value.errno == errno.ENOSPC
    assert file.size == 8
    file.truncate(8)
    file.write(b"ab")
    assert disk.read("/d/f") == b"12345678ab"
    assert disk.free_bytes("/d") == 0


def test_faults_come_when_asked_and_go() -> None:
    disk = MemoryDisk()
    disk.make_folder("/d")
    file = disk.open_append("/d/f")
    disk.fail("sync", after=1, error=errno.EIO)
    file.sync()
    with pytest.raises(OSError, match="Input/output"):
        file.sync()
    file.sync()


def test_power_goes_in_the_middle_of_an_operation() -> None:
    disk = MemoryDisk(seed=3)
    disk.make_folder("/d")
    file = disk.open_append("/d/f")
    disk.sync_folder("/d")
    file.write(b"a" * 100)
    file.sync()
    disk.cut_power_at(disk.operations + 1)
    with pytest.raises(PowerCut):
        file.write(b"b" * 100)
    disk.crash()
    assert disk.read("/d/f").startswith(b"a" * 100)
    assert len(disk.read("/d/f")) <= 200


def test_the_same_seed_loses_the_same() -> None:
    def run(seed: int) -> bytes:
        disk = MemoryDisk(seed)
        disk.make_folder("/d")
        file = disk.open_append("/d/f")
        disk.sync_folder("/d")
        file.write(bytes(range(200)))
        disk.crash()
        return disk.read("/d/f")

    assert [run(s) for s in range(10)] == [run(s) for s in range(10)]
    assert len({run(s) for s in range(10)}) > 1
