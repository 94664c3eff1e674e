"""`checks.yml`: which checks there are. Strict: nothing is silently left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from vezha.checks import limits
from vezha.checks.connection import forget_contexts
from vezha.checks.dns import DnsProbe
from vezha.checks.domain import DomainProbe
from vezha.checks.errors import CheckConfigError
from vezha.checks.heartbeat import HeartbeatProbe, LastBeat
from vezha.checks.http import HttpProbe
from vezha.checks.mysql import MysqlProbe
from vezha.checks.options import Options
from vezha.checks.ping import PingProbe
from vezha.checks.plugin import PluginProbe
from vezha.checks.postgresql import PostgresqlProbe
from vezha.checks.probe import Probe
from vezha.checks.redis import RedisProbe
from vezha.checks.tcp import TcpProbe
from vezha.model.labels import Labels, labels_of

KINDS: Mapping[str, Callable[[Options], Probe]] = {
    "http": HttpProbe.taken,
    "tcp": TcpProbe.taken,
    "tls": TcpProbe.taken_tls,
    "ping": PingProbe.taken,
    "dns": DnsProbe.taken,
    "domain": DomainProbe.taken,
    "postgresql": PostgresqlProbe.taken,
    "mysql": MysqlProbe.taken,
    "redis": RedisProbe.taken,
    "heartbeat": HeartbeatProbe.taken,
    "plugin": PluginProbe.taken,
}
"""Types of checks, and who reads their options."""
_SLOW_BY_DEFAULT = ("http", "tcp", "tls", "ping", "dns", "postgresql", "mysql", "redis")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TAKEN = {
    "job", "instance", "type", "phase", "version", "figure", "unit", "fingerprint_sha256",
    "subject", "issuer", "alertname", "severity",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what is asked, of whom, how often, and when it counts as down."""

    name: str
    kind: str
    targets: tuple[str, ...]
    probe: Probe
    interval_s: float
    timeout_s: float
    failures_before_down: int
    slow_after_s: float
    labels: Labels = ()

    def with_beats(self, last_beat: LastBeat) -> Check:
        """The same, a heartbeat knowing whom to ask."""
        if isinstance(self.probe, HeartbeatProbe):
            return replace(self, probe=replace(self.probe, last_beat=last_beat))
        return self


@dataclass(frozen=True, slots=True)
class _Defaults:
    interval_s: float
    timeout_s: float
    failures_before_down: int

    @classmethod
    def taken(cls, options: Options, before: _Defaults) -> _Defaults:
        low, high = limits.INTERVAL_S_MIN, limits.INTERVAL_S_MAX
        interval_s = options.duration_s("interval", before.interval_s, low, high)
        at_most_s = min(before.timeout_s, interval_s)
        timeout_s = options.duration_s("timeout", at_most_s, 0.05, high)
        if timeout_s > interval_s:
            raise options.wrong("timeout", f"is longer than the interval of {interval_s:g} s")
        return cls(
            interval_s,
            timeout_s,
            options.whole(
                "failures_before_down",
                before.failures_before_down,
                1,
                limits.FAILURES_BEFORE_DOWN_MAX,
            ),
        )


_DEFAULTS = _Defaults(
    limits.INTERVAL_S_DEFAULT, limits.TIMEOUT_S_DEFAULT, limits.FAILURES_BEFORE_DOWN_DEFAULT
)


