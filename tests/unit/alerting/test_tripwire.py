"""Rules become tripwires or say why not; crossings count once, in time, and for three seconds."""

from __future__ import annotations

import pytest

from vezha.alerting.ask import Vector, check_expression
from vezha.alerting.crossings import Claim, Crossings
from vezha.alerting.limits import CROSSING_HOLD_MS, CROSSING_LATE_MS
from vezha.alerting.rule import AlertRule, Group
from vezha.alerting.rulefile import (
    BUILTIN_FOLDER,
    find_rule_files,
    load_rule_files,
    parse_rule_file,
)
from vezha.alerting.runner import AlertRunner, Outside
from vezha.alerting.state import Event
from vezha.alerting.tripwire import (
    NotATripwire,
    RuleTripwire,
    compile_groups,
    compile_rule,
    message_wires,
)
from vezha.model.labels import labels_of, metric
from vezha.wire.tripwire import Busy, Condition, Selector, from_json, to_json


def rule_of(expr: str, more: str = "") -> tuple[AlertRule, Group]:
    text = (
        "groups:\n- name: g\n  rules:\n  - alert: A\n"
        f"    expr: |\n      {expr}\n    vezha: {{tripwire: true}}\n{more}"
    )
    (group,) = parse_rule_file(text, "f.yml", check_expression)
    rule = group.rules[0]
    assert isinstance(rule, AlertRule)
    return rule, group


def compiled(expr: str) -> RuleTripwire:
    return compile_rule(*rule_of(expr))


@pytest.mark.parametrize(
    ("expr", "condition"),
    [
        ("queue > 3", Condition(">", 3.0, Selector("queue"))),
        ("3 < (queue)", Condition(">", 3.0, Selector("queue"))),
        ("queue > -10 * 1024", Condition(">", -10240.0, Selector("queue"))),
        (
            'queue{kind!~"a|b"} == 0',
            Condition("==", 0.0, Selector("queue", (("kind", "!~", "a|b"),))),
        ),
        (
            "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes < 0.05",
            Condition(
                "<",
                0.05,
                Selector("node_memory_MemAvailable_bytes"),
                Selector("node_memory_MemTotal_bytes"),
            ),
        ),
        (
            '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5s])) > 0.9',
            Condition(">", 0.9, busy=Busy((("mode", "=", "idle"),), 5.0, True)),
        ),
        (
            "avg by (instance) (sum by (instance, cpu) "
            '(rate(node_cpu_seconds_total{mode=~"idle|iowait"}[1m]))) < 0.1',
            Condition("<", 0.1, busy=Busy((("mode", "=~", "idle|iowait"),), 60.0, False)),
        ),
    ],
)
def test_thresholds_compile(expr: str, condition: Condition) -> None:
    wire = compiled(expr).wire
    assert wire.conditions == (condition,)
    assert from_json([to_json(wire)]) == [wire]


def test_conditions_joined_by_and() -> None:
    wire = compiled("a > 1 and b < 2 and a / b < 3").wire
    assert [(c.op, c.value) for c in wire.conditions] == [(">", 1.0), ("<", 2.0), ("<", 3.0)]


@pytest.mark.parametrize(
    ("expr", "why"),
    [
        ("up == 0", "not among what agents watch"),
        ("node_load1 > 3", "not among what agents watch"),
        ("job:errors:rate5m > 3", "not among what agents watch"),
        ("rate(queue[1m]) > 2", "neither a series"),
        ("sum(queue) > 2", "neither a series"),
        ("queue offset 5m > 2", "looks at the past"),
        ("queue @ 1 > 2", "looks at the past"),
        ("queue > bool 2", "bool"),
        ("queue > other", "does not compare a quantity with a number"),
        ("queue", "is not a comparison"),
        ("absent(queue)", "is not a comparison"),
        ("queue > 1 or other > 2", "is not a comparison"),
        ("queue > 1 and on (instance) other > 2", "on, ignoring"),
        ("queue > +Inf", "finite"),
        ('{__name__="queue"} > 1', "does not name one metric"),
        ("node_cpu_seconds_total > 1", "counter"),
        ('queue{a=~"(?i)x"} > 1', "not plain"),
        ('avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[10m])) < 1', "window"),
        ('avg by (instance) (rate(node_cpu_seconds_total{mode=~"a|b"}[10s])) < 1', "over modes"),
        ("a > 1 and b > 1 and c > 1 and d > 1 and e > 1", "more than"),
    ],
)
def test_what_cannot_be_watched_says_why(expr: str, why: str) -> None:
    with pytest.raises(NotATripwire, match=why.replace("(", r"\(")):
        compiled(expr)


def test_a_tripwire_does_not_wait() -> None:
    with pytest.raises(NotATripwire, match="for"):
        compile_rule(*rule_of("queue > 1", "    for: 5s\n"))


def test_only_rules_that_ask_for_it_and_can_be() -> None:
    good, group = rule_of("queue > 1")
    bad, _ = rule_of("up == 0")
    group = Group("g", "f.yml", (good, bad))
    wires, refused = compile_groups([group])
    assert list(wires) == [good.key]
    assert list(refused) == ["A"]


def test_hosts_get_only_what_looks_at_them() -> None:
    wire = compiled('queue{instance=~"db-.*", job="node"} > 1')
    assert wire.fits("db-7")
    assert not wire.fits("web-1")
    assert wire.wire.conditions[0].of == Selector("queue")
    assert len(message_wires({wire.rule_key: wire}, "db-1")) == 1
    assert message_wires({wire.rule_key: wire}, "web-1") == []


