"""Dependencies learned from history: who fails whenever somebody else fails.

Failures (of alerts that explain their host) that follow each other within SUGGESTION_GAP_MS are one
outage, of SUGGESTION_OUTAGE_MS_MAX at most. With M, the matrix of hosts x outages, hits = M M^T
counts for each pair the outages that both were in. `child` is suggested to depend on `parent` where

- the parent had at least SUGGESTION_OUTAGES_MIN outages, and the child was in SUGGESTION_SHARE_MIN
  of them;
- chance does not explain it: by how often the child fails at all one would expect a tenth of that;
- it has a direction: the other way round it holds clearly less often (a child also fails alone), or
  the parent failed first nearly each time, before all others, more often than by luck;
- no third host explains both better: with the same children and more of them.

Hosts that always fail together and show no direction are told as a group, with no parent to name:
what they share (a switch, a gateway) is not watched. Nothing is ever put in force by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, select

from vezha.incidents.limits import (
    SUGGESTION_AHEAD_MIN,
    SUGGESTION_EVENTS_MAX,
    SUGGESTION_FIRST_MIN,
    SUGGESTION_GAP_MS,
    SUGGESTION_HOSTS_MAX,
    SUGGESTION_LUCK_MAX,
    SUGGESTION_OUTAGE_MS_MAX,
    SUGGESTION_OUTAGES_MIN,
    SUGGESTION_SHARE_MIN,
    SUGGESTION_SPAN_MS,
    SUGGESTIONS_MAX,
)
from vezha.ledger.tables import alert_transition

_CHANCE_MAX = 0.1
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`child` seems to depend on `parent`. `examples_ms`: when both failed, the newest first."""

    child: str
    parent: str
    together: int
    parent_outages: int
    child_outages: int
    parent_first: int
    median_lead_s: float
    examples_ms: list[int]

    @property
    def sentence(self) -> str:
        """The evidence as a person reads it."""
        return (
            f"of {self.parent_outages} outages of {self.parent}, {self.child} was in "
            f"{self.together}; {self.parent} failed first in {self.parent_first}; "
            f"{self.child} failed without it {self.child_outages - self.together} times"
        )


@dataclass(frozen=True, slots=True)
class SharedFate:
    """Hosts that fail together, none of them before the others."""

    hosts: list[str]
    outages: int


@dataclass(frozen=True, slots=True)
class Learned:
    """What history suggests."""

    suggestions: list[Suggestion]
    groups: list[SharedFate]


def read_failures(connection: Connection, now_ms: int) -> list[tuple[str, int]]:
    """(host, time in ms) of each failure that explains its host, in order."""
    rows = connection.execute(
        select(
            alert_transition.c.host,
            alert_transition.c.active_ms,
            alert_transition.c.evaluated_ms,
            alert_transition.c.annotations,
        )
        .where(
            alert_transition.c.event == "fired",
            alert_transition.c.written_ms >= now_ms - SUGGESTION_SPAN_MS,
        )
        .order_by(alert_transition.c.id.desc())
        .limit(SUGGESTION_EVENTS_MAX)
    )
    found = [
        (r.host, r.active_ms or r.evaluated_ms)
        for r in rows
        if r.host and r.annotations.get("vezha_explains") == "host"
    ]
    return sorted(found, key=lambda f: f[1])


def learn(
    failures: Sequence[tuple[str, int]],
    span_ms: int = SUGGESTION_SPAN_MS,
    known: Iterable[tuple[str, str]] = (),
) -> Learned:
    """What *failures* (in order of time) suggest; *known* (child, parent) pairs are left out."""
    names, first = _outages(failures)
    if not names:
        return Learned([], [])
    there = first >= 0
    hits = there.astype(np.float32) @ there.T.astype(np.float32)
    count = there.sum(axis=1)
    chance = count / max(1.0, span_ms / SUGGESTION_OUTAGE_MS_MAX)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = hits / count[:, None]  # [parent, child]
    fits = (count[:, None] >= SUGGESTION_OUTAGES_MIN) & (share >= SUGGESTION_SHARE_MIN)
    fits &= share * _CHANCE_MAX >= chance[None, :]
    np.fill_diagonal(fits, False)
    ahead = share - share.T >= SUGGESTION_AHEAD_MIN
    leads = _leads(first, fits)
    directed = fits & (ahead | ((leads >= SUGGESTION_FIRST_MIN) & ~ahead.T))
    directed &= ~(directed.T & (share < share.T))
    directed = _without_siblings(directed, hits)
    left_out = set(known)
    out = []
    for p, c in zip(*np.nonzero(directed), strict=True):
        if (names[c], names[p]) not in left_out:
            out.append(_suggestion(names, first, int(p), int(c)))
    out.sort(key=lambda s: (-s.together, s.parent, s.child))
    return Learned(out[:SUGGESTIONS_MAX], _groups(names, fits, directed, count))


