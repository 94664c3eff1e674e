"""Each built-in rule can fire: something of ours makes every metric that it asks for."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import vezha
from vezha.agent.catalogue import COLLECTORS, NETSTAT_FIELDS, VMSTAT_FIELDS
from vezha.agent.collect.host import Host
from vezha.agent.collect.reference import _CHANNEL
from vezha.agent.collect.schedule import collector_of
from vezha.agent.collect.text import FamilyTable
from vezha.alerting.ask import check_expression
from vezha.alerting.rule import AlertRule
from vezha.alerting.rulefile import BUILTIN_FOLDER, find_rule_files, load_rule_files
from vezha.model.columns import MatchOp
from vezha.model.labels import METRIC_NAME
from vezha.query.ast import VectorSelector, walk
from vezha.query.parser import parse
from vezha.world import World

ROOT = Path(vezha.__file__).parent
MAKERS = ("gateway", "checks", "forecast", "server", "delivery", "store")
"""Rooms that write series of their own, besides the agent's collectors."""

PUSHED = {
    "http_requests_total", "nginx_http_requests_total", "http_server_requests_seconds_count",
    "http_server_request_duration_seconds_count",
}  # fmt: skip
"""What applications count and send here themselves, by the names that are usual; besides our own."""

GROUPS = load_rule_files(find_rule_files([BUILTIN_FOLDER]), check_expression).or_raise()
RULES = [rule for group in GROUPS for rule in group.rules if isinstance(rule, AlertRule)]


def asked(rule: AlertRule) -> dict[str, set[str]]:
    """The metrics of a rule's expressions, each with the names of labels that are matched."""
    found: dict[str, set[str]] = {}
    for text in filter(None, (rule.expr, rule.policy.recovery)):
        for node in walk(parse(text)):
            if isinstance(node, VectorSelector):
                (name,) = [m.value for m in node.matchers if m.name == METRIC_NAME]
                labels = {
                    m.name
                    for m in node.matchers
                    if m.op in (MatchOp.EQ, MatchOp.RE) and m.name not in (METRIC_NAME, "job")
                }
                found.setdefault(name, set()).update(labels)
    return found


def spelled(rooms: tuple[str, ...]) -> set[str]:
    """Every text constant in the code of some rooms."""
    return {
        node.value
        for room in rooms
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


SPELLED = spelled(MAKERS) | {f"vezha_store_{name}" for name in spelled(("store",))}
"""What the store counts is shown under a name that is put together."""
AGENT = FamilyTable(
    [
        *(f for entry in COLLECTORS for f in collector_of(entry, Host(World())).families),
        *_CHANNEL,
    ]
)


def test_there_are_rules_and_makers() -> None:
    assert len(RULES) >= 45
    assert AGENT.find("node_load1") is not None
    assert AGENT.find("node_nothing") is None
    assert "vezha_check_up" in SPELLED
    assert "vezha_nothing" not in SPELLED
    assert "vezha_store_nothing" not in SPELLED


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.name)
def test_what_a_rule_asks_for_is_made(rule: AlertRule) -> None:
    metrics = asked(rule)
    assert metrics
    for name, labels in metrics.items():
        if set(name.split("|")) <= PUSHED:
            assert len(metrics) > 1, "a rule must be able to fire by what we make ourselves"
            continue
        family = AGENT.find(name)
        if family is None:
            assert name in SPELLED, f"{rule.name} asks for {name}, which nothing of ours makes"
        elif name.startswith("node_netstat_"):
            assert re.match(NETSTAT_FIELDS, name.removeprefix("node_netstat_")), name
        elif name.startswith("node_vmstat_"):
            assert re.match(VMSTAT_FIELDS, name.removeprefix("node_vmstat_")), name
        elif "*" not in family.name:
            lacking = labels - set(family.labels.split(","))
            assert not lacking, f"{rule.name} matches {lacking} of {name}, which has no such label"
