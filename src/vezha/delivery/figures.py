"""The figures of delivery, by week, team or kind. Pure, but for reading rows.

As DORA defines them today (dora.dev, "DORA's software delivery metrics"): lead time from the
commit (or the draft) to the end of the delivery; how often; which share failed; how long from a
failed delivery to its recovery; which share was rework, unplanned and made to mend another.
A change failed where it was taken back, told as failed, or a person judged that it caused an
incident; it recovered when its way back or the change that mends it ended, or that incident did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from vezha.delivery.errors import OperatorError
from vezha.delivery.limits import FIGURES_CHANGES_MAX
from vezha.ledger.tables import change

BY = ("week", "team", "kind")
_FAILED = ("failure", "reverted")


@dataclass(frozen=True, slots=True)
class Delivered:
    """What counts of one change that came to its end. Times in ms."""

    id: int
    kind: str
    team: str
    outcome: str
    ready_ms: int | None
    """When the work was committed or drafted; None: nobody said, so it has no lead time."""
    began_ms: int
    ended_ms: int
    mends: int | None = None
    caused: bool = False
    recovered_ms: int | None = None
    """When the incidents that it caused were over."""

    @property
    def failed(self) -> bool:
        """Whether it counts as failed."""
        return self.caused or self.outcome in _FAILED


@dataclass(frozen=True, slots=True)
class Figures:
    """One row: changes that share what was asked *by* (the other names are empty).

    Ratios from 0 to 1, times in seconds (medians); None where there is nothing to count.
    """

    week: str
    team: str
    kind: str
    changes: int
    per_day: float
    lead_time_s: float | None
    failed_ratio: float | None
    failed_recovery_s: float | None
    rework_ratio: float | None


def read_delivered(
    connection: Connection,
    since_ms: int,
    until_ms: int,
    caused: Mapping[int, int | None] | None = None,
) -> list[Delivered]:
    """Changes that ended in [since, until), the newest FIGURES_CHANGES_MAX.

    *caused*: by change, when the incidents that a person laid at its door were over (None: not
    yet). Cancelled ones delivered nothing and are left out.
    """
    caused = caused or {}
    rows = connection.execute(
        select(change)
        .where(
            change.c.ended_ms >= since_ms,
            change.c.ended_ms < until_ms,
            change.c.outcome.in_(("success", *_FAILED)),
        )
        .order_by(change.c.id.desc())
        .limit(FIGURES_CHANGES_MAX)
    )
    return [
        Delivered(
            row.id,
            row.kind,
            row.labels.get("team", "") or row.owner,
            row.outcome,
            # of what was made elsewhere we know when it was told, not when it was begun
            row.created_ms if row.ready_ms is None and row.kind != "external" else row.ready_ms,
            row.created_ms if row.began_ms is None else row.began_ms,
            row.ended_ms,
            row.mends,
            row.id in caused,
            caused.get(row.id),
        )
        for row in rows
        # mending drift brings nothing new
        if not row.policy.get("only_drifted")
    ]


def summarise(
    delivered: Sequence[Delivered],
    by: Sequence[str],
    days: float,
    week_of: Mapping[int, str] | None = None,
) -> list[Figures]:
    """A row for each combination of *by*, the newest week first. Raises OperatorError.

    *days*: over how many days a row that is not of one week counts; *week_of*: the week by id.
    """
    for name in by:
        if name not in BY:
            raise OperatorError(f'"{name}" is not known; use {", ".join(BY)}')
    mended: dict[int, int] = {}
    for one in delivered:
        if one.mends is not None and not one.failed:
            mended[one.mends] = min(mended.get(one.mends, one.ended_ms), one.ended_ms)
    groups: dict[tuple[str, str, str], list[Delivered]] = {}
    for one in delivered:
        whole = {"week": (week_of or {}).get(one.id, ""), "team": one.team, "kind": one.kind}
        week, team, kind = (whole[name] if name in by else "" for name in BY)
        groups.setdefault((week, team, kind), []).append(one)
    keys = sorted(sorted(groups), key=lambda key: key[0], reverse=True)
    span = 7.0 if "week" in by else max(days, 1e-9)
    return [_figures(key, groups[key], span, mended) for key in keys]


def _figures(
    key: tuple[str, str, str], group: Sequence[Delivered], days: float, mended: Mapping[int, int]
) -> Figures:
    failed = [one for one in group if one.failed]
    good = [one for one in group if not one.failed]
    recoveries = [r for one in failed if (r := _recovery_ms(one, mended)) is not None]
    week, team, kind = key
    return Figures(
        week,
        team,
        kind,
        len(group),
        round(len(group) / days, 3),
        _median_s(one.ended_ms - one.ready_ms for one in good if one.ready_ms is not None),
        len(failed) / len(group) if group else None,
        _median_s(recoveries),
        sum(one.mends is not None for one in group) / len(group) if group else None,
    )


def _recovery_ms(one: Delivered, mended: Mapping[int, int]) -> int | None:
    """From the failed delivery's beginning until things were well again; None: not yet."""
    ends = [end for end in (one.recovered_ms, mended.get(one.id)) if end is not None]
    if not ends and one.outcome == "reverted":
        ends.append(one.ended_ms)
    return min(ends) - one.began_ms if ends else None


def _median_s(durations_ms: Iterable[int]) -> float | None:
    values = np.fromiter((max(0, d) for d in durations_ms), np.float64)
    return round(float(np.median(values)) / 1000, 3) if values.size else None
