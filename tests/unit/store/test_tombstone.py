"""What was deleted is gone everywhere, stays gone, and gives its bytes back."""

from __future__ import annotations

from tests.unit.store.conftest import T0_MS, Bench, read, schema_of

from vezha.model.columns import Matcher, MatchOp, Selection
from vezha.model.labels import metric
from vezha.store import StoreReader

CPU = Matcher("__name__", MatchOp.EQ, "cpu")
OTHER = (("instance", "db-2"), ("job", "node"))


def _fill(bench: Bench) -> None:
    bench.store.put_schema(1, schema_of("cpu", "mem"))
    for i in range(60):
        bench.frame(1, i, T0_MS - 7_200_000 + i * 1000, [float(i), 1.0])
        bench.frame(1, i, T0_MS - 7_200_000 + i * 1000, [float(i), 1.0], "b/1", OTHER)
        if i == 30:
            bench.store.flush()
    bench.commit()


def test_deleted_samples_are_gone_here_there_and_after_a_restart(bench: Bench) -> None:
    _fill(bench)
    reader = StoreReader.open(str(bench.folder / "store"))
    begin = T0_MS - 7_200_000
    one_host = [CPU, Matcher("instance", MatchOp.EQ, "db-1")]
    assert bench.store.delete(one_host, begin + 10_000, begin + 49_000) == 1
    left = [(begin + i * 1000, float(i)) for i in range(60) if not 10 <= i <= 49]
    whole = [(begin + i * 1000, float(i)) for i in range(60)]
    newest = Selection((CPU,), begin, begin + 45_000, newest_only=True)
    data = bench.store.select(newest)
    first, second = (data.ts[s].tolist() for s in (data.offsets[1] - 1, data.offsets[2] - 1))
    assert (first, second) == (begin + 9_000, begin + 45_000)
    for source in (bench.store, reader):
        assert read(source, "cpu") == {"db-1": left, "db-2": whole}
        assert len(read(source, "mem")["db-1"]) == 60
    bench.frame(1, 1000, begin + 20_000, [5.0, 5.0])  # a late one
    bench.commit()
    bench.restart()
    assert bench.read("cpu") == {"db-1": left, "db-2": whole}
    before = sum(d.stat()[1] for d in bench.store._days.between(0, 10**6))
    bench.store.compact()
    after = sum(d.stat()[1] for d in bench.store._days.between(0, 10**6))
    assert after == 4 * 60 - 40
    assert before < after  # the rest came with the flush
    assert bench.read("cpu") == {"db-1": left, "db-2": whole}
    reader.close()


def test_a_series_that_was_deleted_is_not_listed(bench: Bench) -> None:
    _fill(bench)
    assert bench.store.delete([CPU]) == 2
    assert bench.read("cpu") == {}
    assert bench.store.series([CPU], T0_MS - 8_000_000, T0_MS - 10_000) == []
    assert bench.store.label_values("__name__", [], T0_MS - 8_000_000, T0_MS - 10_000) == ["mem"]
    bench.clock.time_s += 10
    bench.frame(1, 1000, T0_MS + 5_000, [5.0, 5.0])  # it may come again
    assert bench.read("cpu") == {"db-1": [(T0_MS + 5_000, 5.0)]}
    assert bench.store.series([CPU], T0_MS, T0_MS + 10_000) == [
        metric("cpu", instance="db-1", job="node")
    ]
    assert bench.store.delete([Matcher("__name__", MatchOp.EQ, "none")]) == 0


def test_a_tile_of_which_nothing_is_left_goes(bench: Bench) -> None:
    _fill(bench)
    bench.store.flush()
    bench.store.delete([Matcher("instance", MatchOp.RE, "db.*")])
    bench.store.delete([CPU])
    bench.store.compact()
    assert [d.stat()[0] for d in bench.store._days.between(0, 10**6)] == [0]
