"""Rules and their groups, as loaded: plain frozen values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import Enum

from vezha.alerting.limits import INTERVAL_MS_DEFAULT, LATE_MS_DEFAULT
from vezha.alerting.template import Template
from vezha.model.severity import Severity


class NoData(Enum):
    """What a firing alert becomes when its target vanished.

    `UNKNOWN` keeps it open and says so (the default), `RESOLVE` closes it as Prometheus does,
    `KEEP` leaves it firing.
    """

    UNKNOWN = "unknown"
    RESOLVE = "resolve"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Policy:
    """What Vezha adds to a Prometheus rule; stands in annotations `vezha_…` or a `vezha:` block.

    `recovery` is an expression: while the alert fires, it resolves only for labels that this
    gives. `late_ms`: a sample older than this fires nothing. `explains` names alerts of the same
    host that this one stands in for; `meaning`, `next` and `checklist` are for people.
    """

    recovery: str = ""
    no_data: NoData = NoData.UNKNOWN
    late_ms: int = LATE_MS_DEFAULT
    team: str = ""
    explains: str = ""
    tripwire: bool = False
    """Whether agents are to watch the threshold themselves (see `tripwire`)."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alert. Durations in ms; `key` identifies it over restarts."""

    name: str
    expr: str
    for_ms: int = 0
    keep_ms: int = 0
    labels: tuple[tuple[str, Template], ...] = ()
    annotations: tuple[tuple[str, Template], ...] = ()
    policy: Policy = field(default_factory=Policy)
    key: str = ""

    @property
    def severity(self) -> Severity:
        """By the `severity` label as written; a templated one counts as a warning."""
        for name, template in self.labels:
            if name == "severity":
                return Severity.of(template.source)
        return Severity.WARNING


@dataclass(frozen=True, slots=True)
class RecordRule:
    """One recording rule."""

    name: str
    expr: str
    labels: tuple[tuple[str, str], ...] = ()
    key: str = ""


Rule = AlertRule | RecordRule


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after another at one time."""

    name: str
    file: str
    rules: tuple[Rule, ...]
    interval_ms: int = INTERVAL_MS_DEFAULT
    query_offset_ms: int = 0
    limit: int = 0

    @property
    def identity(self) -> tuple[str, str]:
        """File and name: unique in one server."""
        return (self.file, self.name)


def rule_key(group: str, kind: str, name: str, labels: dict[str, str], ordinal: int) -> str:
    """32 hexadecimal characters by which a rule's alerts are found again after a restart.

    The file's path and the expression are left out, so that moving a file or changing a
    threshold forgets nothing; *ordinal* counts rules of a group that are alike in the rest.
    """
    parts = [group, kind, name, str(ordinal), *(f"{n}={v}" for n, v in sorted(labels.items()))]
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:32]
