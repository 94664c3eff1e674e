"""The agent's settings: one frozen object, read once at start from `agent.toml`.

Unknown keys, wrong types and values out of range are fatal; the message is one sentence that
names the key and the fix.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from vezha.agent import limits, toml
from vezha.agent.catalogue import BY_NAME, Option
from vezha.agent.errors import ConfigError
from vezha.world import World

CONFIG_NAME = "agent.toml"
MiB = 1024 * 1024


@dataclass(frozen=True)
class CollectorSettings:
    """One collector's settings as given; None means the catalogue's default."""

    enabled: bool | None = None
    interval_s: int | None = None
    timeout_s: float | None = None
    options: Mapping[str, Option] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class ScriptSettings:
    """Whether signed administration scripts may run here. Never set from the server."""

    enabled: bool = False
    allowed: tuple[str, ...] = ()
    """Names of scripts that may run; empty: every signed one."""
    user: str = ""
    """The user as whom they run where the agent is root; empty: as the script is signed, else
    nobody."""


@dataclass(frozen=True)
class PluginSettings:
    """Whether checks may run programs (Nagios plugins) here. Never set from the server."""

    enabled: bool = False
    allowed: tuple[str, ...] = ()
    """Programs, or folders of them (ending in /), that may run; empty: every one."""

    def check(self, name: str, program: str) -> None:
        """Raises ConfigError where *program* may not run."""
        if not self.enabled:
            raise ConfigError(
                f"checks.{name} is a plugin, and agent.toml on this host does not have "
                "[plugins] enabled = true"
            )
        real = os.path.realpath(program)
        for one in self.allowed:
            if program == one or (
                one.endswith("/") and real.startswith(os.path.realpath(one) + "/")
            ):
                return
        if self.allowed:
            raise ConfigError(
                f"checks.{name}: {program} is not in plugins.allowed of agent.toml on this host"
            )


@dataclass(frozen=True)
class AgentConfig:
    """Everything that can be set about an agent."""

    server: str = ""
    """`host:port` of the agents' channel; empty until enrolled."""
    name: str = ""
    """The host's name in Vezha; empty = the machine's host name."""
    state: str = "."
    """Folder of identity and spool; default: the folder of `agent.toml`."""
    labels: tuple[tuple[str, str], ...] = ()
    """Host labels (site, role, …) sent at enrolment, sorted."""
    spool_bytes_max: int = 512 * MiB
    spool_age_max_s: int = 7 * 86_400
    proxy: str = ""
    """`http://host:port` of an HTTP proxy; empty = as `HTTPS_PROXY` says; "none" = no proxy."""
    allow_plaintext_loopback: bool = False
    """Speak without TLS, to a loopback address only."""
    tick_interval_s: float = 1.0
    proc: str = "/proc"
    sys: str = "/sys"
    root: str = "/"
    """Where the host's file systems lie, for an agent in a container."""
    collectors: Mapping[str, CollectorSettings] = field(
        default_factory=lambda: MappingProxyType({})
    )
    pinned: tuple[str, ...] = ()
    """Keys of this file that no configuration from the server changes, such as
    `collectors.processes` or `labels.site`."""
    scripts: ScriptSettings = ScriptSettings()
    plugins: PluginSettings = PluginSettings()
    checks: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Tables `[checks.NAME]` as they stand; `vezha.agent.checking` reads them whole."""

    def with_state(self, state: str) -> AgentConfig:
        """The same settings with another state folder."""
        return replace(self, state=state)


def load_config(world: World, path: str) -> AgentConfig:
    """The settings of the file at *path*. Raises `ConfigError`, also when it is absent."""
    return parse_config(read_config(world, path), path, os.path.dirname(os.path.abspath(path)))


def read_config(world: World, path: str) -> str:
    """The text of the file at *path*. Raises `ConfigError`, also when it is absent."""
    try:
        raw = world.disk.read(path, size=limits.CONFIG_BYTES_MAX + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist: enrol this host first (`vezha agent enrol`), or name the "
            "file with --config"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > limits.CONFIG_BYTES_MAX:
        raise ConfigError(f"{path} is larger than {limits.CONFIG_BYTES_MAX} bytes: shorten it")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8: save it as UTF-8 text") from None


def parse_config(text: str, where: str = CONFIG_NAME, state: str = ".") -> AgentConfig:
    """The settings of *text*; *where* names it in errors, *state* is the default state folder."""
    try:
        table = toml.parse(text)
    except toml.TomlError as error:
        raise ConfigError(f"{where}, {error}") from None
    return config_of_table(table, where, state)


def config_of_table(table: toml.Table, where: str = CONFIG_NAME, state: str = ".") -> AgentConfig:
    """The settings of a parsed table. Raises `ConfigError`."""
    try:
        return _config_of(table, state)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


_TEXTS = ("server", "name", "state", "proxy", "proc", "sys", "root")
_KNOWN = (
    *_TEXTS,
    "labels",
    "spool_bytes_max",
    "spool_age_max_s",
    "allow_plaintext_loopback",
    "tick_interval_s",
    "collectors",
    "pinned",
    "scripts",
    "plugins",
    "checks",
)


def _config_of(table: toml.Table, state: str) -> AgentConfig:
    _refuse_unknown(table, _KNOWN, "")
    texts = {key: _text(table[key], key) for key in _TEXTS if key in table}
    texts.setdefault("state", state)
    if texts.get("server") and not re.fullmatch(r"(\[[^\]]+\]|[^:\s]+):\d{1,5}", texts["server"]):
        raise ConfigError('server must be "host:port", such as server = "vezha.example.org:8471"')
    plaintext = table.get("allow_plaintext_loopback", False)
    if not isinstance(plaintext, bool):
        raise ConfigError("allow_plaintext_loopback must be true or false")
    return AgentConfig(
        **texts,
        labels=_labels(table.get("labels", {})),
        spool_bytes_max=_whole(table, "spool_bytes_max", 512 * MiB, MiB, 1024 * 1024 * MiB),
        spool_age_max_s=_whole(table, "spool_age_max_s", 7 * 86_400, 60, 366 * 86_400),
        allow_plaintext_loopback=plaintext,
        tick_interval_s=_number(
            table.get("tick_interval_s", 1.0),
            "tick_interval_s",
            limits.TICK_INTERVAL_MIN_S,
            limits.TICK_INTERVAL_MAX_S,
        ),
        collectors=_collectors(table.get("collectors", {})),
        pinned=_texts(table.get("pinned", []), "pinned"),
        scripts=_scripts(table.get("scripts", {})),
        plugins=_plugins(table.get("plugins", {})),
        checks=_checks(table.get("checks", {})),
    )


def _plugins(table: toml.Value | toml.Table) -> PluginSettings:
    if not isinstance(table, dict):
        raise ConfigError("plugins must be a table: [plugins], then enabled = true or false")
    _refuse_unknown(table, ("enabled", "allowed"), "plugins.")
    enabled = table.get("enabled", False)
    if not isinstance(enabled, bool):
        raise ConfigError("plugins.enabled must be true or false")
    allowed = _texts(table.get("allowed", []), "plugins.allowed")
    for one in allowed:
        if not one.startswith("/"):
            raise ConfigError(f"plugins.allowed has {one}: write absolute paths")
    return PluginSettings(enabled, allowed)


def _checks(table: toml.Value | toml.Table) -> Mapping[str, Any]:
    """Only their shape: what they mean is read where they run, and when they are delivered."""
    if not isinstance(table, dict) or not all(isinstance(one, dict) for one in table.values()):
        raise ConfigError('checks must be tables, such as [checks.shop] with type = "http"')
    if len(table) > limits.CHECKS_MAX:
        raise ConfigError(f"checks has {len(table)} tables, over {limits.CHECKS_MAX}")
    for name, given in table.items():
        assert isinstance(given, dict)
        _texts(given.get("hosts", ["*"]), f"checks.{name}.hosts")
    return MappingProxyType(dict(table))


def _scripts(table: toml.Value | toml.Table) -> ScriptSettings:
    if not isinstance(table, dict):
        raise ConfigError("scripts must be a table: [scripts], then enabled = true or false")
    _refuse_unknown(table, ("enabled", "allowed", "user"), "scripts.")
    enabled = table.get("enabled", False)
    if not isinstance(enabled, bool):
        raise ConfigError("scripts.enabled must be true or false")
    return ScriptSettings(
        enabled,
        _texts(table.get("allowed", []), "scripts.allowed"),
        _text(table.get("user", ""), "scripts.user"),
    )


def _texts(value: toml.Value | toml.Table, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise ConfigError(f'{where} must be a list of texts, such as {where} = ["a", "b"]')
    return tuple(str(one) for one in value)


def _collectors(table: toml.Value | toml.Table) -> Mapping[str, CollectorSettings]:
    if not isinstance(table, dict):
        raise ConfigError("collectors must be tables, such as [collectors.processes]")
    _refuse_unknown(table, BY_NAME, "collectors.")
    found = {}
    for name, given in table.items():
        where = f"collectors.{name}"
        if not isinstance(given, dict):
            raise ConfigError(f"{where} must be a table: [{where}], then enabled = true or false")
        entry = BY_NAME[name]
        _refuse_unknown(given, ("enabled", "interval_s", "timeout_s", *entry.options), f"{where}.")
        enabled = given.get("enabled")
        if enabled is not None and not isinstance(enabled, bool):
            raise ConfigError(f"{where}.enabled must be true or false")
        interval = timeout = None
        if "interval_s" in given:
            interval = _whole(
                given, "interval_s", 1, 1, limits.COLLECTOR_INTERVAL_MAX_S, f"{where}."
            )
        if "timeout_s" in given:
            timeout = _number(
                given["timeout_s"], f"{where}.timeout_s", 0.01, limits.COLLECTOR_TIMEOUT_MAX_S
            )
        options = {
            key: _option(given[key], default, f"{where}.{key}")
            for key, default in entry.options.items()
            if key in given
        }
        found[name] = CollectorSettings(enabled, interval, timeout, MappingProxyType(options))
    return MappingProxyType(found)


def _option(value: toml.Value | toml.Table, default: Option, where: str) -> Option:
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{where} must be true or false")
        return value
    if isinstance(default, int):
        return _whole({where: value}, where, default, 0, 1_000_000)
    if isinstance(default, float):
        return _number(value, where, 0.0, 1e9)
    text = _text(value, where)
    if re.split(r"[._]", where)[-1] in ("exclude", "include", "fields", "devices"):
        try:
            re.compile(text)
        except re.error as error:
            raise ConfigError(f"{where} is not a regular expression ({error})") from None
    return text


def _refuse_unknown(given: Mapping[str, object], known: object, prefix: str) -> None:
    names = [str(name) for name in known]  # type: ignore[attr-defined]
    for key in given:
        if key not in names:
            # Only a mistake pays for this import.
            from difflib import get_close_matches

            close = get_close_matches(key, names, 1)
            fix = f"did you mean {prefix}{close[0]}?" if close else f"known: {', '.join(names)}"
            raise ConfigError(f"unknown setting {prefix}{key}; {fix}")


def _labels(table: toml.Value | toml.Table) -> tuple[tuple[str, str], ...]:
    if not isinstance(table, dict):
        raise ConfigError('labels must be a table, such as [labels] with site = "kyiv"')
    for key, value in table.items():
        if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", key) or key in ("instance", "job"):
            raise ConfigError(
                f"labels.{key}: use letters, digits and _ (and neither instance nor job)"
            )
        if not isinstance(value, str):
            raise ConfigError(f"labels.{key} must be text in double quotes")
    return tuple(sorted((key, str(value)) for key, value in table.items() if value != ""))


def _text(value: toml.Value | toml.Table, where: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be text in double quotes")
    return value


def _whole(
    table: Mapping[str, object], key: str, default: int, low: int, high: int, prefix: str = ""
) -> int:
    value = table.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{prefix}{key} must be a whole number from {low} to {high}")
    return value


def _number(value: object, where: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigError(f"{where} must be a number from {low:g} to {high:g}")
    return float(value)
