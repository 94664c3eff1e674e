"""The fleet as the gateway sees it: who is connected, how far behind, how complete.

One row per host in numpy columns, so that the series of 10,000 hosts are a few array operations a
second. Rows are never removed while the server runs; a forgotten host is marked and left out.

    up                                1 while frames or heart-beats arrive, 0 from the moment at
                                      which a connection drops without a good-bye, or after 3 s of
                                      silence; nothing at all while the server settles after a start
    vezha_agent_planned_absence       1 while an agent that said good-bye is awaited
    vezha_agent_behind_seconds        age of the newest sample of the host
    vezha_agent_completeness_ratio    frames received of those made, over the last hour
    vezha_agent_backlog_frames        frames in the agent's spool
    vezha_agent_spool_bytes           bytes in the agent's spool
    vezha_agent_dropped_frames_total  frames that the agent dropped since its spool was full
    vezha_agent_clock_offset_seconds  the host's clock against the server's, positive: it is late
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vezha.gateway.limits import (
    COMPLETENESS_SPAN_S,
    COMPLETENESS_STEP_S,
    SETTLE_S,
    WAITING_USUAL_FRAMES,
)
from vezha.model.columns import Refs, Values
from vezha.model.labels import Labels, metric
from vezha.wire.limits import SILENCE_S

SERIES: tuple[str, ...] = (
    "up",
    "vezha_agent_planned_absence",
    "vezha_agent_behind_seconds",
    "vezha_agent_completeness_ratio",
    "vezha_agent_backlog_frames",
    "vezha_agent_spool_bytes",
    "vezha_agent_dropped_frames_total",
    "vezha_agent_clock_offset_seconds",
)
_STEPS = COMPLETENESS_SPAN_S // COMPLETENESS_STEP_S

_COLUMNS: dict[str, type] = {
    "connected": np.bool_,
    "seen": np.bool_,
    "gone": np.bool_,
    "heard_s": np.float64,
    "absent_until_s": np.float64,
    "newest_ms": np.float64,
    "received": np.float64,
    "lost": np.float64,
    "backlog_frames": np.float64,
    "spool_bytes": np.float64,
    "dropped_frames": np.float64,
    "dropped_known": np.bool_,
    "silent": np.bool_,
    "offset_s": np.float64,
}


@dataclass
class Fleet:
    """Columns by host. Times in seconds are of one monotonic clock, `newest_ms` of the wall."""

    started_s: float
    names: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    _capacity: int = 0
    _columns: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    _history: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, _STEPS, 2)))
    _history_at: int = 0

    def row(self, host: str) -> int:
        """The row of *host*, made if it is new; a forgotten host is remembered again."""
        found = self.rows.get(host)
        if found is not None:
            self.column("gone")[found] = False
            return found
        row = len(self.names)
        if row >= self._capacity:
            self._grow()
        self.names.append(host)
        self.rows[host] = row
        return row

    def _grow(self) -> None:
        self._capacity = max(64, 2 * self._capacity)
        for name, dtype in _COLUMNS.items():
            column: npt.NDArray[Any] = np.zeros(self._capacity, dtype)
            old = self._columns.get(name)
            if old is not None:
                column[: len(old)] = old
            self._columns[name] = column
        history = np.zeros((self._capacity, _STEPS, 2))
        history[: len(self._history)] = self._history
        self._history = history

    def column(self, name: str) -> npt.NDArray[Any]:
        """One column over all rows, longer than `names`; write through it."""
        if not self._columns:
            self._grow()
        return self._columns[name]

    def forget(self, host: str) -> None:
        """The host was removed: no series of it any more."""
        found = self.rows.get(host)
        if found is not None:
            self.column("gone")[found] = True

    def step(self) -> None:
        """Once per `COMPLETENESS_STEP_S`: remember what was received and made until now."""
        self._history_at = (self._history_at + 1) % _STEPS
        self._history[:, self._history_at, 0] = self.column("received")
        self._history[:, self._history_at, 1] = self.column("lost")

    def completeness(self, part: slice | None = None) -> Values:
        """float64[hosts]: share of the last hour's frames that arrived; 1 where none was made.

        What waits in a spool is missing until it comes, what was dropped for an hour.
        """
        part = part or slice(0, len(self.names))
        oldest = self._history[part, (self._history_at + 1) % _STEPS]
        received = self.column("received")[part] - oldest[:, 0]
        lost = self.column("lost")[part] - oldest[:, 1]
        waiting = self.column("backlog_frames")[part]
        made = received + lost + np.where(waiting > WAITING_USUAL_FRAMES, waiting, 0.0)
        ratio: Values = np.divide(received, made, out=np.ones(len(made)), where=made > 0)
        return ratio

    def told_dropped(self, row: int, dropped_frames: int) -> None:
        """An agent told how many frames it ever dropped; what grows counts as lost. The first
        word after a start tells nothing new."""
        known = self.column("dropped_known")
        before = self.column("dropped_frames")[row]
        if known[row]:
            # a wiped spool begins at zero again
            grown = dropped_frames - before if dropped_frames >= before else dropped_frames
            self.column("lost")[row] += grown
        known[row] = True
        self.column("dropped_frames")[row] = dropped_frames

    def turned(self, now_s: float) -> list[int]:
        """Rows of connected hosts that fell silent, or spoke again, since this was last asked."""
        n = len(self.names)
        silent = self.column("connected")[:n] & (now_s - self.column("heard_s")[:n] > SILENCE_S)
        known = self.column("silent")[:n]
        rows = np.flatnonzero(silent != known)
        known[rows] = silent[rows]
        found: list[int] = rows.tolist()
        return found

    def samples(
        self, now_s: float, wall_ms: int, only: int | None = None
    ) -> tuple[npt.NDArray[np.int64], Values]:
        """The rows to report (int64[k]) and their values (float64[k, len(SERIES)]); of one row
        where *only* names it, so that a storm of connects costs a row each."""
        part = slice(0, len(self.names)) if only is None else slice(only, only + 1)
        c = {name: self.column(name)[part] for name in _COLUMNS}
        heard = now_s - c["heard_s"] <= SILENCE_S
        up = c["connected"] & heard
        settled = c["seen"] | (now_s - self.started_s > SETTLE_S)
        rows = np.flatnonzero(settled & ~c["gone"])
        absent = ~up & (c["absent_until_s"] > now_s)
        behind = np.where(c["newest_ms"] > 0, (wall_ms - c["newest_ms"]) / 1000.0, np.nan)
        table = np.column_stack(
            [
                up.astype(np.float64),
                absent.astype(np.float64),
                np.maximum(behind, 0.0),
                self.completeness(part),
                c["backlog_frames"],
                c["spool_bytes"],
                c["dropped_frames"],
                c["offset_s"],
            ]
        )
        return rows + part.start, table[rows]


class FleetSeries:
    """References of the fleet's series, resolved once per host."""

    def __init__(self) -> None:
        self._refs = np.zeros((0, len(SERIES)), np.int64)

    def missing(self, fleet: Fleet) -> list[Labels]:
        """Series of hosts that joined since the last `learn`."""
        return [
            metric(name, instance=host, job="node")
            for host in fleet.names[len(self._refs) :]
            for name in SERIES
        ]

    def learn(self, refs: Refs) -> None:
        """The references of what `missing` listed."""
        self._refs = np.vstack([self._refs, refs.reshape(-1, len(SERIES))])

    def of(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """int64[k, len(SERIES)]: the references of some rows."""
        found: npt.NDArray[np.int64] = self._refs[rows]
        return found
