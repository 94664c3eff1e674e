"""Configuration from the server over the host's own file: what wins, what is refused."""

import hashlib
from pathlib import Path

import pytest

from vezha.agent.errors import ConfigError
from vezha.agent.remote_config import NEVER_REMOTE, check_signed, load_effective, path_of
from vezha.world import World

OWN = """
name = "db-1"
tick_interval_s = 2.0
pinned = ["collectors.processes", "labels.site"]
[labels]
site = "kyiv"
[collectors.processes]
enabled = false
[scripts]
enabled = true
"""
SIGNED = """
tick_interval_s = 1.0
[labels]
site = "lviv"
role = "db"
[collectors.processes]
enabled = true
interval_s = 5
[collectors.systemd]
enabled = false
"""


@pytest.fixture
def state(tmp_path: Path) -> str:
    (tmp_path / "agent.toml").write_text(OWN)
    (tmp_path / "configs").mkdir()
    return str(tmp_path)


def keep(state: str, text: str) -> str:
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    Path(path_of(state, sha256)).write_text(text)
    return sha256


def test_the_signed_one_wins_but_for_what_is_pinned(state: str) -> None:
    sha256 = keep(state, SIGNED)
    found = load_effective(World(), state, "", sha256)
    config = found.config
    assert (config.name, config.tick_interval_s, config.state) == ("db-1", 1.0, state)
    assert dict(config.labels) == {"role": "db", "site": "kyiv"}
    assert config.collectors["processes"].enabled is False
    assert config.collectors["processes"].interval_s is None
    assert config.collectors["systemd"].enabled is False
    assert config.scripts.enabled
    assert found.drift == (
        "collectors.processes.enabled",
        "collectors.processes.interval_s",
        "labels.site",
    )
    assert (found.signed_sha256, found.trouble) == (sha256, "")
    assert found.sha256 == hashlib.sha256(found.text.encode()).hexdigest()


def test_without_a_signed_one_the_own_file_holds(state: str) -> None:
    found = load_effective(World(), state, "", "")
    assert (found.config.tick_interval_s, found.signed_sha256) == (2.0, "")
    assert 'site = "kyiv"' in found.text


def test_without_any_file(tmp_path: Path) -> None:
    found = load_effective(World(), str(tmp_path), "", "")
    assert (found.text, found.config.state) == ("", str(tmp_path))


def test_a_damaged_signed_one_is_left_out_and_told(state: str) -> None:
    sha256 = keep(state, SIGNED)
    Path(path_of(state, sha256)).write_text(SIGNED + "# one byte more\n")
    found = load_effective(World(), state, "", sha256)
    assert (found.config.tick_interval_s, found.signed_sha256) == (2.0, "")
    assert "was changed" in found.trouble
    gone = load_effective(World(), state, "", "0" * 64)
    assert "left out" in gone.trouble


@pytest.mark.parametrize("key", NEVER_REMOTE)
def test_what_is_never_remote(key: str) -> None:
    text = {
        "pinned": 'pinned = ["labels"]',
        "scripts": "[scripts]\nenabled = true",
        "plugins": "[plugins]\nenabled = true",
        "allow_plaintext_loopback": "allow_plaintext_loopback = true",
        "server": 'server = "a:1"',
    }.get(key, f'{key} = "x"')
    with pytest.raises(ConfigError, match="never from the server"):
        check_signed(text.encode())


def test_the_agents_own_parser_judges() -> None:
    check_signed(SIGNED.encode())
    for wrong in (b"tick_interval_s = 0", b"colectors = 1", b"\xff", b"a = "):
        with pytest.raises(ConfigError):
            check_signed(wrong)
