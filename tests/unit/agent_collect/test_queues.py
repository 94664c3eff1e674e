"""Queues that are folders: what waits in them is counted, and what cannot be read is no empty queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from vezha.agent.catalogue import BY_NAME
from vezha.agent.collect import queues
from vezha.agent.collect.collector import NotHere
from vezha.agent.collect.host import Host
from vezha.agent.collect.queues import Collector
from vezha.agent.collect.text import is_missing
from vezha.model.labels import get_label
from vezha.world import World


def collector_for(folders: str) -> Collector:
    host = Host(World()).with_options({**BY_NAME["queues"].options, "folders": folders})
    collector = Collector(host)
    collector.start()
    return collector


def read(collector: Collector) -> dict[str, float]:
    names = [get_label(labels, "queue") for labels in collector.series]
    return dict(zip(names, collector.read(1.0), strict=True))


def test_files_are_counted_in_folders_of_folders_and_unfinished_ones_are_not(
    tmp_path: Path,
) -> None:
    spool, drop = tmp_path / "spool", tmp_path / "drop"
    (spool / "a" / "b" / "too-deep").mkdir(parents=True)
    drop.mkdir()
    collector = collector_for(f"mail={spool} {drop}")
    assert read(collector) == {"mail": 0, str(drop): 0}
    for path in ("1", "a/2", "a/b/3", "a/b/too-deep/4", ".being-written"):
        (spool / path).write_text("x")
    (drop / "link").symlink_to(spool)  # an item, not a folder to look into
    assert read(collector) == {"mail": 3, str(drop): 1}
    (spool / "1").unlink()
    assert read(collector)["mail"] == 2


def test_a_folder_that_cannot_be_read_is_missing_and_may_come(tmp_path: Path) -> None:
    collector = collector_for(f"later={tmp_path / 'later'} now={tmp_path}")
    later, now = collector.read(1.0)
    assert is_missing(later)
    assert now == 0
    (tmp_path / "later").mkdir()
    assert read(collector) == {"later": 0, "now": 0}


def test_no_more_is_counted_than_a_tick_can_bear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "QUEUE_FILES_MAX", 5)
    (tmp_path / "below").mkdir()
    for number in range(4):
        (tmp_path / str(number)).touch()
        (tmp_path / "below" / str(number)).touch()
    assert read(collector_for(f"q={tmp_path}")) == {"q": 5}


def test_no_folders_are_not_here() -> None:
    with pytest.raises(NotHere, match="no folders"):
        collector_for("  ")
