"""One check: its target, its time, its probe; read strictly from a tree of keys and values.

The tree is of `checks.yml` (see `config`) or of the tables `[checks.NAME]` of an agent's settings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from vezha.checks import limits
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
from vezha.model.labels import Labels, labels_of, quote_value

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
    "subject", "issuer", "alertname", "severity", "from",
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
    seen_from: str = ""
    """A selector of hosts whose agents run it; empty: the server does."""
    entry: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """As the file has it, times filled in: what an agent is told. Empty where the server runs it."""

    def with_beats(self, last_beat: LastBeat) -> Check:
        """The same, a heartbeat knowing whom to ask."""
        if isinstance(self.probe, HeartbeatProbe):
            return replace(self, probe=replace(self.probe, last_beat=last_beat))
        return self


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds for checks that do not say it."""

    interval_s: float
    timeout_s: float
    failures_before_down: int

    @classmethod
    def taken(cls, options: Options, before: Defaults) -> Defaults:
        """Out of a mapping's options, over those *before*. Raises CheckConfigError."""
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


DEFAULTS = Defaults(
    limits.INTERVAL_S_DEFAULT, limits.TIMEOUT_S_DEFAULT, limits.FAILURES_BEFORE_DOWN_DEFAULT
)


def checks_of(
    entries: Sequence[Mapping[str, Any]],
    defaults: Defaults,
    allow_plugins: bool,
    read_file: Callable[[str], bytes],
    where: str,
) -> list[Check]:
    """The checks of a list of entries; *read_file* reads secrets' files. Raises CheckConfigError."""
    checks: list[Check] = []
    for number, raw in enumerate(entries, 1):
        check = _check(raw, number, defaults, allow_plugins, read_file, where)
        if any(check.name == other.name for other in checks):
            raise CheckConfigError(f"{where}: two checks are named {check.name}; rename one")
        checks.append(check)
    if (count := sum(len(c.targets) for c in checks)) > limits.TARGETS_MAX:
        raise CheckConfigError(f"{where}: {count} targets, over {limits.TARGETS_MAX}; split them")
    return checks


def _check(
    raw: Any, number: int, defaults: Defaults, allow_plugins: bool,
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
    seen_from = _selector(options)
    if seen_from:
        # its secrets' files, and who may run programs, are matters of those hosts
        options = options.elsewhere()
    kind = options.text("type")
    if kind not in KINDS:
        raise options.wrong("type", f"{kind!r} is unknown; use one of {', '.join(KINDS)}")
    if kind == "heartbeat" and seen_from:
        raise options.wrong("from", "is not for heartbeats, which call the server; remove it")
    if kind == "plugin" and not allow_plugins and not seen_from:
        raise options.wrong(
            "type", "plugin runs programs; allow that by `allow_plugins: true` atop the file"
        )
    own = Defaults.taken(options, defaults if kind != "heartbeat" else _heartbeat(defaults))
    slow_after_s = options.duration_s(
        "slow_after", own.timeout_s / 2 if kind in _SLOW_BY_DEFAULT else 0.0, 0.0, own.timeout_s
    )
    targets = _targets(options, kind, name, seen_from)
    labels = _labels(options)
    probe = KINDS[kind](options)
    options.done()
    for target in targets:
        probe.check_target(target, place)
    entry: dict[str, Any] = {}
    if seen_from:
        entry = {k: v for k, v in raw.items() if k not in ("name", "from") and v is not None}
        entry |= {
            "targets": list(targets),
            "interval": written_s(own.interval_s),
            "timeout": written_s(own.timeout_s),
            "failures_before_down": own.failures_before_down,
        }
    return Check(
        name, kind, targets, probe, own.interval_s, own.timeout_s, own.failures_before_down,
        slow_after_s, labels, seen_from, entry,
    )  # fmt: skip


def written_s(seconds: float) -> str:
    """A duration as the file writes it."""
    whole, ms = divmod(round(seconds * 1000), 1000)
    return (f"{whole}s" if whole or not ms else "") + (f"{ms}ms" if ms else "")


def _selector(options: Options) -> str:
    value = options.take("from")
    if value is None:
        return ""
    if isinstance(value, dict) and value:
        parts = []
        for name, text in value.items():
            if not isinstance(name, str) or not _LABEL.fullmatch(name) or not isinstance(text, str):
                raise options.wrong("from", f"has {name!r}: {text!r}; write it as {{role: web}}")
            parts.append(f"{name}={quote_value(text)}")
        return ", ".join(parts)
    if not isinstance(value, str) or not value.strip():
        raise options.wrong(
            "from", "must say which hosts: {role: web}, or a selector such as 'role=~\"web|db\"'"
        )
    return value.strip()


def _heartbeat(defaults: Defaults) -> Defaults:
    # its own grace says how patient to be; looking twice adds nothing
    return replace(defaults, failures_before_down=1)


def _targets(options: Options, kind: str, name: str, seen_from: str) -> tuple[str, ...]:
    targets = options.texts("targets")
    if kind == "heartbeat":
        if targets:
            raise options.wrong("targets", "are not for heartbeats; remove them")
        return (name,)
    if not targets:
        if kind == "plugin":
            return ("vezha-server" if not seen_from else "here",)
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
