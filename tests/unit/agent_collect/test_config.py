"""Settings: read once, unknown ones fatal, each mistake one sentence with the fix."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vezha.agent.catalogue import COLLECTORS
from vezha.agent.collect import CollectorGroups
from vezha.agent.config import AgentConfig, CollectorSettings, load_config, parse_config
from vezha.agent.errors import ConfigError
from vezha.world import World

WHOLE = """
server = "vezha.example.org:8471"
name = "db-1"
spool_bytes_max = 1_073_741_824
spool_age_max_s = 3600
proxy = "http://proxy.example.org:3128"
allow_plaintext_loopback = false
tick_interval_s = 1

[labels]
site = "kyiv"
role = "db"

[collectors.processes]
enabled = false

[collectors.filesystem]
interval_s = 5
timeout_s = 0.3
mount_points_exclude = "^/(dev|proc)($|/)"
"""


def test_everything_can_be_set() -> None:
    config = parse_config(WHOLE, state="/var/lib/vezha-agent")
    assert config.server == "vezha.example.org:8471"
    assert config.labels == (("role", "db"), ("site", "kyiv"))
    assert config.spool_bytes_max == 2**30
    assert config.tick_interval_s == 1.0
    assert config.state == "/var/lib/vezha-agent"
    assert config.collectors["processes"].enabled is False
    filesystem = config.collectors["filesystem"]
    assert (filesystem.interval_s, filesystem.timeout_s) == (5, 0.3)
    assert filesystem.options == {"mount_points_exclude": "^/(dev|proc)($|/)"}


def test_nothing_need_be_set() -> None:
    assert parse_config("", state=".") == AgentConfig()


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_config("").name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('sever = "a:1"', "unknown setting sever; did you mean server?"),
        ("[colectors.cpu]", "unknown setting colectors; did you mean collectors?"),
        ("[collectors.cpus]", "unknown setting collectors.cpus; did you mean collectors.cpu?"),
        ("[collectors.cpu]\nintervals = 1", "did you mean collectors.cpu.interval_s?"),
        ("[collectors.cpu]\nfields = 'x'", "unknown setting collectors.cpu.fields"),
        ("[collectors.cpu]\nenabled = 1", "collectors.cpu.enabled must be true or false"),
        ("[collectors.cpu]\ninterval_s = 0", "must be a whole number from 1 to 3600"),
        ("[collectors.cpu]\ntimeout_s = 5", "must be a number from 0.01 to 0.8"),
        ("[collectors.netstat]\nfields = '('", "is not a regular expression"),
        ("collectors = 1", "collectors must be tables"),
        ('server = "vezha.example.org"', 'server must be "host:port"'),
        ("server = 8471", "server must be text in double quotes"),
        ("tick_interval_s = 0", "tick_interval_s must be a number from 0.1 to 60"),
        ("spool_bytes_max = 10", "spool_bytes_max must be a whole number from 1048576"),
        ("spool_age_max_s = true", "spool_age_max_s must be a whole number"),
        ('allow_plaintext_loopback = "yes"', "must be true or false"),
        ('labels.instance = "x"', "neither instance nor job"),
        ("labels.site = 1", "labels.site must be text"),
        ("name = ", "line 1: a value is expected"),
    ],
)
def test_a_mistake_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(text, "agent.toml")
    assert said in str(error.value)
    assert str(error.value).startswith("agent.toml")
    assert "\n" not in str(error.value)


def test_the_file_names_its_folder_as_state(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text('name = "db-1"\n')
    assert load_config(World(), str(tmp_path / "agent.toml")).state == str(tmp_path)


def test_an_absent_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="enrol this host first"):
        load_config(World(), str(tmp_path / "agent.toml"))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(World(), str(tmp_path / "agent.toml"))
    (tmp_path / "agent.toml").write_bytes(b"#" * 70_000)
    with pytest.raises(ConfigError, match="larger than"):
        load_config(World(), str(tmp_path / "agent.toml"))


def test_all_collectors_off_is_refused() -> None:
    off = {entry.name: CollectorSettings(enabled=False) for entry in COLLECTORS}
    with pytest.raises(ConfigError, match="switch on at least one"):
        CollectorGroups(AgentConfig(collectors=off), World())
