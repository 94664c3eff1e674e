"""Figures of people's work as series."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from vezha.incidents.checklists.book import ChecklistBook
from vezha.incidents.checklists.rows import act_on_run, begin_run
from vezha.incidents.checklists.run import Asked, RunAct
from vezha.ledger import Ledger
from vezha.legacy.batch import SampleBatch
from vezha.legacy.doors import Doors
from vezha.model.labels import get_label
from vezha.server.desk_series import DeskSeries
from vezha.world import World


class Feed:
    """The data contour, or its absence."""

    def __init__(self) -> None:
        self.batches: list[SampleBatch] = []

    async def write(self, batch: SampleBatch) -> None:
        self.batches.append(batch)

    def close(self) -> None:
        pass


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(str(tmp_path / "ledger.db"))
    opened.migrate()
    yield opened
    opened.close()


def written(ledger: Ledger, tmp_path: Path) -> tuple[DeskSeries, dict[str, float]]:
    doors = Doors(str(tmp_path / "feed"), World())
    feed = Feed()
    doors.feed = feed  # type: ignore[assignment]
    desk = DeskSeries(ledger, doors, World(), lambda: ["hook"])
    count = asyncio.run(desk.write())
    if not count:
        assert feed.batches == []
        return desk, {}
    (batch,) = feed.batches
    out = {}
    for number, value in zip(batch.numbers, batch.values, strict=True):
        labels = doors.table.labels(int(number))
        key = ",".join(f"{v}" for n, v in labels if n not in ("instance", "job"))
        assert get_label(labels, "instance") == "vezha-server"
        out[key] = float(value)
    return desk, out


def test_runs_of_checklists_are_series(ledger: Ledger, tmp_path: Path) -> None:
    now_ms = int(World().clock.now() * 1000)
    with ledger.begin() as connection:
        id_ = begin_run(connection, ChecklistBook().get("disk-full"), "anna", now_ms)
    act_on_run(ledger, id_, Asked(RunAct.ANSWER, "anna", now_ms + 4_000, 1, True))
    act_on_run(ledger, id_, Asked(RunAct.SKIP, "anna", now_ms + 5_000, 2, text="seen"))
    _, found = written(ledger, tmp_path)
    assert found["vezha_checklist_runs,disk-full,open"] == 1.0
    assert found["vezha_checklist_step_seconds,disk-full,0.5,1"] == 4.0
    assert found["vezha_checklist_step_skipped,disk-full,2"] == 1.0
    assert found["vezha_alarm_rings_10m,hook"] == 0.0
    assert found["vezha_alarms_standing"] == 0.0
