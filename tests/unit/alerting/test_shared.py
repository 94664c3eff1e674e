"""Rules of one round share what they read, and nothing that they write."""

from __future__ import annotations

from pathlib import Path

from vezha.alerting.loop import Alerting, AlertingSettings
from vezha.alerting.shared import SharedReads
from vezha.ledger import Ledger
from vezha.model.columns import Matcher, MatchOp, Selection, Values
from vezha.model.labels import Labels, metric
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.world import World

RULES = """groups:
  - name: g
    rules:
      - {alert: Low, expr: free / size < 0.2}
      - {alert: VeryLow, expr: free / size < 0.1}
      - {record: "free:ratio", expr: free / size}
      - {alert: ByRecord, expr: "free:ratio < 0.2"}
      - {record: "free:ratio:twice", expr: "free:ratio * 2"}
      - {alert: Any, expr: 'count({__name__=~"free.*"}) >= 3'}
"""


def test_equal_selections_are_read_once_in_a_round_and_anew_in_the_next() -> None:
    source = MemorySource()
    source.append(metric("up", instance="a"), 1_000, 1.0)
    shared = SharedReads(source)
    one = Selection((Matcher("__name__", MatchOp.EQ, "up"),), 0, 2_000, samples_max=10)
    first = shared.select(one)
    assert shared.select(Selection(one.matchers, 0, 2_000, samples_max=99)) is first
    assert not first.values.flags.writeable
    source.append(metric("up", instance="a"), 1_500, 2.0)
    assert shared.select(one) is first
    shared.begin()
    assert shared.select(one).ts.size == 2
    assert (shared.asked, shared.spared) == (4, 2)


def test_what_rules_write_and_what_has_no_name_is_never_shared() -> None:
    shared = SharedReads(MemorySource())
    shared.writes(["free:ratio"])
    for matchers in (
        (Matcher("__name__", MatchOp.EQ, "free:ratio"),),
        (Matcher("__name__", MatchOp.EQ, "ALERTS"),),
        (Matcher("__name__", MatchOp.RE, "up|down"),),
        (Matcher("job", MatchOp.EQ, "node"),),
    ):
        for _ in range(2):
            shared.select(Selection(matchers, 0, 1_000))
    assert shared.spared == 0


def test_rules_see_what_earlier_ones_of_the_round_recorded(tmp_path: Path) -> None:
    source = MemorySource()

    def write(labels: list[Labels], ts_ms: int, values: Values) -> None:
        for one, value in zip(labels, values, strict=True):
            source.append(one, ts_ms, float(value))

    (tmp_path / "rules.yml").write_text(RULES)
    ledger = Ledger.open(str(tmp_path / "ledger.db"))
    ledger.migrate()
    settings = AlertingSettings(builtin=False, settle_ms=0)
    world = World()
    alerting = Alerting(
        Engine(source), ledger, write, world, [str(tmp_path / "rules.yml")], settings
    )
    now_ms = int(world.clock.now() * 1000)
    source.append(metric("free", instance="a"), now_ms - 1000, 5.0)
    source.append(metric("size", instance="a"), now_ms - 1000, 100.0)
    alerting.tick(now_ms / 1000)
    firing = {r.rule.name for _, r in alerting._alert_runners() if len(r.instances)}
    assert firing == {"Low", "VeryLow", "ByRecord", "Any"}
    assert alerting._shared is not None
    assert alerting._shared.spared >= 4, "free and size, for the second alert and the recording"
    ledger.close()