def test_labels_of_the_result() -> None:
    told = {"mountpoint": "/srv", "instance": "made-up"}
    assert compiled("a / b < 1").result_labels("db-1", told) == labels_of(
        {"mountpoint": "/srv", "instance": "db-1", "job": "node"}
    )
    busy = compiled('avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5s])) < 0.1')
    assert busy.result_labels("db-1", {}) == labels_of({"instance": "db-1"})


def test_the_packs_tripwires_compile() -> None:
    loaded = load_rule_files(find_rule_files([BUILTIN_FOLDER]), check_expression)
    wires, refused = compile_groups(loaded.groups)
    assert refused == {}
    assert len(wires) >= 4


def take(
    crossings: Crossings, wire: RuleTripwire, at_ms: int, now_ms: int, **how: bool
) -> tuple[bool, str]:
    before = dict(crossings.outcomes)
    told = (wire.rule_key, how.get("active", True), at_ms, 5.0)
    wires = {wire.rule_key: wire}
    took = crossings.take(wires, "db-1", told, {"run": "1"}, now_ms, how.get("settling", False))
    (outcome,) = [k for k, n in crossings.outcomes.items() if n != before[k]]
    return took, outcome


NOW = 1_800_000_000_000
LABELS = labels_of({"run": "1", "instance": "db-1", "job": "node"})


def test_a_crossing_counts_once_and_for_three_seconds() -> None:
    crossings, wire = Crossings(), compiled("queue > 1")
    assert take(crossings, wire, NOW, NOW + 20) == (True, "taken")
    assert crossings.waits
    assert crossings.claims(wire.rule_key, NOW) == {}
    assert crossings.rules_due() == {wire.rule_key}
    assert not crossings.waits
    assert crossings.claims(wire.rule_key, NOW + 30) == {LABELS: Claim(LABELS, 5.0, NOW)}
    assert take(crossings, wire, NOW, NOW + 40) == (False, "repeated")
    assert crossings.claims(wire.rule_key, NOW + CROSSING_HOLD_MS)
    assert crossings.claims(wire.rule_key, NOW + CROSSING_HOLD_MS + 1) == {}


def test_late_early_unknown_and_settling_never_count() -> None:
    crossings, wire = Crossings(), compiled('queue{instance=~"db.*"} > 1')
    assert take(crossings, wire, NOW - CROSSING_LATE_MS - 1, NOW) == (False, "late")
    assert take(crossings, wire, NOW + 60_000, NOW) == (False, "late")
    assert take(crossings, wire, NOW, NOW, settling=True) == (False, "settling")
    assert take(crossings, compiled('queue{instance="web"} > 1'), NOW, NOW) == (False, "unknown")
    other = (wire.rule_key + "x", True, NOW, 1.0)
    assert not crossings.take({wire.rule_key: wire}, "db-1", other, {}, NOW, False)
    assert not crossings.waits


def test_crossing_back_ends_the_claim() -> None:
    crossings, wire = Crossings(), compiled("queue > 1")
    take(crossings, wire, NOW, NOW)
    take(crossings, wire, NOW + 100, NOW + 100, active=False)
    assert crossings.rules_due() == {wire.rule_key}
    assert crossings.claims(wire.rule_key, NOW + 100) == {}


def test_a_claim_fires_by_the_rule_and_the_samples_decide_after_it() -> None:
    rule, _ = rule_of("queue > 1")
    runner = AlertRunner(rule, Outside())
    says: list[tuple[str, float]] = []

    def ask(expr: str, ts_ms: int) -> Vector:
        import numpy as np

        if "timestamp" in expr:
            return [labels_of({"instance": "db-1"})], np.array([ts_ms / 1000])
        if "bool" in expr:
            return [metric("queue", run="1", instance="db-1", job="node")], np.array([0.0])
        names = [metric("queue", run=r, instance="db-1", job="node") for r, _ in says]
        return names, np.array([v for _, v in says])

    claims = {LABELS: Claim(LABELS, 7.0, NOW - 30)}
    (told,) = runner.evaluate(ask, NOW, False, 0, claims)
    assert told.change.event is Event.FIRED
    assert (told.value, told.sampled_ms) == (7.0, NOW - 30)
    # the ordinary samples agree: it is the same alert, and stays without the claim
    says.append(("1", 9.0))
    assert runner.evaluate(ask, NOW + 1_000, False, 0, claims) == []
    assert runner.evaluate(ask, NOW + 4_000, False, 0) == []
    # they disagree
    says.clear()
    assert [t.change.event for t in runner.evaluate(ask, NOW + 5_000, False, 0)] == [Event.RESOLVED]


def test_a_claim_that_the_samples_deny_is_resolved() -> None:
    rule, _ = rule_of("queue > 1")
    runner = AlertRunner(rule, Outside())

    def ask(expr: str, ts_ms: int) -> Vector:
        import numpy as np

        there = [metric("queue", run="1", instance="db-1", job="node")] if "bool" in expr else []
        return there, np.zeros(len(there))

    claims = {LABELS: Claim(LABELS, 7.0, NOW)}
    assert [t.change.event for t in runner.evaluate(ask, NOW, False, 0, claims)] == [Event.FIRED]
    assert runner.evaluate(ask, NOW + 2_000, False, 0, claims) == []
    assert [t.change.event for t in runner.evaluate(ask, NOW + 3_100, False, 0)] == [Event.RESOLVED]
