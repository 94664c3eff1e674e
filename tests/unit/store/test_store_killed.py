"""kill -9 in the middle of writing, SQLite and all: what was acknowledged is there, once."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tests.unit.store.killed_writer import HOSTS, LATE_MS, SERIES, T0_MS, FastClock, value_of

from vezha.model.columns import Selection
from vezha.model.labels import get_label
from vezha.store import Store, StoreReader, StoreSettings
from vezha.world import World

ROOT = Path(__file__).parents[3]


def _run_and_kill(folder: Path, first: int, seconds: float) -> int:
    """The last acknowledged number of a writer that lives *seconds* after opening."""
    command = [sys.executable, "-m", "tests.unit.store.killed_writer", str(folder), str(first)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "open\n":
        assert "torn" in line, line  # the log may speak of the end that a kill tore
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    acknowledged = first - 1
    for line in process.stdout:
        if line.endswith("\n") and line.strip().isdigit():
            acknowledged = int(line)
    process.wait()
    timer.cancel()
    process.stdout.close()
    return acknowledged


@pytest.mark.slow
def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(7)
    first = 0
    flushes = 0
    for _ in range(5):
        last = _run_and_kill(tmp_path, first, chance.uniform(0.3, 1.5))
        settings = StoreSettings(background=False, head_folder=str(tmp_path / "memory"))
        store = Store.open(str(tmp_path / "store"), World(clock=FastClock(last + 5)), settings)
        flushes = store._flusher.flushed
        origin = store.origin("h0/1")
        ranges = store.progress(origin)
        if last >= 0:
            assert len(ranges) == 1
            assert ranges[0][0] == 0
            assert last <= ranges[0][1] <= last + 1
            written = ranges[0][1] + 1
            _check(store, written)
            first = written
        store.abandon()
    assert first > 50
    assert flushes > 0


def _check(store: Store, written: int) -> None:
    data = store.select(Selection((), 0, T0_MS * 2))
    assert len(data.labels) == HOSTS * SERIES
    expected_ts = sorted(
        T0_MS + seq * 1000 - (LATE_MS if seq % 7 == 3 else 0) for seq in range(written)
    )
    by_ts = {T0_MS + seq * 1000 - (LATE_MS if seq % 7 == 3 else 0): seq for seq in range(written)}
    for i, labels in enumerate(data.labels):
        low, high = int(data.offsets[i]), int(data.offsets[i + 1])
        assert data.ts[low:high].tolist() == expected_ts
        host = int(get_label(labels, "instance")[1:])
        series = int(get_label(labels, "__name__")[1:])
        expected = [value_of(host, by_ts[ts], series) for ts in expected_ts]
        assert data.values[low:high].tolist() == expected


@pytest.mark.slow
def test_another_process_never_misses_a_sample_while_heads_become_tiles(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.unit.store.killed_writer", str(tmp_path), "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reader = StoreReader.open(str(tmp_path / "store"))
    counted: list[int] = []
    acknowledged = -1
    try:
        assert process.stdout.readline() == "open\n"
        until = time.monotonic() + 4.0
        # on a busy machine it takes longer until some windows have ended
        while time.monotonic() < until + (0.0 if counted[-1:] > [100] else 300.0):
            acknowledged = int(process.stdout.readline())
            data = reader.select(Selection((), 0, T0_MS * 2))
            assert len(data.labels) == HOSTS * SERIES
            counts = np.diff(data.offsets)
            # hosts are written one after another: they may differ by the frame that is coming in
            assert counts.max() - counts.min() <= 1
            assert counts.min() >= acknowledged + 1
            low, high = int(data.offsets[0]), int(data.offsets[1])
            written = len(data.ts[low:high])
            assert set(data.ts[low:high].tolist()) == {
                T0_MS + seq * 1000 - (LATE_MS if seq % 7 == 3 else 0) for seq in range(written)
            }
            counted.append(written)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        reader.close()
    assert counted == sorted(counted)
    assert counted[-1] > 100, "some windows must have ended"
