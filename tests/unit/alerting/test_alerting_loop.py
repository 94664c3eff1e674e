"""`Alerting` over a real ledger: early evaluation, restarts, reloads, a ledger that is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.exc import OperationalError

from vezha.alerting.ask import Ask, check_expression
from vezha.alerting.book import RuleBook
from vezha.alerting.errors import EvaluationError
from vezha.alerting.loop import Alerting, AlertingSettings
from vezha.alerting.rehearse import rehearse
from vezha.alerting.rulefile import parse_rule_file
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_state, alert_transition, host
from vezha.model.columns import Values, is_stale
from vezha.model.labels import Labels, format_labels, metric
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.world import World

HOT = """
groups:
- name: g
  rules:
  - alert: Hot
    expr: temperature > 90
    labels: {severity: critical}
    annotations: {summary: "{{ $labels.instance }} is at {{ $value }}"}
  - alert: Warm
    expr: temperature > 80
    for: 10s
  - record: temperature:max
    expr: max(temperature)
"""


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Bench:
    """Samples, a ledger, a clock; what was written is kept."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.world = World(clock=self.clock)
        self.samples = MemorySource()
        self.ledger = Ledger.open(str(folder / "ledger.db"))
        self.ledger.migrate()
        self.rules = folder / "rules"
        self.rules.mkdir()
        (self.rules / "hot.yml").write_text(HOT)
        self.written: list[tuple[str, float]] = []
        self.told = 0

    def start(self, ask: Ask | None = None, settle_ms: int = 0) -> Alerting:
        def tell() -> None:
            self.told += 1

        return Alerting(
            ask or Engine(self.samples), self.ledger, self.write, self.world, [str(self.rules)],
            AlertingSettings(builtin=False, settle_ms=settle_ms), tell,
        )  # fmt: skip

    def write(self, labels: list[Labels], ts_ms: int, values: Values) -> None:
        for one, value in zip(labels, values, strict=True):
            self.samples.append(one, ts_ms, float(value))
            if not format_labels(one).startswith("vezha_"):
                stale = bool(is_stale(np.array([value]))[0])
                self.written.append((format_labels(one), -1.0 if stale else float(value)))

    def put(self, value: float, instance: str = "a", **labels: str) -> None:
        ts_ms = int(self.clock.seconds * 1000)
        self.samples.append(metric("temperature", instance=instance, **labels), ts_ms, value)

    def rows(self) -> list[Any]:
        with self.ledger.read() as connection:
            found = select(alert_transition).order_by(alert_transition.c.id)
            return list(connection.execute(found))

    def events(self) -> list[tuple[str, str]]:
        return [(r.alert_name, r.event) for r in self.rows()]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.ledger.close()


def test_arriving_data_is_judged_before_the_next_second(bench: Bench) -> None:
    alerting = bench.start()
    bench.put(50)
    alerting.tick()
    bench.clock.sleep(0.3)
    bench.put(95)
    assert alerting.tick() == 0
    alerting.nudge()
    assert alerting.wait_s() == 0.0
    alerting.tick()
    (row,) = bench.rows()
    assert (row.alert_name, row.event) == ("Hot", "fired")
    assert row.sampled_ms == row.evaluated_ms == int(bench.clock.seconds * 1000)
    assert row.annotations["summary"] == "a is at 95"
    assert bench.told == 1
    assert any(name.startswith("ALERTS{") for name, _ in bench.written)
    bench.clock.sleep(0.1)
    alerting.nudge()
    assert 0.0 < alerting.wait_s() <= 0.11


def test_a_restart_forgets_nothing(bench: Bench) -> None:
    alerting = bench.start()
    for _ in range(4):
        bench.put(95)
        alerting.tick()
        bench.clock.sleep(1.0)
    alerting = bench.start(settle_ms=2_000)
    for _ in range(10):
        bench.put(95)
        alerting.tick()
        bench.clock.sleep(1.0)
    assert bench.events() == [("Hot", "fired"), ("Warm", "fired")]
    warm = bench.rows()[1]
    assert warm.evaluated_ms - warm.active_ms == 10_000


