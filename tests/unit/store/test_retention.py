"""Retention by labels: nothing inside its time is dropped, nothing beyond it is answered."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.store.conftest import Bench, read
from typer.testing import CliRunner

from vezha.cli.store import app
from vezha.model.columns import Matcher, MatchOp, Selection
from vezha.model.labels import Labels, metric
from vezha.store import Store, StoreReader
from vezha.store.check import check, stat
from vezha.store.limits import DAY_MS
from vezha.store.policy import Policy

CI = Policy("ci", (Matcher("job", MatchOp.EQ, "ci"),), 2 * 86400.0, 0.0, 9 * 86400.0, 0.0)
BOOKS = Policy("books", (Matcher("__name__", MatchOp.RE, "book_.*"),), 40 * 86400.0, 0, 0, 0)
SERIES: list[Labels] = [
    metric("cpu", instance="a", job="node"),
    metric("cpu", instance="b", job="ci"),
    metric("mem", instance="b", job="ci"),
    metric("book_sum", instance="a", job="node"),
    metric("book_sum", instance="b", job="ci"),
]
DAYS = (6, 2, 2, 40, 2)
"""How many days each series is kept; of `book_sum` with job ci the first policy counts."""


def _begin(bench: Bench, *policies: Policy) -> Store:
    bench.settings = dataclasses.replace(
        bench.settings, retention_s=6 * 86400.0, retention_10s_s=0.0, retention_1m_s=0.0,
        retention_1h_s=0.0, policies=policies,
    )  # fmt: skip
    return bench.restart()


def _put(store: Store, day: int, hour: int, count: int = 40, gap_ms: int = 2_000) -> None:
    ts = day * DAY_MS + hour * 3_600_000 + np.arange(count) * gap_ms
    for ref in store.resolve(SERIES).tolist():
        store.write(np.full(count, ref, np.int64), ts, np.arange(count, dtype=np.float64))


def _answered(store: Store | StoreReader, days: range) -> dict[Labels, set[int]]:
    found: dict[Labels, set[int]] = {labels: set() for labels in SERIES}
    begin, end = days[0] * DAY_MS - 1, (days[-1] + 1) * DAY_MS
    data = store.select(Selection((Matcher("__name__", MatchOp.NE, ""),), begin, end))
    for i, labels in enumerate(data.labels):
        part = data.ts[data.offsets[i] : data.offsets[i + 1]]
        found[labels] |= set((part // DAY_MS).tolist())
    return found


def _expected(today: int, written: set[int], kept: tuple[int, ...]) -> dict[Labels, set[int]]:
    """A day goes when all of it is older than the retention; the clock stands at a day's end."""
    return {
        labels: {day for day in written if day >= today - days + 1}
        for labels, days in zip(SERIES, kept, strict=True)
    }


@settings(max_examples=6, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 22)), min_size=1, max_size=4),
    st.integers(0, 5),
    st.booleans(),
    st.booleans(),
)
def test_whatever_comes_when_each_series_is_kept_as_long_as_its_policy_says(
    puts: list[tuple[int, int]], later_days: int, restart: bool, rolled: bool
) -> None:
    with TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        policies = (CI if rolled else dataclasses.replace(CI, minutes_s=0.0), BOOKS)
        store = _begin(bench, *policies)
        today = int(bench.clock.time_s) // 86_400
        bench.clock.time_s = (today + 1) * 86_400.0
        written: set[int] = set()
        for back, hour in puts:
            _put(store, today - back, hour)
            written.add(today - back)
            store.flush()
        was = _expected(today, written, DAYS)
        assert _answered(store, range(today - 9, today + 1)) == was
        bench.clock.time_s += later_days * 86_400.0
        if restart:
            store = bench.restart()
        _put(store, today + later_days, 1)
        store.flush()
        kept = (6, 9, 9, 40, 9) if rolled else DAYS  # the roll-ups answer for what is gone
        now = today + later_days
        will = {
            labels: {day for day in days if day >= now - keep + 1} | {now}
            for (labels, days), keep in zip(was.items(), kept, strict=True)
        }
        reader = StoreReader.open(store.path)
        for source in (store, reader):
            assert _answered(source, range(today - 9, today + 6)) == will
        reader.close()
        assert list(check(store.path, bench.world)) == []
        store.abandon()


def test_roll_ups_of_a_policy_outlive_its_samples(bench: Bench) -> None:
    store = _begin(bench, CI)
    today = int(bench.clock.time_s) // 86_400
    bench.clock.time_s = (today + 1) * 86_400.0
    _put(store, today, 3, count=1_800)
    _put(store, today, 9, count=1_800)
    store.flush()
    bench.clock.time_s += 4 * 86_400.0
    _put(store, today + 4, 3)
    store.flush()
    assert _answered(store, range(today, today + 1))[SERIES[0]] == {today}
    selection = Selection(
        (Matcher("job", MatchOp.EQ, "ci"),), today * DAY_MS, (today + 1) * DAY_MS, 60_000
    )
    data = store.select(selection)
    assert len(data.labels) == 3
    assert set(data.notes["resolution"]) == {"60 s"}
    assert data.values[data.offsets[1] - 1] == 1_799
    policies = {(d.policy, d.samples > 0, bool(d.rolled_bytes)) for d in stat(store.path)}
    assert ("ci", False, True) in policies
    assert ("", True, False) in policies
    bench.clock.time_s += 6 * 86_400.0
    _put(store, today + 10, 3)
    store.flush()
    assert not store.select(selection).labels
    assert not [d for d in stat(store.path) if d.day < str(np.datetime64(today + 4, "D"))]


