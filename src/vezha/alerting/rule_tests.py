"""Runs unit tests of rules: the file format of `promtool test rules`.

Format: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/ . The rules
run through the same runner as in the server, over samples in memory, without a settle period. An
annotation that a test does not name and that is Vezha's own (`vezha_…`, `…_uk`) is not compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vezha.alerting.ask import Ask, ask_of, check_expression
from vezha.alerting.durations import format_duration, parse_duration
from vezha.alerting.errors import EvaluationError, RuleError
from vezha.alerting.notation import parse_series, parse_values
from vezha.alerting.rule import AlertRule, Group
from vezha.alerting.rulefile import load_rule_files
from vezha.alerting.runner import AlertRunner, Outside, RecordRunner
from vezha.alerting.state import State
from vezha.model.columns import Values
from vezha.model.labels import Labels, format_labels
from vezha.query import Engine
from vezha.query.memory import MemorySource

_STEPS_MAX = 100_000
_FIRING = (State.FIRING, State.KEEPING, State.FLAPPING)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test of a file: its name, and its failures (none: passed)."""

    name: str
    failures: tuple[str, ...]


@dataclass(slots=True)
class _Alert:
    labels: dict[str, str]
    annotations: dict[str, str]


class _Suite:
    """One test: rules over made-up samples."""

    def __init__(self, groups: Sequence[Group], outside: Outside) -> None:
        self.source = MemorySource()
        engine = Engine(self.source)
        self.ask: Ask = ask_of(engine)
        self.ask_to_record: Ask = ask_of(engine, parts=True)
        self.alerts: list[tuple[str, AlertRunner]] = []
        self.runners: list[tuple[Group, AlertRunner | RecordRunner]] = []
        for group in groups:
            for rule in group.rules:
                if isinstance(rule, AlertRule):
                    runner = AlertRunner(rule, outside)
                    self.alerts.append((group.name, runner))
                    self.runners.append((group, runner))
                else:
                    self.runners.append((group, RecordRunner(rule)))

    def step(self, ts_ms: int) -> None:
        """Evaluate every rule once."""
        for group, runner in self.runners:
            if isinstance(runner, RecordRunner):
                self._write(*runner.evaluate(self.ask_to_record, ts_ms, group.limit), ts_ms)
            else:
                runner.evaluate(self.ask, ts_ms, False, group.limit)
                self._write(*runner.series(), ts_ms)

    def _write(self, labels: Sequence[Labels], values: Values, ts_ms: int) -> None:
        for one, value in zip(labels, values, strict=True):
            self.source.append(one, ts_ms, float(value))

    def firing(self, name: str, group: str, ts_ms: int) -> list[_Alert]:
        """Alerts that fire now, with their texts as of now."""
        out = []
        for group_name, runner in self.alerts:
            if runner.rule.name != name or (group and group_name != group):
                continue
            values = {}
            for labels, value in zip(*self.ask(runner.rule.expr, ts_ms), strict=True):
                values[runner.final(labels, float(value), self.ask, ts_ms)] = (labels, float(value))
            for row in runner.instances.open_rows():
                if State(int(runner.instances.state[row])) not in _FIRING:
                    continue
                labels = runner.instances.labels[row]
                texts = runner.annotations.get(labels, {})
                if labels in values:
                    texts = runner.expand(*values[labels], self.ask, ts_ms)
                out.append(_Alert(dict(labels), texts))
        return out


