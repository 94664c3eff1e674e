"""The whole set of collectors on this machine, and the page that documents them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from vezha.agent.catalogue import COLLECTORS
from vezha.agent.collect import CollectorGroups, Family
from vezha.agent.collect.reference import page
from vezha.agent.collect.schedule import entries_here
from vezha.agent.collect.text import FamilyTable, format_samples, format_value, is_missing
from vezha.agent.command import _service, default_state
from vezha.agent.config import AgentConfig, CollectorSettings
from vezha.agent.identity import Identity
from vezha.agent.remote_config import load_effective
from vezha.agent.run import Agent
from vezha.model.labels import METRIC_NAME, get_label
from vezha.world import World

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "agent-metrics.md"


def test_the_page_is_what_the_collectors_say() -> None:
    assert PAGE.read_text() == page(), "run: vezha agent metrics > docs/reference/agent-metrics.md"


def test_what_the_run_loop_publishes_is_on_the_page(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(
        'server = "127.0.0.1:1"\nallow_plaintext_loopback = true\n'
    )
    effective = load_effective(World(), str(tmp_path), "", "")
    agent = Agent(effective, Identity("a1", "secret", "host", "127.0.0.1:1"), World())
    names = [family.name for family in agent.groups.families()]
    agent.link.stop()
    agent.link.run()  # ends at once, and closes what it has
    agent.spool.close()
    agent.groups.close()
    text = page()
    assert "vezha_agent_ticks_missed_total" in names
    assert [name for name in names if f"`{name}`" not in text] == []


def test_every_series_is_documented() -> None:
    groups = CollectorGroups(AgentConfig(), World())
    try:
        samples = [group.sample(1.0) for group in groups.due(0)]
        for runner in groups.runners():
            known = FamilyTable(runner.collector.families)
            for labels in runner.collector.series:
                family = known.find(get_label(labels, METRIC_NAME))
                if runner.name == "textfile" and family is None:
                    continue  # other people's names
                assert family is not None, f"{runner.name}: {labels} is not documented"
                allowed = {METRIC_NAME, *family.labels.split(",")}
                assert {name for name, _ in labels} <= allowed, labels
    finally:
        groups.close()
    every = [labels for sample in samples if sample for labels in sample.series]
    assert len(every) == len(set(every)) > 20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's files are Linux's")
def test_no_collector_fails_here() -> None:
    groups = CollectorGroups(AgentConfig(), World())
    try:
        for tick in range(3):
            for group in groups.groups:
                group.sample(float(tick))
        failed = {r.name: r.last_error for r in groups.runners() if r.failures and r.running}
    finally:
        groups.close()
    assert failed == {}


def test_intervals_make_groups_at_different_phases() -> None:
    groups = CollectorGroups(AgentConfig(), World())
    slow = [group for group in groups.groups if group.interval_ticks == 10]
    assert len({(g.interval_ticks, g.phase) for g in groups.groups}) == len(groups.groups)
    assert {group.name for group in groups.due(0)} == {group.name for group in groups.groups}
    # two that hear of changes (systemd, checks) have a group each, the others share one
    assert len(slow) == 3 or not sys.platform.startswith("linux")
    for group in groups.groups:
        due = [tick for tick in range(1, 121) if group.is_due(tick)]
        assert len(due) == 120 // group.interval_ticks
    groups.close()


def test_settings_change_the_groups() -> None:
    config = AgentConfig(
        tick_interval_s=0.5,
        collectors={
            "loadavg": CollectorSettings(interval_s=3, timeout_s=0.4),
            "processes": CollectorSettings(enabled=False),
        },
    )
    groups = CollectorGroups(config, World())
    runners = {runner.name: runner for runner in groups.runners()}
    assert "processes" not in runners
    assert runners["loadavg"].timeout_s == 0.4
    (group,) = [g for g in groups.groups if runners["loadavg"] in g.runners]
    assert group.interval_ticks == 6
    groups.close()


def test_published_series_are_the_agents_own() -> None:
    groups = CollectorGroups(AgentConfig(), World())
    family = Family("vezha_agent_spool_bytes", "gauge", "Bytes spooled.", "lane")
    groups.publish(family, lambda: 12.0, lane="live")
    fast = groups.groups[0].sample(1.0)
    assert fast is not None
    text = format_samples([fast], groups.families())
    assert "# TYPE vezha_agent_spool_bytes gauge" in text
    assert 'vezha_agent_spool_bytes{lane="live"} 12\n' in text
    groups.close()


def test_beyond_linux_what_every_unix_tells_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    names = {entry.name for entry in entries_here()}
    assert {"loadavg", "uname", "filesystem", "portable"} <= names
    assert "cpu" not in names
    groups = CollectorGroups(AgentConfig(proc="/nowhere", sys="/nowhere"), World())
    samples = [group.sample(1.0) for group in groups.due(0)]
    found = {get_label(s, METRIC_NAME) for sample in samples if sample for s in sample.series}
    groups.close()
    assert {"node_load1", "node_uname_info", "node_boot_time_seconds", "node_time_seconds"} <= found
    assert "vezha_host_cores" in found


def test_names_of_the_catalogue_are_unique() -> None:
    assert len({entry.name for entry in COLLECTORS}) == len(COLLECTORS)


def test_a_services_command_line_is_read_without_argparse() -> None:
    assert _service(["run", "--state", "/x"]) == ("/x", "")
    assert _service(["run", "--config", "/c", "--state", "/x"]) == ("/x", "/c")
    assert _service(["run"]) == (default_state(), "")
    assert _service(["run", "--help"]) is None
    assert _service(["run", "--state", "--help"]) is None
    assert _service(["run", "--other", "x"]) is None
    assert _service(["collect"]) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (-0.25, "-0.25"), (1e300, "1e+300"), (2.0**53, "9007199254740992.0")],
)
def test_numbers_are_written_to_be_read_back(value: float, text: str) -> None:
    assert format_value(value) == text
    assert float(text) == value
    assert not is_missing(value)
    assert not is_missing(float("nan"))
    assert re.fullmatch(r"NaN|[+-]Inf", format_value(float("nan")) or "")
