"""A commit that the disk refused is tried again with the same batch, and counts once."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from vezha.model.columns import Matcher, MatchOp, Selection
from vezha.model.labels import metric
from vezha.store import Store, StoreSettings, StoreUnwritable
from vezha.testing.disk import MemoryDisk
from vezha.world import World

T0 = 1_790_000_000_000


class Clock:
    """Time that the test sets."""

    at = T0 / 1000

    def now(self) -> float:
        return self.at

    monotonic = now

    def sleep(self, seconds: float) -> None:
        raise AssertionError


def test_a_head_that_ended_with_a_refused_batch_is_written_once(tmp_path: Path) -> None:
    clock, disk = Clock(), MemoryDisk()
    world = World(clock=clock, disk=disk)
    store = Store.open(
        str(tmp_path / "store"), world, StoreSettings(background=False, window_s=10.0)
    )
    refs = store.resolve([metric("up", instance="a")])
    store.write(refs, np.array([T0]), np.array([1.0]))
    store.commit(store.seal())
    clock.at += 20
    store.write(refs, np.array([T0 + 1000]), np.array([2.0]))
    batch = store.seal()
    assert batch.frozen is not None
    added: list[object] = []
    add = store._flusher.add
    store._flusher.add = lambda frozen: (added.append(frozen), add(frozen))  # type: ignore[method-assign,assignment,func-returns-value]
    disk.fail("write", error=errno.ENOSPC, times=2)
    for _ in range(2):
        with pytest.raises(StoreUnwritable):
            store.commit(batch)
    store.commit(batch)
    assert len(added) == 1
    assert not store._queue
    store.write(refs, np.array([T0 + 2000]), np.array([3.0]))
    store.commit(store.seal())
    store.flush()
    found = store.select(Selection((Matcher("__name__", MatchOp.EQ, "up"),), T0 - 1, T0 + 10_000))
    assert found.values.tolist() == [1.0, 2.0, 3.0]
    store.close()
