"""Rosters: which samples become rows, and that rows are read like any sample."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.store.conftest import T0_MS, Bench

from vezha.model.columns import Matcher, MatchOp, Refs, Selection
from vezha.model.labels import metric
from vezha.store import Store, StoreReader
from vezha.store.roster import Rosters

RUN = np.arange(100, 140)


def taken(rosters: Rosters, refs: Refs, ts: int | list[int], generation: int = 1) -> list[bool]:
    stamps = np.full(len(refs), ts) if isinstance(ts, int) else np.array(ts)
    return [roster is not None for _, roster in rosters.runs(refs, stamps, generation)]


def test_a_run_becomes_a_roster_when_it_comes_again() -> None:
    rosters = Rosters()
    assert taken(rosters, RUN, 1_000) == [False]
    assert taken(rosters, RUN, 2_000) == [True]
    assert taken(rosters, RUN[:10], 3_000) == [False]
    assert taken(rosters, RUN, 3_000) == [False]  # some of its series have a loose sample there
    assert taken(rosters, RUN, 3_001) == [True]
    assert taken(rosters, RUN, 1_000) == [False]  # late
    twice = np.concatenate([RUN, RUN[:1]])
    assert [taken(rosters, twice, 4_000 + i) for i in range(3)] == [[False]] * 3


def test_a_request_of_several_times_is_several_runs() -> None:
    rosters = Rosters()
    refs, ts = np.concatenate([RUN, RUN + 50]), [1_000] * 40 + [1_500] * 40
    assert taken(rosters, refs, ts) == [False, False]
    assert taken(rosters, refs, [t + 1_000 for t in ts]) == [True, True]
    every_its_own = list(range(5_000, 5_080))
    assert taken(rosters, refs, every_its_own) == [False]


def test_a_new_roster_takes_series_but_not_at_once() -> None:
    rosters = Rosters()
    taken(rosters, RUN, 1_000)
    assert taken(rosters, RUN, 2_000) == [True]
    other = RUN[5:]
    assert [taken(rosters, other, 3_000 + i) for i in range(3)] == [[False]] * 3
    assert taken(rosters, other, 4_000, generation=2) == [True]
    assert taken(rosters, RUN, 5_000, generation=2) == [False]
    # what the first one had stays older than all rows of the second
    assert taken(rosters, RUN, 6_000, generation=3) == [True]
    assert taken(rosters, RUN, 4_000, generation=3) == [False]


def write_rows(store: Store, refs: Refs, times: list[int]) -> None:
    for at in times:
        store.write(refs, np.full(len(refs), T0_MS + at), at + np.arange(len(refs)) / 4)


@pytest.mark.parametrize("state", ["head", "tiles", "recovered"])
def test_rows_are_read_like_any_sample(bench: Bench, state: str) -> None:
    names = [metric("m", instance=f"h{i % 70}", job="j", n=str(i)) for i in range(140)]
    store = bench.store
    refs = store.resolve(names)
    times = [-300_000 + 1_000 * i for i in range(40)]
    write_rows(store, refs, times[:39])
    store.write(refs[:50], np.full(50, T0_MS + times[39]), np.full(50, 7.5))
    assert store.stats()["roster_samples"] == 38 * 140
    bench.commit()
    if state == "tiles":
        store.flush()
    elif state == "recovered":
        bench.restart()
        assert bench.store.stats()["roster_samples"] == 38 * 140
        assert bench.store.stats()["rosters"] == 1
    reader = StoreReader.open(store.path)
    for source in (bench.store, reader):
        for newest in (False, True):
            end = T0_MS + times[-1]
            got = source.select(Selection((), T0_MS - 400_000, end, newest_only=newest))
            assert len(got.labels) == 140
            for i, labels in enumerate(got.labels):
                number = names.index(labels)
                part = slice(int(got.offsets[i]), int(got.offsets[i + 1]))
                whole = {T0_MS + t: t + number / 4 for t in times[:39]}
                if number < 50:
                    whole[T0_MS + times[39]] = 7.5
                found = dict(zip(got.ts[part].tolist(), got.values[part].tolist(), strict=True))
                if newest:
                    assert found.items() <= whole.items()
                    assert max(found) == max(whole)
                else:
                    assert found == whole
        some = (Matcher("n", MatchOp.RE, "13."),)
        assert len(source.series(some, T0_MS - 400_000, T0_MS)) == 10
        assert len(source.series(some, T0_MS - 400_000, T0_MS - 350_000)) == 0
    reader.close()