def test_series_as_prometheus_writes_them(bench: Bench) -> None:
    alerting = bench.start()
    for value in (95, 95, 50, 50):
        bench.put(value)
        alerting.tick()
        bench.clock.sleep(1.0)
    assert ("temperature:max", 95.0) in bench.written
    firing = [v for n, v in bench.written if n.startswith("ALERTS{") and "Hot" in n]
    assert firing == [1.0, 1.0, -1.0]
    since = [v for n, v in bench.written if n.startswith("ALERTS_FOR_STATE{") and "Hot" in n]
    assert since == [1_700_000_000.0, 1_700_000_000.0, -1.0]


def test_a_ledger_that_is_away_loses_no_transition(bench: Bench) -> None:
    alerting = bench.start()
    away = True

    def refuse(*_args: object) -> None:
        if away:
            raise OperationalError("", {}, Exception("disk I/O error"))

    event.listen(bench.ledger.engine, "before_cursor_execute", refuse)
    for _ in range(3):
        bench.put(95)
        alerting.tick()
        bench.clock.sleep(1.0)
    assert bench.told == 0
    away = False
    bench.put(95)
    alerting.tick()
    event.remove(bench.ledger.engine, "before_cursor_execute", refuse)
    assert bench.events() == [("Hot", "fired")]
    assert bench.rows()[0].evaluated_ms == 1_700_000_000_000
    assert bench.told == 1
    assert alerting.stats()["failed_saves_total"] >= 1


def test_a_query_that_fails_leaves_alerts_as_they_are(bench: Bench) -> None:
    broken = False
    engine = Engine(bench.samples)

    def ask(expr: str, ts_ms: int) -> tuple[list[Labels], Values]:
        if broken:
            raise EvaluationError("the store is away")
        result = engine.instant(expr, ts_ms)
        return result.labels, result.column

    alerting = bench.start(ask)
    bench.put(95)
    alerting.tick()
    broken = True
    for _ in range(3):
        bench.clock.sleep(1.0)
        alerting.tick()
    assert bench.events() == [("Hot", "fired")]
    with bench.ledger.read() as connection:
        views = RuleBook([str(bench.rules)], builtin=False).views(connection)
    assert {h["error"] for h in views[0].health.values()} == {"the store is away"}


def test_rules_are_read_again_and_a_removed_one_ends_its_alerts(bench: Bench) -> None:
    alerting = bench.start()
    bench.put(95)
    alerting.tick()
    (bench.rules / "hot.yml").write_text(HOT.replace("temperature > 90", "temperature > 94"))
    bench.clock.sleep(6.0)
    bench.put(95)
    alerting.tick()
    assert bench.events() == [("Hot", "fired")]
    (bench.rules / "hot.yml").write_text("groups: [{name: other, rules: []}]")
    bench.clock.sleep(6.0)
    alerting.tick()
    assert bench.events() == [("Hot", "fired"), ("Hot", "expired")]
    with bench.ledger.read() as connection:
        assert connection.execute(select(alert_state)).all() == []


def test_a_broken_file_is_told_and_the_others_go_on(bench: Bench) -> None:
    (bench.rules / "bad.yml").write_text("groups: [{name: b, rules: [{alert: X}]}]")
    alerting = bench.start()
    bench.put(95)
    alerting.tick()
    assert bench.events() == [("Hot", "fired")]
    assert list(alerting.problems) == [str(bench.rules / "bad.yml")]


