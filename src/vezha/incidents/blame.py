"""Which change could explain an incident: every change scored, with its reasons. Pure.

Each change that ran or had just run is scored against each incident, as Gandalf does it (Li et
al., "Gandalf: An Intelligent, End-To-End Analytics Service for Safe Deployment in Large-Scale Cloud
Infrastructure", NSDI 2020): by time, by place, and by how much the hosts' load shifted when the
change came. A change is never judged alone: the scores share one whole with "none of these".

    score = time × place × shift
    time   halves with each HALF_LIFE between the change's coming to a host and its trouble; a
           change that came after the trouble began scores nothing
    place  the share of the hosts in trouble that the change had touched before; a change of the
           whole fleet explains one sick host badly, so it keeps a quarter of that
    shift  from ½ (nothing moved) over 1 (not known) to 2 (the load jumped)

Reasons are codes with parameters; `words` makes sentences of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vezha.incidents.limits import (
    BLAME_HALF_LIFE_MS,
    BLAME_LATE_MS,
    BLAME_NOBODY_WEIGHT,
    BLAME_SCORE_MIN,
    BLAME_WINDOW_MS,
)

_FLEET_WIDE_KEPT = 0.25
_SHIFT_NONE, _SHIFT_FULL = 1.0, 6.0
"""Robust deviations (of the median absolute deviation) at which a shift counts not at all, fully."""
_MOMENT_MS = 2_000
"""What is nearer in time than this came at the same moment, as people see it."""
_LABEL_WEIGHTS = {"service": 0.8, "cluster": 0.6, "environment": 0.4, "env": 0.4, "role": 0.5}
_LABEL_WEIGHT, _NO_PLACE = 0.3, 0.1


@dataclass(frozen=True, slots=True)
class Trouble:
    """An incident as blame sees it. `hosts`: when each host's trouble began, in ms."""

    id: int
    began_ms: int
    hosts: Mapping[str, int]
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels that all of it shares: of its alerts and of its hosts."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A change as blame sees it. `hosts`: when it came to each, in ms; empty where not known."""

    id: int
    title: str
    began_ms: int
    ended_ms: int | None = None
    hosts: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    is_undoing: bool = False
    """Whether it is itself a way back, which is a sign of trouble rather than its cause."""


@dataclass(frozen=True, slots=True)
class Shift:
    """How far a figure moved on the hosts when the change came, in robust deviations."""

    figure: str
    deviations: float


@dataclass(frozen=True, slots=True)
class Reason:
    """One ground of a score: a code and its parameters."""

    code: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Blame:
    """A change's part in an incident. `score` is its share of the whole, from 0 to 1."""

    change: int
    score: float
    time: float
    place: float
    shift: float
    reasons: tuple[Reason, ...]


def rank(
    trouble: Trouble,
    suspects: Sequence[Suspect],
    fleet: int,
    shifts: Mapping[int, Shift] | None = None,
) -> list[Blame]:
    """Changes that could explain *trouble*, the likeliest first; those below a limit left out.

    *fleet* is how many hosts there are; *shifts* by change, where they were measured.
    """
    raw = []
    for suspect in suspects:
        one = _weigh(trouble, suspect, max(1, fleet), (shifts or {}).get(suspect.id))
        if one is not None:
            raw.append(one)
    whole = sum(one.score for one in raw) + BLAME_NOBODY_WEIGHT
    ranked = [
        Blame(b.change, b.score / whole, b.time, b.place, b.shift, b.reasons)
        for b in raw
        if b.score / whole >= BLAME_SCORE_MIN
    ]
    return sorted(ranked, key=lambda b: (-b.score, -b.change))


def _weigh(trouble: Trouble, suspect: Suspect, fleet: int, shift: Shift | None) -> Blame | None:
    came_ms = _came_ms(trouble, suspect)
    if came_ms is None:
        return None
    gap_ms, reason_time = came_ms
    place, reason_place = _place(trouble, suspect, fleet)
    if place <= 0.0:
        return None
    time = 0.5 ** (gap_ms / BLAME_HALF_LIFE_MS)
    factor, reasons = 1.0, [reason_time, reason_place]
    if shift is not None:
        share = (shift.deviations - _SHIFT_NONE) / (_SHIFT_FULL - _SHIFT_NONE)
        factor = 0.5 + 1.5 * min(1.0, max(0.0, share))
        code = "moved" if share > 0.0 else "still"
        values = {"figure": shift.figure, "deviations": round(shift.deviations, 1)}
        reasons.append(Reason(code, values))
    if suspect.is_undoing:
        factor *= 0.5
        reasons.append(Reason("undoing"))
    return Blame(suspect.id, time * place * factor, time, place, factor, tuple(reasons))


