"""Configuration from the server over the host's own `agent.toml`.

Rules:
1. What says who this host is, whom it talks to and what it allows is never remote.
2. A key that the host's file pins stays as it stands there (or as the default is).
3. Every other key of the signed configuration takes the place of the host's own; keys that it does
   not name stay.
"""

from __future__ import annotations

import copy
import hashlib
import os
from dataclasses import dataclass
from typing import Tuple  # noqa: UP035

from vezha.agent import toml
from vezha.agent.config import (
    CONFIG_NAME,
    AgentConfig,
    config_of_table,
    parse_config,
    read_config,
)
from vezha.agent.errors import ConfigError
from vezha.world import World

FOLDER = "configs"
"""Below the agent's folder: signed configurations by hash."""
NEVER_REMOTE = (
    "server", "name", "state", "proxy", "allow_plaintext_loopback", "proc", "sys", "root",
    "pinned", "scripts", "plugins",
)  # fmt: skip

_Path = Tuple[str, ...]  # noqa: UP006


@dataclass(frozen=True)
class Effective:
    """The settings in use, and how they came about."""

    config: AgentConfig
    text: str
    """As one file would say it."""
    sha256: str
    """Of that text."""
    signed_sha256: str
    """The signed configuration in it, or empty."""
    drift: tuple[str, ...]
    """Keys of the signed configuration that the host's own file overrides."""
    trouble: str = ""
    """Why the signed configuration is not in use although it should be."""


def path_of(state: str, sha256: str) -> str:
    """Where a signed configuration is kept."""
    return f"{state}/{FOLDER}/{sha256}.toml"


def check_signed(content: bytes) -> None:
    """Whether this may be a signed configuration. Raises ConfigError."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ConfigError("the configuration is not UTF-8: save it as UTF-8 text") from None
    parse_config(text, "the configuration")
    for key in toml.parse(text):
        if key in NEVER_REMOTE:
            raise ConfigError(f"{key} is set on each host only, never from the server: take it out")


def check_whole(content: bytes) -> None:
    """`check_signed`, and the checks in it read whole: for who may spend the memory on that.
    Raises ConfigError."""
    check_signed(content)
    config = parse_config(content.decode(), "the configuration")
    if config.checks:
        from vezha.agent.checking import checks_for

        checks_for(config.checks, "", config.plugins, World(), config.state)


def load_effective(world: World, state: str, config: str, signed_sha256: str) -> Effective:
    """The settings of this host: its own file (*config* where named, else `agent.toml` in *state*,
    else the defaults) under the signed configuration of that hash, if it is not empty. A signed
    one that is damaged or does not fit is left out, and told. Raises ConfigError."""
    path = config or f"{state}/{CONFIG_NAME}"
    folder = os.path.dirname(os.path.abspath(path))
    if not config and not world.disk.exists(path):
        own: toml.Table = {}
        base = AgentConfig(state=state)
    else:
        text = read_config(world, path)
        base = parse_config(text, path, folder)
        own = toml.parse(text)
    # a folder named on the command line wins over that of a settings file elsewhere
    home = state if state and (config or not base.state) else base.state
    if not signed_sha256:
        return _effective(base.with_state(home), own, "", ())
    try:
        content = world.disk.read(path_of(home, signed_sha256))
        if hashlib.sha256(content).hexdigest() != signed_sha256:
            raise ConfigError("its file was changed")
        check_signed(content)
        table, drift = merged(own, toml.parse(content.decode()), base.pinned)
        found = config_of_table(table, "the signed configuration", folder)
    except (OSError, ConfigError) as error:
        trouble = f"signed configuration {signed_sha256[:12]} is left out: {error}"
        return _effective(base.with_state(home), own, "", (), trouble)
    return _effective(found.with_state(home), table, signed_sha256, drift)


def _effective(
    config: AgentConfig,
    table: toml.Table,
    signed: str,
    drift: tuple[str, ...],
    trouble: str = "",
) -> Effective:
    text = toml.dump(table)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Effective(config, text, digest, signed, drift, trouble)


def merged(
    own: toml.Table, signed: toml.Table, pinned: tuple[str, ...]
) -> tuple[toml.Table, tuple[str, ...]]:
    """The host's table with the signed one over it, and the keys of the signed one that the host
    keeps otherwise."""
    result, drift = copy.deepcopy(own), []
    for path, value in _leaves(signed, ()):
        if _is_kept(path, pinned):
            if _at(own, path) != value:
                drift.append(".".join(path))
            continue
        place = result
        for key in path[:-1]:
            inner = place.get(key)
            if not isinstance(inner, dict):
                inner = place[key] = {}
            place = inner
        place[path[-1]] = copy.deepcopy(value)
    return result, tuple(sorted(drift))


def _is_kept(path: _Path, pinned: tuple[str, ...]) -> bool:
    if path[0] in NEVER_REMOTE:
        return True
    dotted = ".".join(path)
    return any(dotted == pin or dotted.startswith(f"{pin}.") for pin in pinned)


def _leaves(table: toml.Table, path: _Path) -> list[tuple[_Path, toml.Value]]:
    found: list[tuple[_Path, toml.Value]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            found += _leaves(value, (*path, key))
        else:
            found.append(((*path, key), value))
    return found


def _at(table: toml.Table, path: _Path) -> object:
    place: object = table
    for key in path:
        if not isinstance(place, dict) or key not in place:
            return None
        place = place[key]
    return place
