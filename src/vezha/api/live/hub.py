"""The hub: computes each second's frames once and gives them to the viewers they concern.

Works only while somebody watches. The computing happens on a thread of its own, so that
people's queries and the stream do not wait for one another; where a tick takes long, the next
one comes later, and never more than a fraction of a core is spent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import msgspec
import structlog

from vezha.api import limits
from vezha.api.fleet import Fleet, FleetSnapshot, labels_of
from vezha.api.live.frame import (
    Lines,
    Tiles,
    fleet_delta,
    fleet_full,
    host_changes,
    host_lines,
    host_values,
)
from vezha.api.live.host_stream import HostStream
from vezha.api.live.viewer import FLEET, HOST, INCIDENTS, Viewer
from vezha.api.metrics import ApiMetrics
from vezha.ledger import AnyRow
from vezha.query.engine import Engine
from vezha.world import World

_log = structlog.get_logger("vezha.api.live")
_ENCODER = msgspec.json.Encoder()
TICK_S = 1.0
BUSY_SHARE_MAX = 0.5
"""Largest share of one core that ticks may take; slower fleets are shown less often."""


@dataclass(slots=True)
class _HostTick:
    """A host's lines of one tick, whole, and as what changed since the tick before."""

    revision: int
    lines: Lines
    full: bytes
    changes: bytes
    series: str


@dataclass(slots=True)
class _Tick:
    """What one tick computed, ready to be queued."""

    time_s: float
    fleet: FleetSnapshot | None = None
    hosts_text: str = ""
    incidents: list[Any] | None = None
    hosts: dict[str, _HostTick] = field(default_factory=dict)


class Hub:
    """Call `run()` as a task; `join`, `watch` and `leave` from the event loop."""

    def __init__(
        self,
        fleet: Fleet,
        engine: Engine,
        world: World,
        metrics: ApiMetrics,
        open_incidents: Callable[[], Sequence[Any]] | None = None,
    ) -> None:
        self._fleet = fleet
        self._engine = engine
        self._world = world
        self._metrics = metrics
        self._open_incidents = open_incidents
        self._viewers: set[Viewer] = set()
        self._streams: dict[str, HostStream] = {}
        self._lines: dict[str, _HostTick] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._wake = asyncio.Event()
        self._shown: Tiles | None = None
        self._revision = -1
        self._verdict = ""
        self._incidents_text = ""
        self._expected = False
        self._hosts_of: list[AnyRow] | None = None
        self._hosts_text = ""

    @property
    def viewers(self) -> int:
        """Open streams."""
        return len(self._viewers)

    def join(self, viewer: Viewer) -> bool:
        """Take a viewer in; False where there are `LIVE_VIEWERS_MAX` already."""
        if len(self._viewers) >= limits.LIVE_VIEWERS_MAX:
            return False
        self._viewers.add(viewer)
        self._metrics.viewers.set(len(self._viewers))
        return True

    def watch(self, viewer: Viewer, page: str, host: str = "") -> None:
        """Let a viewer watch a page; it is told everything within the same second."""
        viewer.watch(page, host)
        self._wake.set()

    def expect(self) -> None:
        """Somebody opens a page: the fleet is computed while the page's code is on its way."""
        self._expected = True
        self._wake.set()

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self._viewers.discard(viewer)
        self._metrics.viewers.set(len(self._viewers))

    def nudge(self, topic: str) -> None:
        """Something changed in the ledger: look at once. On the event loop's thread."""
        if topic == "hosts":
            self._fleet.forget()
        if topic in ("hosts", "incidents", "alerts"):
            self._wake.set()
        if topic == "changes":
            self._tell_all({"type": "changes"})
        kind, _, number = topic.partition(":")
        if kind == "checklists" and number.isdigit():
            self._tell_all({"type": "checklist_run", "id": int(number)})

    def _tell_all(self, message: dict[str, Any]) -> None:
        """A word to whoever watches anything: they ask for what it names if they show it."""
        for viewer in self._viewers:
            if viewer.page:
                self._put(viewer, "word", _text(message))

    async def run(self) -> None:
        """Tick until cancelled."""
        clock = self._world.clock
        try:
            while True:
                if not self._expected and not any(v.page for v in self._viewers):
                    self._wake.clear()
                    await self._wake.wait()
                self._wake.clear()
                began_s = clock.monotonic()
                await self.tick()
                took_s = clock.monotonic() - began_s
                self._metrics.live_tick_seconds.observe(took_s)
                pause_s = max(TICK_S - took_s, took_s * (1 / BUSY_SHARE_MAX - 1))
                # A nudge or a new viewer shortens the pause, but not below what a tick costs.
                await asyncio.sleep(min(pause_s, took_s))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, pause_s - took_s)):
                        await self._wake.wait()
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def tick(self) -> None:
        """Compute this second's frames and queue them."""
        pages = {v.page for v in self._viewers} | ({FLEET} if self._expected else set())
        self._expected = False
        hosts = sorted({v.host for v in self._viewers if v.page == HOST})
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self._pool, self._compute, pages, hosts)
        except Exception:
            # A store that restarts, a ledger that is busy: the next second tries again.
            _log.warning("live_tick_failed", exc_info=True)
            return
        self._give(made)

    def _compute(self, pages: set[str], hosts: list[str]) -> _Tick:
        """On the hub's own thread."""
        now_s = self._world.clock.now()
        tick = _Tick(now_s)
        if FLEET in pages:
            tick.fleet = self._fleet.snapshot()
            tick.hosts_text = self._hosts_message(tick.fleet)
        if (FLEET in pages or INCIDENTS in pages) and self._open_incidents is not None:
            tick.incidents = list(self._open_incidents())
        for name in [n for n in self._streams if n not in hosts]:
            del self._streams[name]
        for name in hosts:
            stream = self._streams.setdefault(name, HostStream(self._engine, name))
            lines = host_lines(stream.values(int(now_s * 1000)))
            tick.hosts[name] = _host_tick(stream, lines, now_s, self._lines.get(name))
        return tick

    def _hosts_message(self, fleet: FleetSnapshot) -> str:
        """Made anew only when the ledger's rows were read anew, or the names are others."""
        rows = self._fleet.hosts()
        if rows is not self._hosts_of or fleet.revision != self._revision:
            self._hosts_text = hosts_message(rows, fleet)
            self._hosts_of = rows
        return self._hosts_text

    def _give(self, tick: _Tick) -> None:
        if tick.fleet is not None:
            self._give_fleet(tick, tick.fleet)
        for viewer in self._viewers:
            if viewer.page == HOST and viewer.host in tick.hosts:
                host = tick.hosts[viewer.host]
                if viewer.stale or viewer.revision != host.revision:
                    self._renew(viewer, host.series, host.full)
                    viewer.revision = host.revision
                else:
                    self._put(viewer, "host", host.changes)
        self._lines = tick.hosts
        if tick.incidents is not None:
            self._give_incidents(tick.incidents)

    def _give_fleet(self, tick: _Tick, fleet: FleetSnapshot) -> None:
        changed = fleet.revision != self._revision or self._shown is None
        if changed:
            self._shown, self._revision = fleet.tiles.copy(), fleet.revision
            delta = b""
        else:
            assert self._shown is not None
            delta, self._shown = fleet_delta(self._shown, fleet.tiles, tick.time_s, fleet.revision)
        verdict = _text(
            {"type": "verdict", "counts": fleet.counts(), "incidents": tick.incidents or []}
        )
        full = b""
        for viewer in self._viewers:
            if viewer.page != FLEET:
                continue
            if changed or viewer.stale:
                full = full or fleet_full(self._shown, tick.time_s, fleet.revision)
                self._renew(viewer, tick.hosts_text, verdict, full)
            elif verdict != self._verdict:
                self._put(viewer, "fleet", delta, verdict)
            else:
                self._put(viewer, "fleet", delta)
        self._verdict = verdict

    def _give_incidents(self, incidents: list[Any]) -> None:
        text = _text({"type": "incidents", "incidents": incidents})
        for viewer in self._viewers:
            if viewer.page != INCIDENTS:
                continue
            if viewer.stale:
                self._renew(viewer, text)
            elif text != self._incidents_text:
                self._put(viewer, "incidents", text)
        self._incidents_text = text

    def _renew(self, viewer: Viewer, *messages: bytes | str) -> None:
        """Tell everything anew, as soon as what was queued before is out."""
        if not viewer.is_caught_up:
            viewer.stale = True
            self._metrics.live_skipped.inc(len(messages))
            return
        viewer.stale = False
        self._metrics.live_frames.labels("full").inc()
        viewer.put(*messages)

    def _put(self, viewer: Viewer, kind: str, *messages: bytes | str) -> None:
        if viewer.put(*messages):
            self._metrics.live_frames.labels(kind).inc()
        else:
            self._metrics.live_skipped.inc(len(messages))


