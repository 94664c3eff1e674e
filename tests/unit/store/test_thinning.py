"""Thinning leaves out nothing that a step of a query could look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.store.conftest import T0_MS, Bench

from vezha.model.columns import Matcher, MatchOp, Selection
from vezha.model.labels import metric
from vezha.store import StoreSettings, gather_tile
from vezha.store.thinning import Thinning, thinning_of

_times = st.lists(st.integers(0, 600), unique=True, min_size=1).map(sorted)


def _taken(ts: list[int], at: int, range_ms: int) -> list[int]:
    """What a selector looks at: the newest, or all of its range."""
    seen = [t for t in ts if t <= at and (not range_ms or t > at - range_ms)]
    return seen if range_ms else seen[-1:]


@given(ts=_times, step=st.integers(2, 100), back=st.integers(0, 99), steps=st.integers(1, 8))
def test_every_step_sees_the_same(ts: list[int], step: int, back: int, steps: int) -> None:
    end = max(ts)
    back = min(back, step - 1)
    picks = Thinning(end, step, back).picks(np.array(ts)).tolist()
    kept = [ts[i] for i in picks]
    for k in range(steps):
        assert _taken(kept, end - k * step, back) == _taken(ts, end - k * step, back)


def test_when_it_is_worth_the_while() -> None:
    def of(step_ms: int, range_ms: int = 0) -> Thinning | None:
        return thinning_of(Selection((), 0, 10**6, step_ms=step_ms, range_ms=range_ms))

    assert of(0) is None
    assert of(1000) is None
    assert of(60_000) == Thinning(10**6, 60_000, 0)
    assert of(60_000, 60_000) is None
    assert of(60_000, 20_000) == Thinning(10**6, 60_000, 20_000)


def test_a_store_thins_head_and_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather_tile, "THIN_CELLS_MIN", 0)
    bench = Bench(tmp_path)
    bench.store.abandon()
    bench.settings = StoreSettings(
        background=False, head_folder=str(tmp_path / "m"), thin_to_steps=True
    )
    store = bench.open()
    store.put_schema(1, [metric("cpu"), metric("mem")])
    for i in range(600):
        bench.frame(1, i, T0_MS + i * 1000, [float(i), 1.0])
        if i == 300:
            store.flush()
    selection = Selection(
        (Matcher("__name__", MatchOp.EQ, "cpu"),), T0_MS - 1, T0_MS + 599_000, step_ms=60_000
    )
    data = store.select(selection)
    kept = data.values.tolist()
    assert set(range(59, 600, 60)) <= set(kept)
    assert len(kept) <= 13  # of each step, and the last of each block and tile
    whole = store.select(Selection(selection.matchers, T0_MS - 1, T0_MS + 599_000))
    assert len(whole.values) == 600
    store.abandon()