def test_other_policies_move_what_is_there(bench: Bench) -> None:
    store = _begin(bench)
    today = int(bench.clock.time_s) // 86_400
    bench.clock.time_s = (today + 1) * 86_400.0
    for back in range(5):
        _put(store, today - back, 5, count=100 + back)
        store.flush()
    before = {name: read(store, name) for name in ("cpu", "mem", "book_sum")}
    longer = dataclasses.replace(CI, samples_s=99 * 86400.0)
    store = _begin(bench, longer, BOOKS)
    store.flush()
    assert {name: read(store, name) for name in before} == before
    assert store.stats()["refiled_days"] == 5
    assert {d.policy for d in stat(store.path)} == {"", "books", "ci"}
    store = _begin(bench, BOOKS)
    store.flush()
    assert {name: read(store, name) for name in before} == before
    assert {d.policy for d in stat(store.path)} == {"", "books"}
    store = _begin(
        bench, dataclasses.replace(CI, minutes_s=0.0)
    )  # now it is a short one, and books are like all others
    store.flush()
    assert not Path(store.path, "kept", "books", "days").exists() or not list(
        Path(store.path, "kept", "books", "days").iterdir()
    )
    store.flush()
    _put(store, today, 7)
    store.flush()
    assert _answered(store, range(today - 9, today + 1)) == _expected(
        today, set(range(today - 4, today + 1)), (6, 2, 2, 6, 2)
    )
    assert store.stats()["refiled_days"] > 0
    restarted = bench.restart()
    restarted.flush()
    assert restarted.stats()["refiled_days"] == 0


def test_samples_older_than_their_policy_are_refused_and_counted(bench: Bench) -> None:
    store = _begin(bench, CI, BOOKS)
    today = int(bench.clock.time_s) // 86_400
    bench.clock.time_s = (today + 1) * 86_400.0
    _put(store, today - 20, 3)
    assert store.counts["old_samples"] == 4 * 40
    store.put_schema(1, [metric("cpu"), metric("book_sum")])
    for seq in range(3):
        ts = (today - 20) * DAY_MS + seq * 1_000
        bench.frame(1, seq, ts, [1.0, 2.0], extra=(("instance", "c"), ("job", "ci")))
    store.flush()
    assert store.counts["old_samples"] == 4 * 40 + 6
    assert _answered(store, range(today - 30, today + 1))[SERIES[3]] == {today - 20}


def test_a_short_disk_takes_from_each_the_same_share_of_its_time(bench: Bench) -> None:
    store = _begin(bench, dataclasses.replace(BOOKS, samples_s=400 * 86400.0))
    today = int(bench.clock.time_s) // 86_400
    bench.clock.time_s = (today + 1) * 86_400.0
    for back in (100, 5, 4, 3, 1, 0):
        _put(store, today - back, 5)
    store.flush()
    size = sum(d.disk_bytes for d in stat(store.path))
    bench.settings = dataclasses.replace(store.settings, disk_bytes_max=int(size * 0.7))
    store = bench.restart()
    _put(store, today, 7)
    store.flush()
    answered = _answered(store, range(today - 101, today + 1))
    assert today - 100 in answered[SERIES[3]]  # a quarter of its time
    assert today - 5 not in answered[SERIES[0]]  # all but all of its time
    assert today in answered[SERIES[0]]


@pytest.mark.parametrize("policies", [(), (CI, BOOKS)])
def test_deleting_reaches_every_policy(bench: Bench, policies: tuple[Policy, ...]) -> None:
    store = _begin(bench, *policies)
    today = int(bench.clock.time_s) // 86_400
    _put(store, today - 1, 3)
    store.flush()
    assert store.delete([Matcher("job", MatchOp.EQ, "ci")], 0, (today + 1) * DAY_MS) == 3
    store.compact()
    left = _answered(store, range(today - 2, today + 1))
    assert [bool(left[labels]) for labels in SERIES] == [True, False, False, True, False]
    assert sum(d.samples for d in stat(store.path)) == 2 * 40


def test_the_command_shows_days_and_policies(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(
        '[[retention.policies]]\nname = "ci"\nmatch = \'{job="ci"}\'\nsamples_s = "36h"\nhours_s = 0\n'
    )
    bench = Bench(tmp_path)
    _put(_begin(bench, CI), int(bench.clock.time_s) // 86_400, 1)
    bench.store.close()
    shown = CliRunner().invoke(app, ["stat", "--state", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    lines = [line.split() for line in shown.output.splitlines()]
    assert [line[1] for line in lines if line and line[0].startswith("2026")] == ["general", "ci"]
    assert ["ci", '{job="ci"}', "1.5", "d", "2", "d", "90", "d", "none"] in lines
    compacted = CliRunner().invoke(app, ["compact", "--state", str(tmp_path)])
    assert compacted.exit_code == 0, compacted.output
    assert {d.policy for d in stat(str(tmp_path / "store"))} == {"", "ci"}
    assert not (tmp_path / "store/kept/ci/rolled/3600s").exists()  # its policy makes none
    wrong = tmp_path / "settings.toml"
    wrong.write_text(wrong.read_text().replace("{job", "{{job"))
    refused = CliRunner().invoke(app, ["stat", "--state", str(tmp_path)])
    assert refused.exit_code != 0
