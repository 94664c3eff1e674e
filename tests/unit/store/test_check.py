"""Damage is found, named and mended; samples go out and come in again; all by command."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
from tests.unit.store.conftest import T0_MS, Bench, read, schema_of
from typer.testing import CliRunner

from vezha.cli.store import app
from vezha.model.columns import STALE_NAN, Matcher, MatchOp
from vezha.model.labels import metric
from vezha.store import StoreReader
from vezha.store.check import check
from vezha.store.transfer import ImportRefused, export_lines, import_lines

runner = CliRunner()


def _fill(bench: Bench) -> None:
    bench.store.put_schema(1, schema_of("cpu", "mem"))
    for i in range(3):
        for k in range(20):
            bench.frame(1, i * 20 + k, T0_MS + (i * 20 + k) * 1000, [float(k), 7.0])
        bench.store.flush()


def _damage(folder: Path) -> None:
    (path,) = (folder / "store/days").glob("*.db")
    with sqlite3.connect(path) as db:
        number, data = db.execute("SELECT id, data FROM tile_data ORDER BY id").fetchall()[1]
        changed = data[:-1] + bytes([data[-1] ^ 1])
        db.execute("UPDATE tile_data SET data=? WHERE id=?", (changed, number))
    db.close()


def test_damage_is_found_and_mended(bench: Bench) -> None:
    _fill(bench)
    path = str(bench.folder / "store")
    assert list(check(path, bench.world)) == []
    _damage(bench.folder)
    bench.frame(1, 100, T0_MS + 100_000, [1.0, 1.0])
    bench.commit()
    bench.store.abandon()
    (segment,) = (bench.folder / "store/wal").iterdir()
    with segment.open("ab") as file:
        file.write(b"half a rec")
    (bench.folder / "store/days/2020-01-01.db").write_bytes(b"not a database" * 100)
    state = ["--state", str(bench.folder)]
    result = runner.invoke(app, ["check", *state, "--json"])
    assert result.exit_code == 1
    problems = json.loads(result.stdout)
    assert sorted(p["kind"] for p in problems) == ["day", "tile", "torn"]
    result = runner.invoke(app, ["repair", *state])
    assert result.exit_code == 0, result.output
    assert "damaged" in result.stdout
    result = runner.invoke(app, ["check", *state])
    assert (result.exit_code, result.stdout) == (0, "Everything is whole.\n")
    bench.open()
    assert len(bench.read("cpu")["db-1"]) == 41


def test_a_damaged_tile_that_another_process_met_is_counted_once(bench: Bench) -> None:
    _fill(bench)
    path = str(bench.folder / "store")
    _damage(bench.folder)
    bench.restart()
    assert bench.store.stats()["corrupt_tiles"] == 0  # nobody looked yet
    for _ in range(2):  # each with a memory of its own, as other processes have
        reader = StoreReader.open(path)
        assert len(read(reader, "cpu")["db-1"]) == 40
        assert reader.stats()["corrupt_tiles"] == 1
        reader.close()
    assert bench.store.stats()["corrupt_tiles"] == 1
    bench.restart()
    assert bench.store.stats()["corrupt_tiles"] == 1
    bench.store.abandon()
    assert runner.invoke(app, ["repair", "--state", str(bench.folder)]).exit_code == 0
    bench.open()
    assert bench.store.stats()["corrupt_tiles"] == 0


def test_a_day_that_expires_takes_its_damage_along(bench: Bench) -> None:
    _fill(bench)
    _damage(bench.folder)
    bench.restart()
    bench.read("cpu")
    assert bench.store.stats()["corrupt_tiles"] == 1
    bench.clock.time_s += bench.settings.retention_s + 86_400.0
    bench.frame(1, 100, int(bench.clock.time_s * 1000), [1.0, 1.0])
    bench.store.flush()
    assert bench.store.stats()["corrupt_tiles"] == 0


def test_a_file_that_is_no_database_does_not_stop_the_start(bench: Bench) -> None:
    _fill(bench)
    bench.store.abandon()
    (bench.folder / "store/days/2026-09-20.db").write_bytes(b"not a database" * 100)
    state = ["--state", str(bench.folder)]
    days = json.loads(runner.invoke(app, ["stat", *state, "--json"]).stdout)
    assert (days[0]["day"], days[0]["damaged"]) == ("2026-09-20", True)
    assert not days[-1]["damaged"]
    assert "damaged" in runner.invoke(app, ["stat", *state]).stdout
    bench.open()
    assert len(bench.read("cpu", T0_MS - 10**10)["db-1"]) == 60
    reader = StoreReader.open(str(bench.folder / "store"))
    assert len(read(reader, "cpu")["db-1"]) == 60
    reader.close()


def test_repair_wants_the_server_stopped(bench: Bench) -> None:
    _fill(bench)
    result = runner.invoke(app, ["repair", "--state", str(bench.folder)])
    assert result.exit_code == 2
    assert "stop it first" in result.output


def test_stat_and_compact(bench: Bench) -> None:
    _fill(bench)
    bench.store.abandon()
    state = ["--state", str(bench.folder)]
    (day,) = json.loads(runner.invoke(app, ["stat", *state, "--json"]).stdout)
    assert (day["samples"], day["tiles"]) == (120, 3)
    assert "120" in runner.invoke(app, ["stat", *state]).stdout
    result = runner.invoke(app, ["compact", *state, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["merged_tiles"] == 3
    bench.open()
    assert len(bench.read("cpu")["db-1"]) == 60


def test_what_goes_out_comes_in_again(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _fill(bench)
    odd = [1.5, float("inf"), float("-inf"), STALE_NAN, float("nan"), -0.0]
    refs = bench.store.resolve([metric("odd", kind="ч")] * len(odd))
    bench.store.write(refs, T0_MS + 1000 * np.arange(len(odd)), np.array(odd))
    lines = list(export_lines(bench.store, [], T0_MS, T0_MS + 100_000))
    assert len(lines) == 3
    other = Bench(tmp_path_factory.mktemp("other"))
    assert import_lines(other.store, lines) == 126
    assert list(export_lines(other.store, [], T0_MS, T0_MS + 100_000)) == lines
    assert other.read("cpu") == bench.read("cpu")
    one = [Matcher("__name__", MatchOp.EQ, "mem")]
    assert len(list(export_lines(other.store, one, T0_MS, T0_MS + 5000))) == 1
    with pytest.raises(ImportRefused, match="line 2"):
        import_lines(other.store, [lines[0], b'{"metric":{}}'])
    other.store.abandon()


def test_commands_for_export_and_import(bench: Bench, tmp_path: Path) -> None:
    _fill(bench)
    bench.store.abandon()
    out = tmp_path / "out.jsonl"
    arguments = ["--match", "cpu", "--match", "instance=~db-.*", "--output", str(out)]
    result = runner.invoke(app, ["export", "--state", str(bench.folder), *arguments,
                                 "--start", str(T0_MS / 1000), "--end", "2026-09-22T00:00:00+00:00"])  # fmt: skip
    assert result.exit_code == 0, result.output
    assert len(out.read_bytes().splitlines()) == 1
    result = runner.invoke(app, ["import", "--state", str(tmp_path / "new"), str(out)])
    assert "60 samples read" in result.stdout
    state = ["--state", str(bench.folder)]
    result = runner.invoke(app, ["delete", *state, "--match", "cpu"], input="n\n")
    assert result.exit_code == 1
    result = runner.invoke(app, ["delete", *state, "--match", "cpu", "--yes"])
    assert "Samples of 1 series deleted" in result.stdout, result.output
    result = runner.invoke(app, ["stat", "--state", str(tmp_path / "nowhere")])
    assert result.exit_code == 2
    assert "there is no store" in result.output
    bench.open()
    assert bench.read("cpu") == {}
    assert len(bench.read("mem")["db-1"]) == 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "--match", "instance=~("], "the expression cannot be read"),
        (["export", "--match", "cpu{"], "unclosed left brace"),
        (["export", "--start", "20", "--end", "10"], "--end lies before --start"),
        (["export", "--start", "soon"], "is no time"),
        (["export", "--output", "/nowhere/at/all"], "cannot be written: No such file"),
        (["export", "--match", "nothing_of_that_name"], "no series fits"),
        (["import", "/nowhere/at/all"], "there is no file"),
        (["import", "/"], "cannot be read: Is a directory"),
        (["delete", "--match", "cpu", "--start", "20", "--end", "10"], "--end lies before"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    bench: Bench, arguments: list[str], said: str
) -> None:
    bench.store.abandon()
    result = runner.invoke(app, [arguments[0], "--state", str(bench.folder), *arguments[1:]])
    assert said in result.output
    assert result.exit_code == (0 if said == "no series fits" else 2)


def test_series_may_be_named_by_a_selector_and_times_from_now(bench: Bench) -> None:
    bench.store.abandon()
    state = ["--state", str(bench.folder)]
    now_ms = int(time.time() * 1000)
    rows = [
        {"metric": {"__name__": "cpu", "instance": f"db-{n}"}, "values": [1.0],
         "timestamps": [now_ms - n * 3_600_000]}
        for n in range(4)
    ]  # fmt: skip
    lines = bench.folder / "in.jsonl"
    lines.write_text("\n".join(map(json.dumps, rows)))
    assert runner.invoke(app, ["import", *state, str(lines)]).exit_code == 0

    def exported(*arguments: str) -> list[str]:
        result = runner.invoke(app, ["export", *state, *arguments])
        assert result.exit_code == 0, result.output
        return sorted(json.loads(line)["metric"]["instance"] for line in result.stdout.splitlines())

    assert exported("--match", "cpu", "--start", "-90m") == ["db-0", "db-1"]
    assert exported("--match", 'cpu{instance=~"db-[12]"}', "--start", "-1d") == ["db-1", "db-2"]
    assert exported("--start", "-1d", "--end", "-150m") == ["db-3"]