def parse_checks(text: str, read_file: Callable[[str], bytes], where: str) -> list[Check]:
    """The checks of a file's *text*; *read_file* reads secrets' files. Raises CheckConfigError."""
    try:
        tree = yaml.load(text, _Loader) or {}  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise CheckConfigError(f"{where} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise CheckConfigError(f"{where}: wants `checks:` with a list")
    forget_contexts()
    top = Options(tree, where, read_file)
    allow_plugins = top.flag("allow_plugins", False)
    raw_defaults, raw_checks = top.take("defaults"), top.take("checks")
    top.done()
    general = Options(raw_defaults or {}, f"{where}: defaults", read_file)
    defaults = _Defaults.taken(general, _DEFAULTS)
    general.done()
    if not isinstance(raw_checks or [], list):
        raise CheckConfigError(f"{where}: checks must be a list; begin each with `- name:`")
    checks: list[Check] = []
    for number, raw in enumerate(raw_checks or [], 1):
        check = _check(raw, number, defaults, allow_plugins, read_file, where)
        if any(check.name == other.name for other in checks):
            raise CheckConfigError(f"{where}: two checks are named {check.name}; rename one")
        checks.append(check)
    if (count := sum(len(c.targets) for c in checks)) > limits.TARGETS_MAX:
        raise CheckConfigError(f"{where}: {count} targets, over {limits.TARGETS_MAX}; split them")
    return checks


def _check(
    raw: Any, number: int, defaults: _Defaults, allow_plugins: bool,
    read_file: Callable[[str], bytes], where: str,
) -> Check:  # fmt: skip
    named = isinstance(raw, dict) and isinstance(raw.get("name"), str)
    place = f"{where}: check {raw['name'] if named else number}"
    options = Options(raw, place, read_file)
    name = options.text("name")
    if not _NAME.fullmatch(name) or len(name) > limits.NAME_CHARS_MAX:
        raise options.wrong(
            "name", f"{name!r} must be letters, digits, `_.-`, up to {limits.NAME_CHARS_MAX}"
        )
    kind = options.text("type")
    if kind not in KINDS:
        raise options.wrong("type", f"{kind!r} is unknown; use one of {', '.join(KINDS)}")
    if kind == "plugin" and not allow_plugins:
        raise options.wrong(
            "type", "plugin runs programs; allow that by `allow_plugins: true` atop the file"
        )
    own = _Defaults.taken(options, defaults if kind != "heartbeat" else _heartbeat(defaults))
    slow_after_s = options.duration_s(
        "slow_after", own.timeout_s / 2 if kind in _SLOW_BY_DEFAULT else 0.0, 0.0, own.timeout_s
    )
    targets = _targets(options, kind, name)
    labels = _labels(options)
    probe = KINDS[kind](options)
    options.done()
    for target in targets:
        probe.check_target(target, place)
    return Check(
        name, kind, targets, probe, own.interval_s, own.timeout_s, own.failures_before_down,
        slow_after_s, labels,
    )  # fmt: skip


def _heartbeat(defaults: _Defaults) -> _Defaults:
    # its own grace says how patient to be; looking twice adds nothing
    return replace(defaults, failures_before_down=1)


def _targets(options: Options, kind: str, name: str) -> tuple[str, ...]:
    targets = options.texts("targets")
    if kind == "heartbeat":
        if targets:
            raise options.wrong("targets", "are not for heartbeats; remove them")
        return (name,)
    if not targets:
        if kind == "plugin":
            return ("vezha-server",)
        raise options.wrong("targets", "is missing; list what is asked")
    for target in targets:
        if len(target) > limits.LABEL_CHARS_MAX:
            raise options.wrong("targets", f"has one over {limits.LABEL_CHARS_MAX} characters")
    if len(set(targets)) != len(targets):
        raise options.wrong("targets", "has one twice; remove it")
    return targets


def _labels(options: Options) -> Labels:
    labels = options.mapping("labels")
    if len(labels) > limits.LABELS_MAX:
        raise options.wrong("labels", f"are over {limits.LABELS_MAX}")
    for name, value in labels.items():
        if not _LABEL.fullmatch(name) or name.startswith("__") or name in _TAKEN:
            raise options.wrong("labels", f"has {name!r}, which is no free label name; rename it")
        if len(value) > limits.LABEL_CHARS_MAX:
            raise options.wrong("labels", f"has a value over {limits.LABEL_CHARS_MAX} characters")
    return labels_of(labels)


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, where YAML's own would let the last win."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        key = key_node.value
        if key in seen and key != "<<":
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {key} stands twice", key_node.start_mark
            )
        seen.add(key)
    loader.flatten_mapping(node)
    return dict(loader.construct_pairs(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
