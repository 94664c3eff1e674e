"""Rotations: who is on call when. Pure.

A schedule has layers. Within a layer people take turns of equal length by the clock on the wall in the
schedule's time zone, from a first hand-over on; a layer may be limited to weekly windows. A later layer
stands over an earlier one where it has somebody, and an override over all layers; of two
overrides at one time the newer counts. Where nobody is left there is a gap, which is shown.

Turns are counted in local time and each boundary is turned into an instant by itself, so that a
hand-over at 09:00 stays at 09:00 when clocks change: that turn is an hour shorter or longer. A
local time that does not exist is taken as long after the clocks' jump as it was meant to be after
the last existing one; of one that exists twice the first counts (PEP 495, fold=0).

All times are ms since the epoch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from vezha.incidents.oncall.errors import OnCallError
from vezha.incidents.oncall.limits import RENDER_MS_MAX, TURNS_MAX

HOUR_MS = 3_600_000
_UTC = timezone.utc


@dataclass(frozen=True, slots=True)
class Window:
    """On *days* (0 = Monday) from *start_minute* of the day for *minutes*, by the wall clock."""

    days: tuple[int, ...]
    start_minute: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Layer:
    """*people* take turns of *turn_hours*, the first from *start* (local, naive) on."""

    name: str
    people: tuple[str, ...]
    turn_hours: int
    start: datetime
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as kept; *title* is for people."""

    name: str
    time_zone: str
    layers: tuple[Layer, ...] = ()
    title: str = ""

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which its hand-overs are."""
        return ZoneInfo(self.time_zone)

    @property
    def people(self) -> list[str]:
        """Everybody in it, in the order of the layers."""
        return list(dict.fromkeys(p for layer in self.layers for p in layer.people))


@dataclass(frozen=True, slots=True)
class Override:
    """*person* stands in from *starts_ms* to *ends_ms*."""

    id: int
    person: str
    starts_ms: int
    ends_ms: int
    author: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """From *starts_ms* to before *ends_ms* it is *person* (empty: a gap), by *source*."""

    starts_ms: int
    ends_ms: int
    person: str
    source: str = ""


def shifts(
    schedule: Schedule, overrides: Sequence[Override], from_ms: int, to_ms: int
) -> list[Span]:
    """Who is on call in [from_ms, to_ms): spans without overlap that cover all of it, gaps included.

    Raises OnCallError for a range that is too long.
    """
    if to_ms <= from_ms:
        return []
    if to_ms - from_ms > RENDER_MS_MAX:
        raise OnCallError(f"shifts are worked out for at most {RENDER_MS_MAX // 86_400_000} days")
    levels = [_turns(layer, schedule.zone, from_ms, to_ms) for layer in schedule.layers]
    for one in sorted(overrides, key=lambda o: o.id):
        if one.starts_ms < to_ms and one.ends_ms > from_ms:
            span = Span(
                max(one.starts_ms, from_ms), min(one.ends_ms, to_ms), one.person,
                f"override {one.id}",
            )  # fmt: skip
            levels.append([span])
    return _overlay(levels, from_ms, to_ms)


def on_call(schedule: Schedule, overrides: Sequence[Override], at_ms: int) -> Span:
    """Who is on call at an instant, with the whole shift as far as it can be seen."""
    ahead = shifts(schedule, overrides, at_ms, at_ms + RENDER_MS_MAX // 4)
    behind = shifts(schedule, overrides, at_ms - RENDER_MS_MAX // 4, at_ms + 1)
    now = _same_person(ahead)[0]
    before = _same_person(behind)[-1]
    return Span(before.starts_ms, now.ends_ms, now.person, ahead[0].source)


def next_on_call(
    schedule: Schedule, overrides: Sequence[Override], at_ms: int, within_ms: int
) -> Span | None:
    """The next span of somebody else, gaps left out; None where there is none *within_ms*."""
    spans = shifts(schedule, overrides, at_ms, at_ms + within_ms)
    return next((s for s in spans[1:] if s.person and s.person != spans[0].person), None)


def gaps(schedule: Schedule, overrides: Sequence[Override], from_ms: int, to_ms: int) -> list[Span]:
    """When nobody is on call."""
    return [s for s in shifts(schedule, overrides, from_ms, to_ms) if not s.person]


def open_until(windows: Sequence[Window], zone: ZoneInfo, at_ms: int) -> int | None:
    """When the window ends that is open at an instant; None where none is."""
    if not windows:
        return None
    open_ = _merged(_openings(windows, zone, at_ms, at_ms + 1))
    return next((ends for begins, ends in open_ if begins <= at_ms < ends), None)


def instant(local: datetime, zone: ZoneInfo) -> int:
    """A naive local time as ms since the epoch."""
    return round(local.replace(tzinfo=zone).timestamp() * 1000)


def local_time(ms: int, zone: ZoneInfo) -> datetime:
    """An instant as a naive local time."""
    return datetime.fromtimestamp(ms / 1000, zone).replace(tzinfo=None)


def _turns(layer: Layer, zone: ZoneInfo, from_ms: int, to_ms: int) -> list[Span]:
    if not layer.people:
        return []
    turn = timedelta(hours=layer.turn_hours)
    # a turn may begin an hour or so off by a change of clocks: one more on each side
    first = max(0, (local_time(from_ms, zone) - layer.start) // turn - 1)
    last = (local_time(to_ms, zone) - layer.start) // turn + 1
    if last - first > TURNS_MAX:
        raise OnCallError(f"layer {layer.name} has more than {TURNS_MAX} turns in that time")
    out = []
    for number in range(first, last + 1):
        begins = instant(layer.start + number * turn, zone)
        ends = instant(layer.start + (number + 1) * turn, zone)
        span = _cut(begins, ends, from_ms, to_ms)
        if span is not None:
            out.append(Span(*span, layer.people[number % len(layer.people)], layer.name))
    return _within(out, layer.windows, zone) if layer.windows else out


def _cut(begins: int, ends: int, from_ms: int, to_ms: int) -> tuple[int, int] | None:
    begins, ends = max(begins, from_ms), min(ends, to_ms)
    return (begins, ends) if begins < ends else None


def _within(spans: Sequence[Span], windows: Sequence[Window], zone: ZoneInfo) -> list[Span]:
    """*spans*, as far as a window is open."""
    if not spans:
        return []
    open_ = _merged(_openings(windows, zone, spans[0].starts_ms, spans[-1].ends_ms))
    out = []
    at = 0
    for span in spans:
        while at < len(open_) and open_[at][1] <= span.starts_ms:
            at += 1
        for begins, ends in open_[at:]:
            if begins >= span.ends_ms:
                break
            cut = _cut(begins, ends, span.starts_ms, span.ends_ms)
            if cut is not None:
                out.append(Span(*cut, span.person, span.source))
    return out


def _openings(
    windows: Sequence[Window], zone: ZoneInfo, from_ms: int, to_ms: int
) -> Iterable[tuple[int, int]]:
    longest = max(w.minutes for w in windows)
    day = local_time(from_ms, zone).date() - timedelta(days=longest // 1440 + 1)
    last = local_time(to_ms, zone).date()
    while day <= last:
        for window in windows:
            if day.weekday() in window.days:
                yield _opening(day, window, zone)
        day += timedelta(days=1)


def _opening(day: date, window: Window, zone: ZoneInfo) -> tuple[int, int]:
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - local on purpose
    begins = midnight + timedelta(minutes=window.start_minute)
    return instant(begins, zone), instant(begins + timedelta(minutes=window.minutes), zone)


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for begins, ends in sorted(ranges):
        if out and begins <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], ends))
        elif begins < ends:
            out.append((begins, ends))
    return out


def _overlay(levels: Sequence[Sequence[Span]], from_ms: int, to_ms: int) -> list[Span]:
    """The highest level counts at each instant; neighbours of one person and source are one."""
    edges = {from_ms, to_ms}
    for spans in levels:
        for span in spans:
            edges.update((span.starts_ms, span.ends_ms))
    ordered = sorted(edges)
    places = [0] * len(levels)
    out: list[Span] = []
    for begins, ends in itertools.pairwise(ordered):
        person = source = ""
        for level in range(len(levels) - 1, -1, -1):
            spans = levels[level]
            while places[level] < len(spans) and spans[places[level]].ends_ms <= begins:
                places[level] += 1
            at = places[level]
            if at < len(spans) and spans[at].starts_ms <= begins:
                person, source = spans[at].person, spans[at].source
                break
        if out and (out[-1].person, out[-1].source) == (person, source):
            out[-1] = Span(out[-1].starts_ms, ends, person, source)
        else:
            out.append(Span(begins, ends, person, source))
    return out


def _same_person(spans: Sequence[Span]) -> list[Span]:
    """Neighbours of one person joined, whatever they come from."""
    out: list[Span] = []
    for span in spans:
        if out and out[-1].person == span.person:
            out[-1] = Span(out[-1].starts_ms, span.ends_ms, span.person, out[-1].source)
        else:
            out.append(span)
    return out
