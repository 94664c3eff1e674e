"""Short ways to the samples say what the long way says, whatever was written how: the newest
sample of each series, and many short runs at once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vezha.model.columns import Matcher, MatchOp, Selection
from vezha.model.labels import Labels, labels_of, metric
from vezha.store import Store, StoreSettings, reading
from vezha.world import World

T0 = 1_790_000_000_000


class StillClock:
    """It is always the same time."""

    def now(self) -> float:
        return T0 / 1000 + 100_000

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError


SCHEMA = (metric("a"), metric("b", x="1"), metric("c"))
HOSTS = [labels_of({"instance": f"h{i}"}) for i in range(3)]
LOOSE: list[Labels] = [metric("up", instance=f"h{i}") for i in range(3)] + [
    metric("a", instance="h1")
]

step = st.one_of(
    st.tuples(st.just("frame"), st.integers(0, 2), st.integers(0, 40)),
    st.tuples(st.just("loose"), st.integers(0, 3), st.integers(0, 40)),
    st.tuples(st.just("flush"), st.just(0), st.just(0)),
)


@settings(max_examples=60)
@given(st.lists(step, max_size=25), st.lists(st.tuples(st.integers(-1, 42), st.integers(0, 30)), min_size=1, max_size=4))  # fmt: skip
def test_short_way_equals_long_way(
    steps: list[tuple[str, int, int]], windows: list[tuple[int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(clock=StillClock())
        quiet = StoreSettings(background=False, head_folder=str(Path(folder) / "memory"))
        store = Store.open(str(Path(folder) / "store"), world, quiet)
        store.put_schema(7, SCHEMA)
        layouts = [store.layout(7, host) for host in HOSTS]
        origin = store.origin("x")
        refs = store.resolve(LOOSE)
        for number, (kind, which, second) in enumerate(steps):
            ts_ms = T0 + second * 1000
            if kind == "frame":
                values = np.array([number, number + 0.5, -number], np.float64)
                store.write_frame(layouts[which], origin, number, ts_ms, b"raw", values)
            elif kind == "loose":
                store.write(refs[which : which + 1], np.array([ts_ms]), np.array([float(number)]))
            else:
                store.commit(store.seal())
                store.flush()
        anything = (Matcher("__name__", MatchOp.NE, ""),)
        for end_s, span_s in windows:
            end = T0 + end_s * 1000
            long = store.select(Selection(anything, end - span_s * 1000, end))
            with mock.patch.object(reading, "BULK_BLOCKS_MIN", 1):
                bulk = store.select(Selection(anything, end - span_s * 1000, end))
            assert bulk.labels == long.labels
            assert bulk.offsets.tolist() == long.offsets.tolist()
            assert bulk.ts.tolist() == long.ts.tolist()
            assert bulk.values.tolist() == long.values.tolist()
            short = store.select(Selection(anything, end - span_s * 1000, end, newest_only=True))
            assert short.labels == long.labels
            last = long.offsets[1:] - 1
            assert short.ts.tolist() == long.ts[last].tolist()
            assert short.values.tolist() == long.values[last].tolist()
            assert short.offsets.tolist() == list(range(len(short.labels) + 1))
        store.close()