def _outages(
    failures: Sequence[tuple[str, int]],
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Hosts, and when each first failed in each outage: int64[host, outage], -1 for not at all."""
    often: dict[str, int] = {}
    for host, _ in failures:
        often[host] = often.get(host, 0) + 1
    names = sorted(sorted(often), key=lambda h: -often[h])[:SUGGESTION_HOSTS_MAX]
    rows = {name: i for i, name in enumerate(names)}
    kept = [(rows[host], ms) for host, ms in failures if host in rows]
    if not kept:
        return [], np.empty((0, 0), np.int64)
    times = np.array([ms for _, ms in kept], np.int64)
    outage = np.zeros(len(kept), np.int64)
    number, began = 0, int(times[0])
    for i in range(1, len(kept)):
        now = int(times[i])
        if now - int(times[i - 1]) > SUGGESTION_GAP_MS or now - began > SUGGESTION_OUTAGE_MS_MAX:
            number, began = number + 1, now
        outage[i] = number
    first = np.full((len(names), number + 1), -1, np.int64)
    host_rows = np.array([row for row, _ in kept], np.intp)
    # written backwards, so that the earliest stays
    first[host_rows[::-1], outage[::-1]] = times[::-1]
    return names, first


def _leads(first: npt.NDArray[np.int64], fits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """For the pairs that fit: in which share of common outages the row failed before the column.

    0 where the row was the first of all its columns no more often than luck would have it: of n
    outages with k columns, by chance in Binomial(n, 1 / (k + 1)).
    """
    out = np.zeros(fits.shape)
    for p in np.flatnonzero(fits.any(axis=1)):
        columns = np.flatnonzero(fits[p])
        mine = first[p] >= 0
        both = mine & (first[columns] >= 0)
        before = both & (first[p] < first[columns])
        leading = int((before | ~both)[:, mine].all(axis=0).sum())
        if _luck(leading, int(mine.sum()), 1 / (len(columns) + 1)) <= SUGGESTION_LUCK_MAX:
            out[p, columns] = before.sum(axis=1) / np.maximum(1, both.sum(axis=1))
    return out


def _luck(successes: int, trials: int, chance: float) -> float:
    """The probability of so many successes or more."""
    return sum(
        math.comb(trials, n) * chance**n * (1 - chance) ** (trials - n)
        for n in range(successes, trials + 1)
    )


def _without_siblings(
    directed: npt.NDArray[np.bool_], hits: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Drop parent → child where another parent of both explains more children."""
    out: npt.NDArray[np.bool_] = directed.copy()
    fan = directed.sum(axis=1)
    for p in np.flatnonzero(fan):
        above = np.flatnonzero(directed[:, p] & (fan > fan[p]))
        for better in above:
            common = directed[better] & (hits[better] >= hits[p])
            out[p, common] = False
    return out


def _groups(
    names: Sequence[str],
    fits: npt.NDArray[np.bool_],
    directed: npt.NDArray[np.bool_],
    count: npt.NDArray[np.intp],
) -> list[SharedFate]:
    """Hosts bound to each other both ways, of which none has a parent already."""
    mutual: npt.NDArray[np.bool_] = fits & fits.T & ~directed & ~directed.T
    free: npt.NDArray[np.bool_] = np.logical_not(directed.any(axis=0))
    mutual &= free[:, None] & free[None, :]
    seen: set[int] = set()
    out = []
    for row in range(len(names)):
        if row in seen:
            continue
        group = [row, *map(int, np.flatnonzero(mutual[row]))]
        seen.update(group)
        if len(group) > 2:
            hosts = sorted(names[i] for i in group)
            out.append(SharedFate(hosts, int(min(count[i] for i in group))))
    return out


def _suggestion(names: Sequence[str], first: npt.NDArray[np.int64], p: int, c: int) -> Suggestion:
    both = (first[p] >= 0) & (first[c] >= 0)
    lead_ms = first[c][both] - first[p][both]
    return Suggestion(
        names[c],
        names[p],
        int(both.sum()),
        int((first[p] >= 0).sum()),
        int((first[c] >= 0).sum()),
        int((lead_ms > 0).sum()),
        round(float(np.median(lead_ms)) / 1000, 3),
        [int(ms) for ms in np.sort(first[p][both])[::-1][:_EXAMPLES]],
    )