def _came_ms(trouble: Trouble, suspect: Suspect) -> tuple[int, Reason] | None:
    """How long before its trouble the change came to the hosts (median), or None: it did not."""
    gaps = sorted(
        trouble.hosts[host] - came
        for host, came in suspect.hosts.items()
        if host in trouble.hosts and trouble.hosts[host] - came >= -BLAME_LATE_MS
    )
    if gaps:
        gap_ms = max(0, gaps[len(gaps) // 2])
    elif suspect.hosts and trouble.hosts:
        return None
    else:
        gap_ms = trouble.began_ms - suspect.began_ms
        if gap_ms < -BLAME_LATE_MS:
            return None
        if suspect.ended_ms is None or suspect.ended_ms >= trouble.began_ms:
            return 0, Reason("ran", {"since_ms": max(0, gap_ms)})
        gap_ms = max(0, trouble.began_ms - suspect.ended_ms)
    if gap_ms > BLAME_WINDOW_MS:
        return None
    return gap_ms, Reason("before" if gap_ms >= _MOMENT_MS else "at", {"gap_ms": gap_ms})


def _place(trouble: Trouble, suspect: Suspect, fleet: int) -> tuple[float, Reason]:
    if suspect.hosts and trouble.hosts:
        hit = [
            host
            for host, began in trouble.hosts.items()
            if host in suspect.hosts and began - suspect.hosts[host] >= -BLAME_LATE_MS
        ]
        recall = len(hit) / len(trouble.hosts)
        share = min(1.0, len(suspect.hosts) / fleet)
        kept = _FLEET_WIDE_KEPT + (1.0 - _FLEET_WIDE_KEPT) * (1.0 - share)
        # where the change touched exactly who is ill, its breadth says nothing against it
        healthy = len(suspect.hosts) - len(hit)
        kept = 1.0 if healthy == 0 else kept
        values = {"hit": len(hit), "of": len(trouble.hosts), "touched": len(suspect.hosts)}
        return recall * kept, Reason("hosts", values)
    same = [n for n, v in suspect.labels.items() if trouble.labels.get(n) == v]
    other = [n for n, v in suspect.labels.items() if trouble.labels.get(n, v) != v]
    if other:
        return 0.0, Reason("elsewhere", {"labels": sorted(other)})
    if same:
        missing = 1.0
        for name in same:
            missing *= 1.0 - _LABEL_WEIGHTS.get(name, _LABEL_WEIGHT)
        shown = {name: suspect.labels[name] for name in sorted(same)}
        return 1.0 - missing, Reason("labels", {"labels": shown})
    return _NO_PLACE, Reason("anywhere")


_SENTENCES: dict[str, dict[str, str]] = {
    "en": {
        "before": "it came {gap} before the trouble",
        "at": "it came at the moment at which the trouble began",
        "ran": "it was running when the trouble began",
        "hosts": "it had touched {hit} of the {of} hosts in trouble ({touched} in all)",
        "labels": "it went to the same place: {labels}",
        "anywhere": "it does not say where it went",
        "moved": "{figure} jumped when it came (by {deviations} of its usual deviation)",
        "still": "{figure} did not move when it came",
        "undoing": "it is itself a way back",
    },
    "uk": {
        "before": "вона прийшла за {gap} до збою",
        "at": "вона прийшла тієї миті, коли почався збій",
        "ran": "вона тривала, коли почався збій",
        "hosts": "вона торкнулася {hit} з {of} уражених серверів (усього {touched})",
        "labels": "вона стосувалася того самого місця: {labels}",
        "anywhere": "не сказано, де вона відбулася",
        "moved": "{figure}: стрибок, коли вона прийшла (на {deviations} звичних відхилень)",
        "still": "{figure}: без змін, коли вона прийшла",
        "undoing": "вона сама є поверненням назад",
    },
}
_FIGURES = {
    "cpu": {"en": "processor load", "uk": "навантаження процесора"},
    "memory": {"en": "memory in use", "uk": "зайнята пам'ять"},
    "disk": {"en": "disk load", "uk": "навантаження диска"},
    "network": {"en": "network traffic", "uk": "мережевий трафік"},
}
_UNITS = {"en": ("s", "min", "h"), "uk": ("с", "хв", "год")}


def sentence(reasons: Sequence[Reason], language: str) -> str:
    """The reasons as one sentence: `It came 2 min before the trouble; it had touched …`."""
    words = _SENTENCES.get(language, _SENTENCES["en"])
    parts = []
    for reason in reasons:
        values = dict(reason.values)
        if "gap_ms" in values:
            values["gap"] = _duration(values["gap_ms"], language)
        if isinstance(values.get("labels"), dict):
            values["labels"] = ", ".join(f"{n} {v}" for n, v in values["labels"].items())
        if "figure" in values:
            named = _FIGURES.get(values["figure"], {})
            values["figure"] = named.get(language, named.get("en", values["figure"]))
        parts.append(words[reason.code].format(**values))
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _duration(ms: int, language: str) -> str:
    s, m, h = _UNITS.get(language, _UNITS["en"])
    seconds = ms // 1000
    if seconds < 90:
        return f"{seconds} {s}"
    if seconds < 5400:
        return f"{round(seconds / 60)} {m}"
    return f"{seconds / 3600:.1f} {h}"
