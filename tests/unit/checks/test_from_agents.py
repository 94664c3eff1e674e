"""Checks that agents run: who runs which, what they are told, and what is known of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomllib

from vezha.agent import toml
from vezha.agent.checking import checks_for
from vezha.agent.config import PluginSettings
from vezha.agent.errors import ConfigError
from vezha.agent.remote_config import check_whole
from vezha.api.checks import Found, HostSeen, hosts_of, rows_of, table_for
from vezha.checks.check import Check
from vezha.checks.errors import CheckConfigError
from vezha.server.checking import parse_file
from vezha.world import World

FILE = """
defaults: {interval: 2s, timeout: 500ms}
checks:
  - {name: shop, type: http, targets: ["https://shop.example/"], status: [200, 3xx],
     headers: {X-Who: vezha}, password_file: shop.password, username: us,
     from: {role: web, site: kyiv}, interval: 1m30s}
  - {name: raid, type: plugin, command: [/bin/check_raid, -v], from: 'role=~"db|web"'}
  - {name: all, type: ping, targets: [gw.example], from: '{}'}
  - {name: here, type: tcp, targets: ["mail.example:25"]}
"""
HOSTS = {
    "web-1": HostSeen({"role": "web", "site": "kyiv"}, {}),
    "web-2": HostSeen({"role": "web", "site": "lviv"}, {}),
    "db-1": HostSeen({"role": "db", "site": "kyiv"}, {}),
}


def parsed(text: str = FILE) -> dict[str, Check]:
    def nothing(path: str) -> bytes:
        raise FileNotFoundError(2, "not on the server", path)

    return {check.name: check for check in parse_file(text, nothing, "checks.yml")}


def told() -> dict[str, Any]:
    return {
        name: table_for(check, hosts_of(check, HOSTS))
        for name, check in parsed().items()
        if check.seen_from
    }


def test_hosts_are_those_that_the_selector_fits() -> None:
    checks = parsed()
    assert hosts_of(checks["shop"], HOSTS) == ["web-1"]
    assert hosts_of(checks["raid"], HOSTS) == ["db-1", "web-1", "web-2"]
    assert table_for(checks["all"], hosts_of(checks["all"], HOSTS))["hosts"] == ["*"]
    assert checks["here"].seen_from == ""
    assert checks["here"].entry == {}


def test_what_an_agent_is_told_comes_back_as_it_was_meant(tmp_path: Path) -> None:
    text = toml.dump({"checks": told()})
    check_whole(text.encode())
    assert tomllib.loads(text) == {"checks": told()}
    tables: Any = toml.parse(text)["checks"]
    (tmp_path / "shop.password").write_text("let me in")
    plugins = PluginSettings(True, ("/bin/",))
    ran = checks_for(tables, "web-1", plugins, World(), str(tmp_path))
    asked = parsed()
    assert [check.name for check in ran] == ["all", "raid", "shop"]
    for check in ran:
        meant = asked[check.name]
        same = (
            "kind",
            "targets",
            "interval_s",
            "timeout_s",
            "failures_before_down",
            "slow_after_s",
        )
        for name in same:
            assert getattr(check, name) == getattr(meant, name), (check.name, name)
    assert [c.name for c in checks_for(tables, "db-1", plugins, World(), str(tmp_path))] == [
        "all",
        "raid",
    ]
    assert [c.name for c in checks_for(tables, "other", plugins, World(), str(tmp_path))] == ["all"]


@pytest.mark.parametrize(
    ("plugins", "why"),
    [
        (PluginSettings(), "does not have .plugins. enabled = true"),
        (PluginSettings(True, ("/usr/lib/nagios/",)), "/bin/check_raid is not in plugins.allowed"),
    ],
)
def test_a_plugin_runs_only_where_the_host_allows_it(plugins: PluginSettings, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        checks_for({"raid": told()["raid"]}, "db-1", plugins, World(), ".")
    # when it is only looked at, no host has been asked yet
    checks_for({"raid": told()["raid"]}, "", plugins, World(), ".")


def test_a_folder_that_is_allowed_cannot_be_left_by_a_link_or_dots(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "good").write_text("")
    (tmp_path / "bad").write_text("")
    (folder / "link").symlink_to(tmp_path / "bad")
    plugins = PluginSettings(True, (f"{folder}/",))
    plugins.check("a", f"{folder}/good")
    for wrong in (f"{folder}/link", f"{folder}/../bad", f"{tmp_path}/bad"):
        with pytest.raises(ConfigError, match=r"not in plugins\.allowed"):
            plugins.check("a", wrong)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{name: a, type: heartbeat, period: 1d, token_sha256: x, from: {role: web}}", "heartbeat"),
        ("{name: a, type: ping, targets: [b], from: []}", "must say which hosts"),
        ("{name: a, type: ping, targets: [b], from: {role: 1}}", "write it as"),
        ("{name: a, type: ping, targets: [b], from: 'role=='}", "is not a selector"),
        ("{name: a, type: ping, targets: [b], labels: {from: x}}", "no free label name"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, why: str) -> None:
    with pytest.raises(CheckConfigError, match=why):
        parsed(f"checks: [{text}]")


def test_agents_refuse_what_is_no_check() -> None:
    for wrong, why in (
        ({"a": {"type": "heartbeat", "period": "1d", "token_sha256": "ab" * 32}}, "no heartbeat"),
        ({"a": {"type": "tcp", "targets": ["x"], "colour": "red"}}, "unknown key colour"),
        ({"a": {"type": "tcp", "targets": ["b:1"] * 1, "hosts": "web-1"}}, "must be a list"),
        ({"a": {"type": "tcp", "targets": [f"b:{n}" for n in range(1, 300)]}}, "an agent runs 200"),
    ):
        with pytest.raises(ConfigError, match=why):
            checks_for(wrong, "web-1", PluginSettings(), World(), ".")


def test_what_is_known_of_each_place() -> None:
    checks = list(parsed().values())
    has = told()
    old = {**has["raid"], "interval": "9s"}
    hosts = {
        "web-1": replace(HOSTS["web-1"], checks=has),
        "web-2": replace(HOSTS["web-2"], checks={"raid": old}),
        "db-1": replace(HOSTS["db-1"], checks={"raid": {**has["raid"], "hosts": ["web-1"]}}),
    }
    found = Found(
        up={
            ("shop", "https://shop.example/", "web-1"): 0.0,
            ("raid", "here", "web-1"): 1.0,
            ("raid", "here", "web-2"): 1.0,
            ("here", "mail.example:25", ""): 1.0,
        },
        failures={("shop", "https://shop.example/", "web-1"): 4.0},
        hosts_up={"web-1": 1.0, "web-2": 0.0},
    )
    rows, unplaced = rows_of(checks, hosts, found)
    told_ = {(r["name"], r["seen_from"]): (r["state"], r["delivered"], r["failures"]) for r in rows}
    assert told_ == {
        ("shop", "web-1"): ("down", "yes", 4),
        ("raid", "db-1"): ("unknown", "no", 0),
        ("raid", "web-1"): ("up", "yes", 0),
        # it said up before it was gone: that is not known any more
        ("raid", "web-2"): ("unknown", "old", 0),
        ("all", "db-1"): ("unknown", "no", 0),
        ("all", "web-1"): ("unknown", "yes", 0),
        ("all", "web-2"): ("unknown", "no", 0),
        ("here", ""): ("up", "", 0),
    }
    assert unplaced == []
    assert rows_of(checks, {}, found)[1] == ["shop", "raid", "all"]
