"""Ready-made rule collections of the field load as they are, pass the check, and can be evaluated.

The files in `collections/` are written for these tests in the manner of well-known ones.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vezha.alerting.ask import ask_of, check_expression
from vezha.alerting.loop import Alerting, AlertingSettings
from vezha.alerting.rule import AlertRule, Group, RecordRule
from vezha.alerting.rulefile import load_rule_files
from vezha.alerting.runner import AlertRunner, Outside, RecordRunner
from vezha.cli.rule import app
from vezha.ledger import Ledger
from vezha.model.columns import Values
from vezha.model.labels import Labels, labels_of, metric
from vezha.query import Engine
from vezha.query.memory import MemorySource
from vezha.world import World

FOLDER = Path(__file__).parent / "collections"
FILES = sorted(FOLDER.glob("*.yml"))
NEWER = {"utf8", "mixin_kubernetes", "alertmanager"}
"""What a Prometheus later than Debian's reads: names in UTF-8, labels of groups, `now` …"""
NOW_MS = 1_700_000_000_000


def groups_of(*names: str) -> list[Group]:
    paths = [str(FOLDER / f"{name}.yml") for name in names] or [str(p) for p in FILES]
    loaded = load_rule_files(paths, check_expression)
    assert loaded.problems == {}
    return loaded.groups


def rule(groups: list[Group], name: str) -> AlertRule:
    (found,) = [r for g in groups for r in g.rules if r.name == name]
    assert isinstance(found, AlertRule)
    return found


def test_there_are_collections_of_each_kind() -> None:
    rules = [r for g in groups_of() for r in g.rules]
    assert len(FILES) >= 9
    assert sum(isinstance(r, AlertRule) for r in rules) >= 45
    assert sum(isinstance(r, RecordRule) for r in rules) >= 10


@pytest.mark.peer("promtool")
def test_promtool_takes_them_too(peer_path: Callable[[str], str]) -> None:
    """What we say of ourselves with a file that Prometheus refuses would prove nothing."""
    plain = [str(p) for p in FILES if p.stem not in NEWER]
    done = subprocess.run(
        [peer_path("promtool"), "check", "rules", *plain], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_each_is_checked_by_the_command_and_evaluates(path: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(path)])
    assert done.exit_code == 0, done.output
    assert "0 faults" in done.output
    ask = ask_of(Engine(MemorySource()))
    (loaded,) = [load_rule_files([str(path)], check_expression)]
    for group in loaded.groups:
        for one in group.rules:
            if isinstance(one, AlertRule):
                AlertRunner(one, Outside()).evaluate(ask, NOW_MS, False, group.limit)
            else:
                RecordRunner(one).evaluate(ask, NOW_MS, group.limit)


def test_what_stands_at_a_group_is_kept() -> None:
    groups = groups_of("mixin_kubernetes")
    apps = groups[0]
    assert (apps.interval_ms, apps.limit, apps.query_offset_ms) == (30_000, 500, 10_000)
    crash = rule(groups, "KubePodCrashLooping")
    assert (crash.for_ms, crash.keep_ms) == (900_000, 300_000)
    assert {n: t.source for n, t in crash.labels} == {
        "cluster": "prod", "tier": "platform", "severity": "warning",
    }  # fmt: skip


def test_templates_that_query_and_label_templates_are_expanded() -> None:
    source = MemorySource()
    of = {"job": "kube-state-metrics", "namespace": "shop", "deployment": "web"}
    for minute in range(30):
        at_ms = NOW_MS - (29 - minute) * 60_000
        source.append(metric("kube_deployment_spec_replicas", **of), at_ms, 9.0)
        source.append(metric("kube_deployment_status_replicas_available", **of), at_ms, 2.0)
        source.append(metric("kube_deployment_status_replicas_updated", **of), at_ms, 2.0)
        for pod in ("web-b", "web-a"):
            labels = metric("kube_pod_status_phase", namespace="shop", pod=pod)
            source.append(labels, at_ms, 1.0)
    runner = AlertRunner(rule(groups_of("mixin_kubernetes"), "KubeDeploymentReplicasMismatch"),
                         Outside({"cluster": "prod"}, "https://v.test/x"))  # fmt: skip
    ask = ask_of(Engine(source))
    told = []
    for minute in range(-16, 1):
        told += runner.evaluate(ask, NOW_MS + minute * 60_000, False, 500)
    fired = told[-1]
    shown = dict(fired.change.labels)
    assert (shown["severity"], shown["cluster"]) == ("critical", "prod")
    text = fired.annotations["description"]
    assert text.startswith("Deployment shop/web has not matched")
    assert text.endswith("Pods: web-a=1 web-b=1 ")


def test_names_in_utf8_are_evaluated_and_written(tmp_path: Path) -> None:
    source = MemorySource()
    queue = labels_of({"__name__": "http.server.queue.length", "service.name": "магазин"})
    requests = labels_of({"__name__": "http.server.requests", "service.name": "магазин"})
    now_s = World().clock.now()
    for second in range(-300, 1, 10):
        at_ms = int((now_s + second) * 1000)
        source.append(queue, at_ms, 150.0)
        source.append(requests, at_ms, 3000.0 + 10 * second)
    written: list[Labels] = []

    def write(series: list[Labels], ts_ms: int, values: Values) -> None:
        written.extend(series)

    ledger = Ledger.open(str(tmp_path / "ledger.db"))
    ledger.migrate()
    settings = AlertingSettings(builtin=False, settle_ms=0)
    alerting = Alerting(
        Engine(source), ledger, write, World(), [str(FOLDER / "utf8.yml")], settings
    )
    assert alerting.problems == {}
    alerting.tick()
    names = {dict(labels)["__name__"] for labels in written}
    assert "служба:запити:rate5m" in names
    (pending,) = [dict(s) for s in written if ("__name__", "ALERTS") in s]
    assert (pending["alertname"], pending["service.name"]) == ("Черга росте", "магазин")
    ledger.close()


def test_anchors_and_folded_text_are_read() -> None:
    groups = groups_of("anchors")
    assert rule(groups, "A").expr == rule(groups, "B").expr == "node_load5 > 10"
    assert (rule(groups, "B").for_ms, rule(groups, "C").keep_ms) == (0, 5_400_000)
