"""The watch: one thread that looks at tripwires ten times a second and tells of crossings.

`Wires` decides (what crossed since the last look); `Watch` waits and looks. A crossing is told
once, at the look that saw it, and never kept for later: what cannot be sent now is left to the
ordinary samples.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
from collections.abc import Callable
from typing import NamedTuple

from vezha.agent.collect.collector import Series
from vezha.agent.config import AgentConfig
from vezha.agent.limits import WATCH_CROSSINGS_PER_S, WATCH_INTERVAL_S, WATCH_START_AGAIN_S
from vezha.agent.watch_sources import WATCHED, Source, open_busy, open_source, source_name
from vezha.model.labels import METRIC_NAME, Labels
from vezha.wire.message import Crossing
from vezha.wire.tripwire import OPS, Condition, Selector, Tripwire, matcher_of
from vezha.world import World

Send = Callable[[Crossing], None]
Say = Callable[[str], None]


class _Opened:
    """A source that is open, or is tried again later."""

    def __init__(self, make: Callable[[], Source]) -> None:
        self._make = make
        self.metrics: set[str] = set()
        self.wants_told = False
        self.source: Source | None = None
        self.changed = False
        self.epoch = 0
        """Counts the lists of series that it has announced."""
        self._series: Series | None = None
        self.again_s = 0.0
        self.trouble = ""

    def look(self, now_s: float) -> None:
        self.changed = False
        try:
            if self.source is None:
                if now_s < self.again_s:
                    return
                self.source = self._make()
                self.wants_told = False
            if not self.wants_told:
                self.source.want(self.metrics)
                self.wants_told = True
            self.changed = self.source.look(now_s)
            self.trouble = ""
            if self.source.series is not self._series:
                self._series = self.source.series
                self.epoch += 1
        except Exception as error:
            # Whatever a source raises is its own business; the others go on.
            self.trouble = f"{error}"
            self.again_s = now_s + WATCH_START_AGAIN_S
            self.close()

    def close(self) -> None:
        if self.source is not None:
            with contextlib.suppress(OSError):
                self.source.close()
            self.source = self._series = None
            self.epoch += 1


class _Term(NamedTuple):
    """A condition with where its quantity is read."""

    condition: Condition
    of: _Opened
    per: _Opened | None

    def bind(self) -> dict[Labels, _Check]:
        """Where to read, by labels without the metric's name."""
        condition = self.condition
        found = _places(self.of, condition.of)
        below = _places(self.per, condition.per) if self.per is not None else {}
        checks = {}
        for labels, place in found.items():
            if self.per is None:
                checks[labels] = _Check(condition, self.of, place, None, 0)
            elif labels in below:
                checks[labels] = _Check(condition, self.of, place, self.per, below[labels])
        return checks


class _Check(NamedTuple):
    """One value to read and compare."""

    condition: Condition
    of: _Opened
    place: int
    per: _Opened | None
    per_place: int

    def value(self) -> float:
        """Not a number where there is none."""
        assert self.of.source is not None
        value = self.of.source.values[self.place]
        if self.per is None:
            return value
        assert self.per.source is not None
        below = self.per.source.values[self.per_place]
        return value / below if below else math.nan


def _places(opened: _Opened, selector: Selector | None) -> dict[Labels, int]:
    """Positions in the source of the series that are meant, by labels without the name."""
    source = opened.source
    if source is None:
        return {}
    if selector is None:
        return {(): 0}
    fits = matcher_of(selector.match)
    found = {}
    for place, labels in enumerate(source.series):
        pairs = dict(labels)
        if pairs.pop(METRIC_NAME) == selector.metric and fits(pairs):
            found[tuple(pair for pair in labels if pair[0] != METRIC_NAME)] = place
    return found


class _Wire:
    """One tripwire with what of it is across the threshold."""

    def __init__(self, wire: Tripwire, terms: list[_Term]) -> None:
        self.wire = wire
        self.terms = terms
        both = [t.of for t in terms] + [t.per for t in terms if t.per is not None]
        self.opened = list({id(opened): opened for opened in both}.values())
        self.across: set[Labels] = set()
        self._epoch = -1
        self._rows: list[tuple[Labels, list[_Check]]] = []

    def _bind(self) -> None:
        """Learn anew where the values stand, as some source announced other series."""
        tables = [term.bind() for term in self.terms]
        self._rows = [
            (labels, [table[labels] for table in tables])
            for labels in tables[0]
            if all(labels in table for table in tables)
        ]

    def crossings(self) -> list[tuple[Labels, bool, float]]:
        """Labels that crossed since the last time: to which side, and the value.

        What vanished did not recover: the ordinary samples say what became of it.
        """
        epoch = 0
        for opened in self.opened:
            epoch += opened.epoch
        if epoch != self._epoch:
            self._epoch = epoch
            self._bind()
        out = []
        across = self.across
        for labels, checks in self._rows:
            told = math.nan
            holds = True
            for check in checks:
                value = check.value()
                if value != value:
                    break
                if told != told:
                    told = value
                if not OPS[check.condition.op](value, check.condition.value):
                    holds = False
            else:
                if holds is not (labels in across):
                    out.append((labels, holds, told))
        for labels, holds, _ in out:
            (across.add if holds else across.discard)(labels)
        return out


