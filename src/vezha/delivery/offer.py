"""Who of a wave is offered the version now. Pure.

Bounds, all at once: hosts in flight, hosts away (in flight or silent), one host per value of a
redundancy label, windows, jitter. Who is not there when the wave has come is left for later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vezha.delivery.freeze import Kept
from vezha.delivery.spec import Policy
from vezha.delivery.wave import place


@dataclass(frozen=True, slots=True)
class Candidate:
    """A host that waits for its offer."""

    id: int
    name: str
    labels: Mapping[str, str]
    up: bool
    not_before_ms: int = 0
    """It did not take it a moment ago, for what may pass."""


@dataclass(slots=True)
class Choice:
    """What was chosen: who is offered it, who is not there, what keeps the others, in words."""

    take: list[int] = field(default_factory=list)
    offline: list[int] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    waits: str = ""
    """Why fewer are offered it than could be, where a bound is reached."""

    @property
    def all_kept(self) -> str:
        """The window that keeps all that could be offered it; empty where somebody could be."""
        if self.take or self.waits or not self.kept:
            return ""
        return self.kept.most_common(1)[0][0]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What bounds the choice. `busy` are the labels of hosts in flight or away; `away` counts hosts
    that are silent without being in flight; `hosts` all hosts of the plan."""

    max_in_flight: int
    in_flight: int
    away: int
    hosts: int
    busy: tuple[Mapping[str, str], ...] = ()


def choose(
    waiting: Sequence[Candidate],
    bounds: Bounds,
    policy: Policy,
    *,
    since_ms: int,
    now_ms: int,
    seed: int,
    keeps: Callable[[Candidate], Kept | None],
    begun: bool,
    limit: int,
) -> Choice:
    """Who of *waiting* (in the order of the plan) is offered it now, *limit* hosts at most.

    *begun* says that the wave was begun before: then a window with the overrun rule `finish` keeps
    nobody any more.
    """
    choice = Choice()
    room = min(bounds.max_in_flight - bounds.in_flight, limit)
    spare = policy.unavailable(bounds.hosts) - bounds.in_flight - bounds.away
    if spare < room:
        room = spare
        if room <= 0 and bounds.away:
            choice.waits = (
                f"{bounds.away} of {bounds.hosts} hosts are away, and at most "
                f"{policy.unavailable(bounds.hosts)} may be (policy.max_unavailable)"
            )
    taken = _Taken(policy.one_per, bounds.busy)
    for host in waiting:
        if not host.up:
            choice.offline.append(host.id)
            continue
        kept = keeps(host)
        if kept is not None and not (begun and kept.overrun == "finish"):
            choice.kept[kept.sentence] += 1
            continue
        if len(choice.take) >= room:
            choice.waits = choice.waits or f"{bounds.in_flight} hosts are in flight"
            break
        if now_ms < host.not_before_ms:
            choice.waits = choice.waits or "hosts that did not take it are asked again soon"
            continue
        if now_ms < since_ms + int(policy.jitter_s * 1000 * place(seed + 1, host.id)):
            choice.waits = choice.waits or "offers are spread in time (policy.jitter_s)"
            continue
        if not taken.take(host.labels):
            choice.waits = choice.waits or f"one host per {', '.join(policy.one_per)} at once"
            continue
        choice.take.append(host.id)
    return choice


class _Taken:
    """Values of redundancy labels that some host holds now."""

    def __init__(self, names: Sequence[str], busy: Iterable[Mapping[str, str]]) -> None:
        self._names = names
        self._values = {(n, labels[n]) for labels in busy for n in names if labels.get(n)}

    def take(self, labels: Mapping[str, str]) -> bool:
        """Whether none of the host's values is held; they are from now on."""
        mine = {(n, labels[n]) for n in self._names if labels.get(n)}
        if mine & self._values:
            return False
        self._values |= mine
        return True