def run_test_file(path: str) -> list[Outcome]:
    """Run all tests of a file. Raises RuleError for a file that cannot be run."""
    try:
        tree = yaml.load(Path(path).read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506
    except OSError as fault:
        raise RuleError([f"{path}: cannot be read: {fault.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise RuleError([f"{path}: {fault}"]) from None
    if not isinstance(tree, dict):
        raise RuleError([f"{path}: a test file is a mapping with rule_files and tests"])
    _known(tree, _FILE_KEYS, path)
    try:
        groups = _rules(tree, path)
        order = tree.get("group_eval_order") or []
        groups.sort(key=lambda g: order.index(g.name) if g.name in order else len(order))
        every_ms = _duration(tree, "evaluation_interval", 60_000, path)
        tests = tree.get("tests") or []
        return [_run(test, groups, every_ms, path, i + 1) for i, test in enumerate(tests)]
    except (KeyError, TypeError, AttributeError) as fault:
        raise RuleError([f"{path}: not the form of a rule test: {fault}"]) from None


_FILE_KEYS = {"rule_files", "evaluation_interval", "group_eval_order", "tests", "fuzzy_compare"}
_TEST_KEYS = {
    "name", "interval", "input_series", "alert_rule_test", "promql_expr_test", "external_labels",
    "external_url", "start_timestamp",
}  # fmt: skip


def _known(tree: Mapping[str, Any], keys: set[str], where: str) -> None:
    if unknown := sorted(set(tree) - keys):
        raise RuleError([f"{where}: {', '.join(unknown)} is not known in a rule test"])


def _duration(tree: Mapping[str, Any], key: str, default_ms: int, where: str) -> int:
    if key not in tree:
        return default_ms
    try:
        return parse_duration(str(tree[key]))
    except ValueError as fault:
        raise RuleError([f"{where}: {key}: {fault}"]) from None


def _rules(tree: Mapping[str, Any], path: str) -> list[Group]:
    paths: list[str] = []
    for pattern in tree.get("rule_files") or []:
        folder = Path(path).parent
        found = sorted(folder.glob(pattern)) if not Path(pattern).is_absolute() else [Path(pattern)]
        if not found:
            raise RuleError([f"{path}: rule_files: there is no {pattern}"])
        paths += [str(p) for p in found]
    return load_rule_files(paths, check_expression).or_raise()


def _run(
    test: Mapping[str, Any], groups: Sequence[Group], every_ms: int, path: str, number: int
) -> Outcome:
    name = str(test.get("name") or f"test {number}")
    where = f"{path}: {name}"
    _known(test, _TEST_KEYS, where)
    external = {str(n): str(v) for n, v in (test.get("external_labels") or {}).items()}
    suite = _Suite(groups, Outside(external, str(test.get("external_url") or "")))
    interval_ms = _duration(test, "interval", every_ms, where)
    for series in test.get("input_series") or []:
        labels = parse_series(str(series["series"]))
        for i, value in enumerate(parse_values(str(series["values"]))):
            if value is not None:
                suite.source.append(labels, i * interval_ms, value)
    alert_tests = test.get("alert_rule_test") or []
    expr_tests = test.get("promql_expr_test") or []
    moments = [_duration(t, "eval_time", 0, where) for t in [*alert_tests, *expr_tests]]
    last_ms = max(moments, default=0)
    if last_ms // max(every_ms, 1) > _STEPS_MAX:
        raise RuleError([f"{where}: more than {_STEPS_MAX} evaluations"])
    failures: list[str] = []
    pending = sorted(alert_tests, key=lambda t: _duration(t, "eval_time", 0, where))
    try:
        for ts_ms in range(0, last_ms + 1, every_ms):
            suite.step(ts_ms)
            while pending and _duration(pending[0], "eval_time", 0, where) < ts_ms + every_ms:
                failures += _check_alerts(suite, pending.pop(0), ts_ms, where)
        for expr_test in expr_tests:
            failures += _check_expr(suite, expr_test, where)
    except EvaluationError as fault:
        failures.append(f"evaluation failed: {fault}")
    return Outcome(name, tuple(failures))


def _check_alerts(suite: _Suite, test: Mapping[str, Any], ts_ms: int, where: str) -> list[str]:
    _known(test, {"eval_time", "alertname", "groupname", "exp_alerts"}, where)
    name = str(test["alertname"])
    got = suite.firing(name, str(test.get("groupname") or ""), ts_ms)
    wanted = []
    for alert in test.get("exp_alerts") or []:
        _known(alert, {"exp_labels", "exp_annotations"}, where)
        labels = {str(n): str(v) for n, v in (alert.get("exp_labels") or {}).items()}
        texts = alert.get("exp_annotations")
        if texts is not None:
            texts = {str(n): str(v) for n, v in texts.items()}
        wanted.append(({**labels, "alertname": name}, texts))
    failures = []
    at = f"{name} at {format_duration(ts_ms)}"
    left = list(got)
    for labels, texts in wanted:
        same = [a for a in left if a.labels == labels]
        match = next((a for a in same if texts is None or _same_texts(a.annotations, texts)), None)
        if match is not None:
            left.remove(match)
        elif same:
            shown = _relevant(same[0].annotations, texts or {})
            failures.append(f"{at}: annotations are {shown}, expected {texts}")
            left.remove(same[0])
        else:
            failures.append(f"{at}: expected to fire and does not: {_show(labels)}")
    failures += [f"{at}: fires and is not expected: {_show(a.labels)}" for a in left]
    return failures


def _show(labels: Mapping[str, str]) -> str:
    return format_labels(tuple(sorted(labels.items())))


def _relevant(got: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    return {
        n: v
        for n, v in got.items()
        if n in wanted or not (n.startswith("vezha_") or n.endswith("_uk"))
    }


def _same_texts(got: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return _relevant(got, wanted) == dict(wanted)


def _check_expr(suite: _Suite, test: Mapping[str, Any], where: str) -> list[str]:
    _known(test, {"expr", "eval_time", "exp_samples"}, where)
    expr = str(test["expr"])
    ts_ms = _duration(test, "eval_time", 0, where)
    got = {labels: float(v) for labels, v in zip(*suite.ask(expr, ts_ms), strict=True)}
    wanted = {
        parse_series(str(s.get("labels") or "")): float(s["value"])
        for s in test.get("exp_samples") or []
    }
    at = f"{expr} at {format_duration(ts_ms)}"
    failures = []
    for labels in sorted(set(got) | set(wanted)):
        shown = format_labels(labels) if labels else "{}"
        if labels not in got:
            failures.append(f"{at}: expected {shown} {wanted[labels]:g}, got nothing")
        elif labels not in wanted:
            failures.append(f"{at}: {shown} {got[labels]:g} is not expected")
        elif not _close(got[labels], wanted[labels]):
            failures.append(f"{at}: {shown} is {got[labels]:g}, expected {wanted[labels]:g}")
    return failures


def _close(a: float, b: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or math.isclose(a, b, rel_tol=1e-9)
