"""Rule files: what loads, and what is said about what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vezha.alerting.ask import check_expression
from vezha.alerting.durations import format_duration, parse_duration
from vezha.alerting.errors import RuleError
from vezha.alerting.rule import AlertRule, NoData, RecordRule
from vezha.alerting.rule_tests import run_test_file
from vezha.alerting.rulefile import (
    BUILTIN_FOLDER,
    find_rule_files,
    load_rule_files,
    parse_rule_file,
)

COLLECTION = r"""
groups:
- name: node-exporter
  interval: 30s
  limit: 100
  query_offset: 1m
  labels: {team: platform}
  rules:
  - alert: NodeFilesystemSpaceFillingUp
    annotations:
      description: Filesystem on {{ $labels.device }} at {{ $labels.instance }} has only {{ printf "%.2f" $value }}% available space left and is filling up.
      runbook_url: https://runbooks.example.org/runbooks/node/nodefilesystemspacefillingup
      summary: Filesystem is predicted to run out of space within the next 24 hours.
    expr: |
      (
        node_filesystem_avail_bytes{job="node",fstype!="",mountpoint!=""} / node_filesystem_size_bytes{job="node",fstype!="",mountpoint!=""} * 100 < 15
      and
        predict_linear(node_filesystem_avail_bytes{job="node",fstype!="",mountpoint!=""}[6h], 24*60*60) < 0
      )
    for: 1h
    keep_firing_for: 5m
    labels:
      severity: warning
      odd: 0x10
      answer: yes
  - expr: |
      count without (cpu, mode) (node_cpu_seconds_total{job="node",mode="idle"})
    record: instance:node_num_cpu:sum
  - alert: HostOutOfDiskSpace
    expr: (node_filesystem_avail_bytes * 100) / node_filesystem_size_bytes < 10 and ON (instance, device, mountpoint) node_filesystem_readonly == 0
    annotations:
      description: "Disk is almost full (< 10% left)\n  VALUE = {{ $value }}\n  LABELS = {{ $labels }}"
"""


def problems(text: str) -> str:
    with pytest.raises(RuleError) as caught:
        parse_rule_file(text, "my.yml", check_expression)
    return str(caught.value)


def test_ready_made_collections_load_unchanged() -> None:
    (group,) = parse_rule_file(COLLECTION, "c.yml", check_expression)
    assert (group.interval_ms, group.limit, group.query_offset_ms) == (30_000, 100, 60_000)
    filling, cores, _full = group.rules
    assert isinstance(filling, AlertRule)
    assert (filling.for_ms, filling.keep_ms) == (3_600_000, 300_000)
    assert {n: t.source for n, t in filling.labels} == {
        "severity": "warning",
        "team": "platform",
        "odd": "0x10",
        "answer": "yes",
    }
    assert isinstance(cores, RecordRule)
    assert len({rule.key for rule in group.rules}) == 3


def test_what_vezha_adds_stands_in_annotations_or_a_block() -> None:
    text = """
groups:
- name: g
  rules:
  - alert: A
    expr: x > 1
    annotations: {vezha_recovery: x < 0.5, vezha_no_data: resolve, vezha_next: Look., summary: s}
  - alert: B
    expr: x > 1
    vezha: {recovery: x < 0.5, no_data: keep, late: 5m, team: db}
