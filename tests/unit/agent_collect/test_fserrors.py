"""Errors of file systems as ext4 and btrfs count them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vezha.agent.collect.collector import NotHere
from vezha.agent.collect.fserrors import Collector
from vezha.agent.collect.host import Host
from vezha.agent.collect.text import is_missing
from vezha.model.labels import get_label
from vezha.world import World


def read(collector: Collector) -> dict[tuple[str, str], float]:
    values = collector.read(1.0)
    keys = [(get_label(s, "fstype"), get_label(s, "device")) for s in collector.series]
    return dict(zip(keys, values, strict=True))


def test_errors_are_counted_by_device(tmp_path: Path) -> None:
    ext4, btrfs = tmp_path / "sys/fs/ext4", tmp_path / "sys/fs/btrfs/abc-1/devinfo"
    for folder in (ext4 / "features", ext4 / "sda1", ext4 / "old", btrfs / "1", btrfs / "2"):
        folder.mkdir(parents=True)
    (ext4 / "sda1/errors_count").write_text("3\n")
    (btrfs / "1/error_stats").write_text("write_errs 1\nread_errs 2\nflush_errs 0\n")
    (btrfs / "2/error_stats").write_text("nonsense")
    collector = Collector(Host(World(), sys=str(tmp_path / "sys")))
    collector.start()
    found = read(collector)
    assert found["ext4", "sda1"] == 3
    assert found["btrfs", "abc-1/1"] == 3
    assert is_missing(found["btrfs", "abc-1/2"])
    assert is_missing(found["ext4", "old"])
    before = collector.series
    (ext4 / "sda1/errors_count").write_text("4\n")
    assert read(collector)["ext4", "sda1"] == 4
    assert collector.series is before


def test_neither_is_not_here(tmp_path: Path) -> None:
    with pytest.raises(NotHere, match="no ext4 or btrfs"):
        Collector(Host(World(), sys=str(tmp_path / "sys"))).start()
