"""The offenders: who has the most series, and by which label."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
from structlog.testing import capture_logs
from tests.unit.store.conftest import Bench
from typer.testing import CliRunner

from vezha.cli.store import app
from vezha.model.labels import metric
from vezha.store import SourceSeries, StoreReader


def fill(bench: Bench) -> None:
    wide = [metric("req", instance="a", job="j", user=str(i), zone=str(i % 3)) for i in range(50)]
    few = [metric(f"m{i}", instance="b", job="j", zone="1") for i in range(9)]
    bench.store.resolve([*wide, *few, metric("alone")])
    bench.commit()


def test_the_largest_are_told(bench: Bench) -> None:
    assert StoreReader.open(str(bench.folder / "none")).cardinality(3).sources == []
    fill(bench)
    reader = StoreReader.open(bench.store.path)
    found = reader.cardinality(2)
    reader.close()
    assert found.series == 60
    assert found.sources == [
        SourceSeries("a", "j", 50, "user", 50),
        SourceSeries("b", "j", 9, "", 0),
    ]
    assert found.metrics == [("req", 50), ("alone", 1)]
    assert found.labels == [("user", 50), ("__name__", 11)]


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store.abandon()
    bench.settings = replace(bench.settings, series_per_source_max=20, series_max=40)
    store = bench.open()
    with capture_logs() as logs:
        for turn in range(3):
            wide = [metric("req", instance="a", n=str(100 * turn + i)) for i in range(30)]
            refs = store.resolve([*wide, metric("up", instance="b")])
            assert int((refs[:-1] >= 0).sum()) == (20 if turn == 0 else 0)
            assert refs[-1] >= 0
    (told,) = [log for log in logs if log["log_level"] == "warning"]
    assert (told["source"], told["limit"], told["most"]) == ("a", "series_per_source_max", 20)
    assert store.resolve(wide[:1]).tolist() == [-1]
    assert (store.resolve([metric(f"m{i}", instance=f"i{i}") for i in range(30)]) >= 0).sum() == 19
    bench.commit()
    reader = StoreReader.open(store.path)
    found = reader.cardinality(5)
    reader.close()
    assert found.series == 40
    assert dict(found.labels)["n"] == 20
    assert dict(found.labels)["instance"] == 21
    store.abandon()


def test_by_command(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    fill(bench)
    shown = CliRunner().invoke(app, ["top", "--state", str(tmp_path), "--count", "1"])
    assert shown.exit_code == 0, shown.output
    assert "60 series in all" in shown.output
    told = CliRunner().invoke(app, ["top", "--state", str(tmp_path), "--json"])
    assert orjson.loads(told.output)["sources"][0]["label"] == "user"
    bench.store.abandon()