class Wires:
    """All tripwires of an agent over their sources. One thread looks."""

    def __init__(self, config: AgentConfig, world: World) -> None:
        self._config = config
        self._world = world
        self._sources: dict[object, _Opened] = {}
        self._wires: list[_Wire] = []

    def __len__(self) -> int:
        return len(self._wires)

    def set(self, wires: list[Tripwire]) -> None:
        """Watch *wires* from now on. What stays as it was keeps its state, so that it is not told
        again."""
        before = {wire.wire: wire for wire in self._wires}
        sources, self._sources = self._sources, {}
        self._old = sources
        self._wires = [self._keep(before.get(wire)) or self._make(wire) for wire in wires]
        for opened in sources.values():
            if opened not in self._sources.values():
                opened.close()

    def _keep(self, wire: _Wire | None) -> _Wire | None:
        if wire is not None:
            for key, opened in self._old.items():
                if opened in wire.opened:
                    self._sources[key] = opened
        return wire

    def _make(self, wire: Tripwire) -> _Wire:
        terms = []
        for one in wire.conditions:
            if one.busy is not None:
                busy = one.busy
                opened = self._opened(busy, lambda b=busy: open_busy(b, self._config, self._world))  # type: ignore[misc]
                terms.append(_Term(one, opened, None))
                continue
            assert one.of is not None
            per = None if one.per is None else self._named(one.per.metric)
            terms.append(_Term(one, self._named(one.of.metric), per))
        return _Wire(wire, terms)

    def _named(self, of: str) -> _Opened:
        name = source_name(of)
        opened = self._opened(name, lambda: open_source(name, self._config, self._world))
        if of not in opened.metrics:
            opened.metrics.add(of)
            opened.wants_told = False
        return opened

    def _opened(self, key: object, make: Callable[[], Source]) -> _Opened:
        found = self._sources.get(key) or self._old.get(key) or _Opened(make)
        self._sources[key] = found
        return found

    def look(self) -> list[Crossing]:
        """Read every source once; what crossed."""
        now_s = self._world.clock.monotonic()
        for opened in self._sources.values():
            opened.look(now_s)
        out = []
        for wire in self._wires:
            for opened in wire.opened:
                if opened.changed:
                    break
            else:
                continue
            for labels, active, value in wire.crossings():
                out.append(self._crossing(wire, labels, active, value))
        return out

    def _crossing(self, wire: _Wire, labels: Labels, active: bool, value: float) -> Crossing:
        at_ms = round(self._world.clock.now() * 1000)
        told = value if math.isfinite(value) else 0.0
        return Crossing(wire.wire.id, active, at_ms, told, dict(labels))

    def descriptors(self) -> list[int]:
        """What becomes readable when the next look should be at once."""
        opened = self._sources.get(WATCHED)
        return [] if opened is None or opened.source is None else opened.source.descriptors()

    def hurry(self) -> None:
        """One of `descriptors` is readable."""
        opened = self._sources.get(WATCHED)
        if opened is not None and opened.source is not None:
            opened.source.hurry()

    def close(self) -> None:
        """Close all sources."""
        for opened in self._sources.values():
            opened.close()


class Watch:
    """The thread around `Wires`. Idle, and free of cost, while there is no tripwire."""

    def __init__(self, config: AgentConfig, world: World, send: Send) -> None:
        self._world = world
        self._send = send
        self._wires = Wires(config, world)
        self._lock = threading.Lock()
        self._wanted: list[Tripwire] | None = None
        self._stopping = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._waited: list[int] | None = None
        self._poll = select.poll()
        self._allowance = float(WATCH_CROSSINGS_PER_S)
        self.looks_total = 0
        self.crossings_total = 0
        self.dropped_total = 0
        self.watched = 0

    # called by other threads -------------------------------------------------------------------

    def set(self, wires: list[Tripwire]) -> None:
        """Watch *wires* instead of what was watched."""
        with self._lock:
            self._wanted = wires
        self._wake()

    def stop(self) -> None:
        """End `run`."""
        self._stopping = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    # the thread ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Look until stopped. Once."""
        next_s = 0.0
        try:
            while not self._stopping:
                self._take_wanted()
                now_s = self._world.clock.monotonic()
                if self.watched and now_s >= next_s:
                    # Behind by more than a look: go on from here instead of catching up.
                    next_s = max(next_s + WATCH_INTERVAL_S, now_s + WATCH_INTERVAL_S / 2)
                    self.look()
                self._wait(max(0.0, next_s - self._world.clock.monotonic()))
        finally:
            self._wires.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _take_wanted(self) -> None:
        with self._lock:
            wanted, self._wanted = self._wanted, None
        if wanted is not None:
            self._wires.set(wanted)
            self.watched = len(self._wires)

    def look(self) -> None:
        """One look, and what came of it is sent."""
        self.looks_total += 1
        most = float(WATCH_CROSSINGS_PER_S)
        self._allowance = min(most, self._allowance + most * WATCH_INTERVAL_S)
        for crossing in self._wires.look():
            if self._allowance < 1.0:
                self.dropped_total += 1
                continue
            self._allowance -= 1.0
            self.crossings_total += 1
            self._send(crossing)

    def _wait(self, seconds: float) -> None:
        """Until the next look is due, a watched process ends, or somebody calls."""
        waited = self._wires.descriptors()
        if waited != self._waited:
            self._waited = waited
            self._poll = select.poll()
            for fd in (self._wake_read, *waited):
                self._poll.register(fd, select.POLLIN)
        # A poll counts whole milliseconds; one that is too short would spin.
        ready = self._poll.poll(None if not self.watched else math.ceil(seconds * 1000))
        for fd, _ in ready:
            if fd == self._wake_read:
                with contextlib.suppress(BlockingIOError):
                    while os.read(self._wake_read, 4096):
                        pass
            else:
                self._wires.hurry()
                self.look()
                return
