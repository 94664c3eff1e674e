"""Which incident an alert belongs to. Pure.

One cause, one incident. In this order, the first that fits:

1. the incident that has this very alert: open, or resolved a short while ago (a relapse);
2. the open incident that has the alert which explains this one (`dependency`), or the oldest of
   lately whose hosts this one explains;
3. an open incident with this alert's host that was active lately (what goes wrong on one host at
   one time has one cause until a person splits it);
4. an open incident of the same kind of alert that was active lately (what hits many hosts at one
   time has one cause), of the same team;
5. none: a new one.

The search is by indexes, so that a storm of 10,000 alerts costs a few dictionary look-ups each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from vezha.incidents.limits import HOST_WINDOW_MS, KIND_WINDOW_MS, RELAPSE_WINDOW_MS


@dataclass(frozen=True, slots=True)
class Arriving:
    """An alert that needs a place."""

    fingerprint: str
    alert_name: str
    host: str
    team: str
    at_ms: int
    cause: str = ""
    """The alert that explains it."""
    explains_host: Callable[[str], bool] | None = None
    """Whether it explains that a host fails; None where nothing depends on it."""


@dataclass(slots=True)
class Candidate:
    """An incident as grouping sees it; `members` are its alerts' fingerprints."""

    id: int
    open: bool
    team: str
    active_ms: int
    resolved_ms: int | None
    by_person: bool = False
    members: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    alert_names: set[str] = field(default_factory=set)


class Grouping:
    """Candidates with their indexes; `place` answers, `join` remembers."""

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        self.by_id: dict[int, Candidate] = {}
        self._by_member: dict[str, list[int]] = {}
        self._by_host: dict[str, list[int]] = {}
        self._by_kind: dict[str, list[int]] = {}
        for candidate in candidates:
            self.add(candidate)

    def add(self, candidate: Candidate) -> None:
        """Take in an incident with what is in it."""
        self.by_id[candidate.id] = candidate
        for index, keys in (
            (self._by_member, candidate.members),
            (self._by_host, candidate.hosts),
            (self._by_kind, candidate.alert_names),
        ):
            for key in keys:
                index.setdefault(key, []).append(candidate.id)

    def place(self, alert: Arriving) -> int | None:
        """The id of the incident that *alert* belongs to, or None for a new one."""
        own = self._best(self._by_member.get(alert.fingerprint, ()), alert, self._takes_back)
        if own is not None:
            return own
        related = self._related(alert)
        if related is not None:
            return related
        if alert.host:
            same_host = self._by_host.get(alert.host, ())
            found = self._best(same_host, alert, lambda c, a: _is_live(c, a, HOST_WINDOW_MS))
            if found is not None:
                return found
        same_kind = self._by_kind.get(alert.alert_name, ())
        return self._best(
            same_kind, alert, lambda c, a: _is_live(c, a, KIND_WINDOW_MS) and c.team == a.team
        )

    def _related(self, alert: Arriving) -> int | None:
        if alert.cause:
            found = self.of_member(alert.cause)
            if found is not None:
                return found
        explains = alert.explains_host
        if explains is None:
            return None
        ids = [
            c.id
            for c in self.by_id.values()
            if _is_live(c, alert, HOST_WINDOW_MS) and any(map(explains, c.hosts))
        ]
        return min(ids, default=None)

    def of_member(self, fingerprint: str) -> int | None:
        """The newest open incident that has this alert."""
        ids = [i for i in self._by_member.get(fingerprint, ()) if self.by_id[i].open]
        return max(ids, default=None)

    def join(self, id_: int, alert: Arriving) -> None:
        """Remember that *alert* is in incident *id_* now."""
        candidate = self.by_id[id_]
        candidate.active_ms = max(candidate.active_ms, alert.at_ms)
        for index, keys, key in (
            (self._by_member, candidate.members, alert.fingerprint),
            (self._by_host, candidate.hosts, alert.host),
            (self._by_kind, candidate.alert_names, alert.alert_name),
        ):
            if key and key not in keys:
                keys.add(key)
                index.setdefault(key, []).append(id_)

    def _best(self, ids: Iterable[int], alert: Arriving, fits: object) -> int | None:
        assert callable(fits)
        found = [i for i in ids if fits(self.by_id[i], alert)]
        # the older open one is the root of what follows; a resolved one only if none is open
        return min(found, key=lambda i: (not self.by_id[i].open, i), default=None)

    @staticmethod
    def _takes_back(candidate: Candidate, alert: Arriving) -> bool:
        if candidate.open:
            return True
        resolved = candidate.resolved_ms
        return resolved is not None and 0 <= alert.at_ms - resolved <= RELAPSE_WINDOW_MS


def _is_live(candidate: Candidate, alert: Arriving, window_ms: int) -> bool:
    return candidate.open and alert.at_ms - candidate.active_ms <= window_ms
