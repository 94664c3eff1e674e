"""What a page is made of: plain facts, each with the id of the row that it comes from. Pure.

They are kept in the ledger as JSON, so a field that is added later needs a default.
"""

from __future__ import annotations

from typing import Any

import msgspec


class ChangeFact(msgspec.Struct, frozen=True):
    """A change that was done, taken back, is under way, or is planned. Times in ms."""

    id: int
    title: str
    kind: str
    state: str
    outcome: str = ""
    owner: str = ""
    hosts: int = 0
    began_ms: int | None = None
    ended_ms: int | None = None
    reason: str = ""
    """Why it is held or was taken back, as its rollout says it."""


class IncidentFact(msgspec.Struct, frozen=True):
    """An incident that was detected in the week, or is open still. Times in ms."""

    id: int
    title: str
    severity: str
    team: str
    state: str
    hosts: int
    began_ms: int
    detected_ms: int
    acknowledged_ms: int | None = None
    resolved_ms: int | None = None
    alert_names: list[str] = []
    caused_by: int | None = None
    """The change that a person named as its cause."""
    suspected: int | None = None
    """The change that explains it best, where nobody judged yet."""
    title_uk: str = ""


class RuleFact(msgspec.Struct, frozen=True):
    """How often a rule spoke in the week and how often somebody acted on it."""

    name: str
    incidents: int
    acted: int
    ids: list[int] = []


class TimesFact(msgspec.Struct, frozen=True):
    """Medians in seconds; None where there is none."""

    incidents: int = 0
    detection_s: float | None = None
    response_s: float | None = None
    recovery_s: float | None = None


class DeliveryFact(msgspec.Struct, frozen=True):
    """The figures of delivery in the week; None where nothing was delivered."""

    changes: int = 0
    lead_time_s: float | None = None
    failed_ratio: float | None = None
    recovery_s: float | None = None
    rework_ratio: float | None = None


class DueFact(msgspec.Struct, frozen=True):
    """Something that ends or is full in so many seconds."""

    kind: str
    """`certificate`, `domain`, `trust` or `disk`."""
    name: str
    host: str
    in_s: float


class LoadFact(msgspec.Struct, frozen=True):
    """How predictable a load is, from 0 to 1."""

    place: str
    resource: str
    predictability: float


class HostFact(msgspec.Struct, frozen=True):
    """A host whose data was less than complete."""

    name: str
    completeness: float


class WeekFacts(msgspec.Struct, frozen=True):
    """Everything that a week's page says."""

    week: str
    begin_ms: int
    end_ms: int
    made_ms: int
    time_zone: str = "UTC"
    hosts: int = 0
    hosts_with_incidents: int = 0
    hosts_new: list[str] = []
    changes: list[ChangeFact] = []
    planned: list[ChangeFact] = []
    incidents: list[IncidentFact] = []
    rules: list[RuleFact] = []
    times: TimesFact = TimesFact()
    times_before: TimesFact = TimesFact()
    delivery: DeliveryFact = DeliveryFact()
    delivery_before: DeliveryFact = DeliveryFact()
    incomplete: list[HostFact] = []
    completeness: float | None = None
    """The worst of the hosts' completeness over the week; None where it is not known."""
    loads: list[LoadFact] = []
    predictability: float | None = None
    """The median over hosts and resources."""
    due: list[DueFact] = []
    freezes: list[str] = []
    checklists_done: int = 0
    checklists_open: int = 0
    rounds_done: int = 0
    unused_scenarios: list[str] = []
    quarantined: list[str] = []
    unknown: list[str] = []
    """What could not be asked, such as samples of a store that was away."""

    @property
    def is_over(self) -> bool:
        """Whether the week had ended when the facts were gathered."""
        return self.made_ms >= self.end_ms


def to_json(facts: WeekFacts) -> dict[str, Any]:
    """Plain data for the ledger."""
    data: dict[str, Any] = msgspec.to_builtins(facts)
    return data


def from_json(data: dict[str, Any]) -> WeekFacts:
    """Facts of a row; fields of another release are ignored or take their defaults."""
    return msgspec.convert(data, WeekFacts)
