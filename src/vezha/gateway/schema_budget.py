"""How many new schemas an agent may announce: each is kept for good, with the places of its series.

Equal schemas of different hosts are one, so a fleet has a few, and a host whose containers come and
go a new one each time. What an agent announces beyond its budget is not learned: frames that name it
are passed over, counted and told, until there is room again; everything else of the agent goes on.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from vezha.gateway.limits import (
    SCHEMA_BUDGETS_MAX,
    SCHEMA_BYTES_PER_HOUR,
    SCHEMA_SERIES_PER_HOUR,
    SCHEMAS_PER_HOUR,
)

HOUR_S = 3_600.0
LIMITS: dict[str, float] = {
    "SCHEMAS_PER_HOUR": SCHEMAS_PER_HOUR,
    "SCHEMA_SERIES_PER_HOUR": SCHEMA_SERIES_PER_HOUR,
    "SCHEMA_BYTES_PER_HOUR": SCHEMA_BYTES_PER_HOUR,
}


@dataclass(slots=True)
class _Spent:
    at_s: float
    of: dict[str, float] = field(default_factory=lambda: dict.fromkeys(LIMITS, 0.0))
    told_s: float = -HOUR_S


@dataclass(frozen=True, slots=True)
class OverBudget:
    """A schema that was not learned: over which limit, until when (monotonic s), and whether that
    is to be told (once an hour for each agent)."""

    limit: str
    until_s: float
    tell: bool


class SchemaBudgets:
    """Budgets of agents by their id; they fill up again steadily, within an hour."""

    def __init__(self) -> None:
        self._spent: OrderedDict[str, _Spent] = OrderedDict()

    def take(self, agent_id: str, series: int, size: int, now_s: float) -> OverBudget | None:
        """Spend on one new schema of *series* series and *size* bytes as sent; what is in the way
        if there is no room. An agent that spent nothing may always announce one."""
        spent = self._spent.setdefault(agent_id, _Spent(now_s))
        self._spent.move_to_end(agent_id)
        while len(self._spent) > SCHEMA_BUDGETS_MAX:
            self._spent.popitem(last=False)
        passed = max(0.0, now_s - spent.at_s) / HOUR_S
        spent.at_s = now_s
        for name, most in LIMITS.items():
            spent.of[name] = max(0.0, spent.of[name] - most * passed)
        costs = dict(zip(LIMITS, (1, series, size), strict=True))
        waits = {
            name: min(1.0, (spent.of[name] + cost - LIMITS[name]) / LIMITS[name]) * HOUR_S
            for name, cost in costs.items()
            if spent.of[name] > 0 and spent.of[name] + cost > LIMITS[name]
        }
        if not waits:
            for name, cost in costs.items():
                spent.of[name] += cost
            return None
        limit = max(waits, key=lambda name: waits[name])
        tell = now_s - spent.told_s >= HOUR_S
        if tell:
            spent.told_s = now_s
        return OverBudget(limit, now_s + waits[limit], tell)