def _host_tick(
    stream: HostStream, lines: Lines, time_s: float, before: _HostTick | None
) -> _HostTick:
    full = host_values(lines, time_s, stream.revision)
    changes = full
    if before is not None and before.revision == stream.revision:
        # whoever is up to date has got everything since it was told all
        changes = min(full, host_changes(before.lines, lines, time_s, stream.revision), key=len)
    series = _text(
        {"type": "series", "revision": stream.revision & 0xFFFF, "series": stream.series()}
    )
    return _HostTick(stream.revision, lines, full, changes, series)


def hosts_message(hosts: Sequence[AnyRow], snapshot: FleetSnapshot) -> str:
    """The list of hosts to which a revision's frames refer, in the order of their rows.

    Columns: of `labels` and `os` each has its distinct `values` and, `at` the place of each host,
    which of them it is, or -1. What a label says of thousands of hosts is then said once.
    """
    known = {row.name: row for row in hosts}
    rows = [known[name] for name in snapshot.names if name in known]
    labels = [labels_of(row) for row in rows]
    names = sorted({name for one in labels for name in one})
    return _text(
        {
            "type": "hosts",
            "revision": snapshot.revision & 0xFFFF,
            "names": [row.name for row in rows],
            "labels": {name: _column([one.get(name) for one in labels]) for name in names},
            "os": _column([str(row.facts.get("os") or "") or None for row in rows]),
        }
    )


def _column(texts: Sequence[str | None]) -> dict[str, list[Any]]:
    values = {text: i for i, text in enumerate(sorted({t for t in texts if t is not None}))}
    return {"values": list(values), "at": [-1 if t is None else values[t] for t in texts]}


def _text(message: dict[str, Any]) -> str:
    return _ENCODER.encode(message).decode()
