"""What is told: one message, as plain data that every provider renders in its own way.

A message is made when it is decided on and kept in the outbox as JSON, so that it says what was
true then, whenever it leaves.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

LOUD = ("opened", "worse", "grew", "reopened", "reminded", "escalated")
"""Kinds of an incident that are worth a sound."""
KINDS = (*LOUD, "eased", "resolved", "acknowledged", "snoozed", "merged", "updated")
"""Of an incident."""
OTHERS = ("test", "digest", "handover", "diary")
"""Of none."""
RINGING = (*LOUD, *OTHERS)
"""Kinds that are worth a sound."""


@dataclass(frozen=True, slots=True)
class AlertNote:
    """An alert within a message."""

    name: str
    host: str
    severity: str
    state: str
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    first_ms: int


@dataclass(frozen=True, slots=True)
class Message:
    """Everything that a provider may say. Times in ms; `link` is empty where none is known."""

    kind: str
    incident: int
    title: str
    summary: str = ""
    next: str = ""
    severity: str = "info"
    state: str = "open"
    team: str = ""
    hosts: list[str] = field(default_factory=list)
    hosts_count: int = 0
    alerts: list[AlertNote] = field(default_factory=list)
    alerts_count: int = 0
    open_count: int = 0
    unknown_count: int = 0
    began_ms: int = 0
    detected_ms: int = 0
    acknowledged_ms: int | None = None
    acknowledged_by: str | None = None
    resolved_ms: int | None = None
    resolved_by: str | None = None
    snoozed_until_ms: int | None = None
    at_ms: int = 0
    link: str = ""
    language: str = "en"
    time_zone: str = "UTC"
    lines: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the outbox."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Message:
        """The message of an outbox row; fields of a later release are ignored."""
        known = {f.name for f in fields(Message)}
        kept = {name: value for name, value in data.items() if name in known}
        kept["alerts"] = [AlertNote(**alert) for alert in kept.get("alerts", [])]
        return Message(**kept)


def show_time(ms: int, time_zone: str) -> str:
    """`23 Nov 14:05:09` in a zone, with the zone's name."""
    zone = ZoneInfo(time_zone) if time_zone != "UTC" else timezone.utc
    moment = datetime.fromtimestamp(ms / 1000, zone)
    return f"{moment.day}{moment.strftime(' %b %H:%M:%S %Z')}"
