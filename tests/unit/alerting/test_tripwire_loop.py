"""`Alerting` with tripwires: a crossing fires at once, by the same rows as everything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.alerting.test_alerting_loop import Bench

from vezha.alerting.loop import Alerting

RULES = """
groups:
- name: g
  rules:
  - alert: Hot
    expr: temperature > 90
    labels: {severity: critical}
    annotations: {summary: "{{ $labels.instance }} is at {{ $value }}"}
    vezha: {tripwire: true}
  - alert: Other
    expr: temperature > 1000
    for: 10s
    vezha: {tripwire: true}
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    (made.rules / "hot.yml").write_text(RULES)
    yield made
    made.ledger.close()


def cross(alerting: Alerting, bench: Bench, age_ms: int = 20, active: bool = True) -> bool:
    (key,) = alerting.tripwires
    at_ms = int(bench.clock.seconds * 1000) - age_ms
    return alerting.crossed("a", (key, active, at_ms, 95.0), {})


def second(alerting: Alerting, bench: Bench, value: float, seconds: float = 1.0) -> None:
    """An ordinary sample, and its evaluation."""
    bench.clock.seconds += seconds
    bench.put(value, job="node")
    alerting.nudge()
    alerting.tick()


def test_a_crossing_fires_at_once_and_samples_keep_it(bench: Bench) -> None:
    alerting = bench.start()
    assert len(alerting.tripwires) == 1, "a rule with `for` is none"
    second(alerting, bench, 20)
    bench.clock.seconds += 0.3
    assert cross(alerting, bench)
    assert alerting.wait_s() == 0.0
    alerting.tick()
    (row,) = bench.rows()
    assert (row.event, row.host, row.value) == ("fired", "a", 95.0)
    assert row.sampled_ms == int(bench.clock.seconds * 1000) - 20
    assert row.annotations["summary"] == "a is at 95"
    assert bench.told == 1
    for _ in range(6):
        second(alerting, bench, 96)
    assert bench.events() == [("Hot", "fired")]
    second(alerting, bench, 20)
    assert bench.events() == [("Hot", "fired"), ("Hot", "resolved")]


def test_samples_that_deny_it_for_three_seconds_resolve_it(bench: Bench) -> None:
    alerting = bench.start()
    second(alerting, bench, 20)
    cross(alerting, bench)
    alerting.tick()
    for _ in range(2):
        second(alerting, bench, 20)
        assert bench.events() == [("Hot", "fired")]
    second(alerting, bench, 20, 1.5)
    assert bench.events() == [("Hot", "fired"), ("Hot", "resolved")]


def test_crossing_back_is_believed_as_the_samples_are(bench: Bench) -> None:
    alerting = bench.start()
    second(alerting, bench, 20)
    cross(alerting, bench)
    alerting.tick()
    bench.clock.seconds += 0.2
    cross(alerting, bench, active=False)
    alerting.tick()
    assert bench.events() == [("Hot", "fired"), ("Hot", "resolved")]


def test_late_repeated_and_settling_crossings_fire_nothing(bench: Bench) -> None:
    alerting = bench.start(settle_ms=5_000)
    second(alerting, bench, 20)
    assert not cross(alerting, bench)
    second(alerting, bench, 20, 10.0)
    assert not cross(alerting, bench, age_ms=3_000)
    alerting.tick()
    assert bench.rows() == []
    assert cross(alerting, bench)
    alerting.tick()
    assert not cross(alerting, bench), "the same once more"
    counts = alerting.crossings.outcomes
    assert (counts["settling"], counts["late"], counts["repeated"]) == (1, 1, 1)
    assert len(bench.rows()) == 1


def test_who_connects_hears_of_changed_rules(bench: Bench) -> None:
    alerting = bench.start()
    changes = []
    alerting.on_tripwires = lambda: changes.append(len(alerting.tripwires))
    (bench.rules / "more.yml").write_text(RULES.replace("name: g", "name: h"))
    bench.clock.seconds += 10
    alerting.tick()
    (bench.rules / "more.yml").unlink()
    (bench.rules / "hot.yml").unlink()
    bench.clock.seconds += 10
    alerting.tick()
    assert changes == [2, 0]