def test_a_host_taken_out_of_the_fleet_is_not_awaited(bench: Bench) -> None:
    with bench.ledger.begin() as connection:
        for name in ("kept", "removed"):
            connection.execute(insert(host).values(name=name, labels={}, facts={}, created_ms=0))
    alerting = bench.start()
    for name in ("kept", "removed"):
        bench.put(95, name, job="node")
    alerting.tick()
    with bench.ledger.begin() as connection:
        connection.execute(host.delete().where(host.c.name == "removed"))
    for _ in range(2):
        bench.clock.sleep(310.0)
        alerting.tick()
    assert [(r.host, r.event) for r in bench.rows()] == [
        ("kept", "fired"), ("removed", "fired"), ("kept", "lost"), ("removed", "lost"),
        ("removed", "expired"),
    ]  # fmt: skip


def test_a_limit_is_an_error_and_changes_nothing(bench: Bench) -> None:
    (bench.rules / "hot.yml").write_text(HOT.replace("name: g", "name: g\n  limit: 2"))
    alerting = bench.start()
    for i in range(3):
        bench.put(95, f"h{i}")
    alerting.tick()
    assert bench.events() == []


def test_rehearsal_is_what_would_have_happened(bench: Bench) -> None:
    start_ms = int(bench.clock.seconds * 1000)
    alerting = bench.start()
    for i in range(120):
        bench.put(95 if 20 <= i < 40 or 60 <= i < 75 else 50)
        alerting.tick()
        bench.clock.sleep(1.0)
    engine = Engine(bench.samples)

    def ask(expr: str, start: int, end: int, step: int) -> tuple[list[Labels], Values, Any]:
        result = engine.range(expr, start, end, step)
        return result.labels, result.values, result.present

    groups = parse_rule_file(HOT, "hot.yml", check_expression)
    found = rehearse(groups, ask, start_ms, start_ms + 119_000)
    happened = {(r.alert_name, r.evaluated_ms) for r in bench.rows() if r.event == "fired"}
    assert {(r.rule.name, f.start_ms) for r in found for f in r.firings} == happened
    hot = found[0]
    assert hot.seconds(start_ms + 119_000) == 35.0
    assert hot.hosts() == ["a"]


PATIENT = (
    """
groups:
- name: dear
  interval: 3s
  rules:
"""
    + "".join(f"  - {{alert: Dear{n}, expr: 'dear{n} > 0'}}\n" for n in range(5))
    + """
- name: quick
  interval: 1s
  rules:
  - {alert: Quick, expr: quick > 0}
"""
)


def test_dear_rules_that_can_wait_never_hold_up_those_of_each_second(bench: Bench) -> None:
    asked: list[tuple[str, int]] = []

    def ask(expr: str, ts_ms: int) -> tuple[list[Labels], Values]:
        asked.append((expr.split()[0], ts_ms))
        if expr.startswith("dear"):
            bench.clock.seconds += 0.2  # what such a rule costs
        return [], np.zeros(0)

    (bench.rules / "hot.yml").write_text(PATIENT)
    bench.clock.seconds -= bench.clock.seconds % 3
    alerting = bench.start(ask)
    began_ms = int(bench.clock.seconds * 1000)
    passes: list[list[str]] = []
    while not passes or "dear4" not in passes[-1]:
        assert not passes or alerting.wait_s() == 0.0
        before = len(asked)
        alerting.tick()
        passes.append([name for name, _ in asked[before:]])
    # each pass: those of each second when they are due, then the dear ones until the budget is used up
    assert passes == [["quick", "dear0", "dear1"], ["dear2", "dear3"], ["dear4"]]
    # all of a turn are asked about the same instant
    assert {ts for name, ts in asked if name.startswith("dear")} == {began_ms}
    asked.clear()
    for _ in range(2):
        alerting.tick()
        bench.clock.sleep(1.0)
    assert [name for name, _ in asked] == ["quick", "quick"]
    # and the next turn comes in its time
    for _ in range(4):
        alerting.tick()
    assert [name for name, _ in asked if name == "dear4"] == ["dear4"]
    assert alerting.stats()["missed_total"] == 0