"""
    (group,) = parse_rule_file(text, "v.yml", check_expression)
    first, second = group.rules
    assert isinstance(first, AlertRule)
    assert isinstance(second, AlertRule)
    assert (first.policy.recovery, first.policy.no_data) == ("x < 0.5", NoData.RESOLVE)
    assert [n for n, _ in first.annotations] == ["summary", "vezha_next"]
    assert (second.policy.no_data, second.policy.late_ms, second.policy.team) == (
        NoData.KEEP,
        300_000,
        "db",
    )


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{alert: A}", 'my.yml:4: group "g", rule "A": expr is missing'),
        ("{expr: up}", "a rule has neither alert nor record"),
        ("{alert: A, record: b, expr: up}", "a rule has both alert and record"),
        ("{alert: A, expr: 'up ==='}", 'rule "A": expr: 1:'),
        ("{alert: A, expr: 'up[5m]'}", "gives a range vector"),
        ("{alert: A, expr: up, for: 5 minutes}", 'for: "5 minutes" is not a duration'),
        ("{alert: A, expr: up, fro: 5m}", '"fro" is not known here'),
        ("{alert: A, expr: up, labels: {__name__: c}}", '"__name__" cannot be a label\'s name'),
        ("{alert: A, expr: up, annotations: {s: '{{ nope }}'}}", 'there is no function "nope"'),
        ("{alert: A, expr: up, annotations: {vezha_recovry: up}}", '"recovry" is not known'),
        ("{alert: A, expr: up, vezha: {no_data: maybe}}", "it can be unknown, resolve, keep"),
        ("{alert: A, expr: up, vezha: {recovery: 'up ='}}", "recovery: 1:"),
        ('{record: "a\\tb", expr: up}', "is not a metric name"),
        ("{record: a, expr: up, for: 5m}", "a recording rule cannot have for"),
        ("{alert: A, expr: up, expr: down}", 'the key "expr" stands twice'),
        ("[]", "a rule is a mapping"),
    ],
)
def test_faults_name_file_rule_and_fix(rule: str, said: str) -> None:
    text = f"groups:\n- name: g\n  rules:\n  - {rule}\n"
    assert said in problems(text)


def test_all_faults_are_told_at_once() -> None:
    text = "groups:\n- name: g\n  rules:\n  - {alert: A}\n  - {expr: up}\n- name: g\n  limit: -1\n"
    found = problems(text).splitlines()
    assert len(found) == 4


@pytest.mark.parametrize(
    "text", ["groups: 5", "rules: []", "- a", "groups:\n  - {", "groups:\n- 5", "\t", "a: &a [*a]"]
)
def test_what_is_no_rule_file_is_refused(text: str) -> None:
    assert "my.yml" in problems(text)


def test_a_broken_file_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    (tmp_path / "good.yml").write_text("groups: [{name: g, rules: [{alert: A, expr: up}]}]")
    (tmp_path / "bad.yml").write_text("groups: [{name: h, rules: [{alert: A}]}]")
    (tmp_path / "latin.yml").write_bytes(b"\xff\xfe")
    loaded = load_rule_files(find_rule_files([str(tmp_path), "absent"]), check_expression)
    assert [g.name for g in loaded.groups] == ["g"]
    assert sorted(Path(p).name for p in loaded.problems) == ["bad.yml", "latin.yml"]


def test_the_builtin_pack_is_whole() -> None:
    loaded = load_rule_files(find_rule_files([BUILTIN_FOLDER]), check_expression)
    assert loaded.problems == {}
    for group in loaded.groups:
        for rule in group.rules:
            assert isinstance(rule, AlertRule)
            named = {n for n, _ in rule.annotations}
            wanted = {"summary", "summary_uk"} | {
                f"vezha_{w}"
                for w in ("title", "title_uk", "meaning", "next", "next_uk", "checklist")
            }
            assert wanted <= named, f"{rule.name} lacks {wanted - named}"
            assert any(n == "severity" for n, _ in rule.labels)


@pytest.mark.parametrize(
    "path",
    sorted((Path(__file__).parents[2] / "scenarios/alerting/packs").glob("*.test.yml")),
    ids=lambda p: p.name,
)
def test_the_pack_passes_its_own_tests(path: Path) -> None:
    outcomes = run_test_file(str(path))
    assert outcomes
    assert [o for o in outcomes if o.failures] == []


def test_a_rule_test_can_fail(tmp_path: Path) -> None:
    (tmp_path / "r.yml").write_text(
        "groups: [{name: g, rules: [{alert: A, expr: x > 1, annotations: {s: 'v {{ $value }}'}}]}]"
    )
    test = """
rule_files: [r.yml]
evaluation_interval: 1m
tests:
- name: t
  input_series: [{series: 'x{a="b"}', values: '0 2 3 _ stale'}]
  alert_rule_test:
  - {eval_time: 1m, alertname: A, exp_alerts: [{exp_labels: {a: b}, exp_annotations: {s: v 2}}]}
  - {eval_time: 2m, alertname: A, exp_alerts: [{exp_labels: {a: b}, exp_annotations: {s: v 2}}]}
  - {eval_time: 2m, alertname: A, exp_alerts: []}
  - {eval_time: 0m, alertname: A, exp_alerts: [{exp_labels: {a: c}}]}
  promql_expr_test:
  - {expr: x, eval_time: 1m, exp_samples: [{labels: 'x{a="b"}', value: 2}]}
  - {expr: x, eval_time: 1m, exp_samples: [{labels: 'x{a="b"}', value: 9}]}
"""
    (tmp_path / "t.yml").write_text(test)
    (outcome,) = run_test_file(str(tmp_path / "t.yml"))
    assert len(outcome.failures) == 4
    assert any("annotations are" in f for f in outcome.failures)
    assert any("is not expected" in f for f in outcome.failures)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("90s", 90_000), ("1h30m", 5_400_000), ("250ms", 250), ("1d", 86_400_000)],
)
def test_durations(text: str, ms: int) -> None:
    assert parse_duration(text) == ms
    assert parse_duration(format_duration(ms)) == ms


@pytest.mark.parametrize("text", ["", "5", "m5", "5m1h", "-5m", "1.5h", "5 m"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)
