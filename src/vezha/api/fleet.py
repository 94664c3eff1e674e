"""The fleet at one moment: what each host's tile on the map shows. Computed once for everyone.

In come the ledger's hosts and a handful of instant queries over all of them; out goes one
`FleetSnapshot`, shared by the host list and by every viewer of the live stream for a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from vezha.access.host import list_hosts
from vezha.api import limits
from vezha.ledger import AnyRow, Ledger
from vezha.model.columns import Values
from vezha.model.labels import INSTANCE, Labels, get_label
from vezha.model.severity import Severity
from vezha.world import World

_log = structlog.get_logger("vezha.api.fleet")

STATES = ("normal", "warning", "critical", "silent", "unknown")
"""A state's number on the wire is its place here."""
NORMAL, WARNING, CRITICAL, SILENT, UNKNOWN = range(5)
LOADS = ("cpu", "memory", "space", "disk", "net")
"""The five loads, in percent of what the host can, in their order on the wire."""
LOAD_UNKNOWN = 255

_DISK = 'device!~"(loop|ram|zram|fd|sr|dm-|md)[0-9]*"'
_FS = 'fstype!~"tmpfs|ramfs|devtmpfs|squashfs|iso9660|overlay|fuse.*|nsfs|autofs"'
_NET = 'device!~"lo|veth.*|docker.*|br-.*|virbr.*|cni.*|flannel.*|tun.*"'

LOAD_QUERIES: dict[str, str] = {
    "idle": "avg by (instance) (sum by (instance, cpu) "
    '(rate(node_cpu_seconds_total{mode=~"idle|iowait"}[5s])))',
    "available": "last_over_time(node_memory_MemAvailable_bytes[15s])",
    "disk": f"max by (instance) (rate(node_disk_io_time_seconds_total{{{_DISK}}}[5s]))",
    "net": (
        f"max by (instance) (rate(node_network_receive_bytes_total{{{_NET}}}[5s])) "
        f"+ max by (instance) (rate(node_network_transmit_bytes_total{{{_NET}}}[5s]))"
    ),
}
"""Asked each second."""
SLOW_QUERIES: dict[str, str] = {
    "space": (
        "100 * max by (instance) (1 - "
        f"node_filesystem_avail_bytes{{{_FS}}} / (node_filesystem_size_bytes{{{_FS}}} > 0))"
    ),
    "memory": "node_memory_MemTotal_bytes",
    "speed": f"max by (instance) (node_network_speed_bytes{{{_NET}}} > 0)",
}
"""What moves slowly or never, asked every few seconds."""
SPEED_ASSUMED = 125_000_000.0
"""Bytes per second of a link that does not tell its speed (virtual cards): 1 Gbit/s."""
# Windows and not plain selectors: were the data contour down, a plain one would show its last
# word for five minutes.
STATUS_QUERIES: dict[str, str] = {
    "up": 'last_over_time(up{job="node"}[15s])',
    "behind": "last_over_time(vezha_agent_behind_seconds[15s])",
    "complete": "last_over_time(vezha_agent_completeness_ratio[15s])",
}
ALERTS_QUERY = 'ALERTS{alertstate="firing",instance!=""}'

Ask = Callable[[str, int], tuple[list[Labels], Values]]
"""An instant query: text and time (ms) → series and their values (float64)."""


@dataclass(slots=True)
class FleetSnapshot:
    """Columns over the hosts of `names` (sorted), as of `time_ms`.

    `tiles` is uint8[n, 6]: the state, then the five loads in percent or 255. `connected` is
    bool[n]; `behind_s` and `complete` are float64[n], NaN where they are not known.
    `revision` changes with the list of names.
    """

    time_ms: int
    revision: int
    names: list[str]
    tiles: npt.NDArray[np.uint8]
    connected: npt.NDArray[np.bool_]
    behind_s: Values
    complete: Values

    def counts(self) -> dict[str, int]:
        """How many hosts are in each state."""
        numbers = np.bincount(self.tiles[:, 0], minlength=len(STATES))
        return {state: int(numbers[i]) for i, state in enumerate(STATES)}


def place(rows: Mapping[str, int], found: tuple[list[Labels], Values], count: int) -> Values:
    """float64[count]: each host's value out of a query's answer, NaN where it has none."""
    column = np.full(count, np.nan)
    labels, values = found
    at = [rows.get(get_label(one, INSTANCE), -1) for one in labels]
    index = np.asarray(at, np.int64)
    known = index >= 0
    column[index[known]] = values[known]
    return column


def percent(column: Values) -> npt.NDArray[np.uint8]:
    """uint8: whole percent in 0…100, 255 where the value is no number."""
    whole = np.clip(np.nan_to_num(column, nan=0.0, posinf=100.0, neginf=0.0), 0, 100)
    shown = np.rint(whole).astype(np.uint8)
    shown[np.isnan(column)] = LOAD_UNKNOWN
    return shown


def decide_states(
    up: Values, worst: npt.NDArray[np.uint8], seen: npt.NDArray[np.bool_]
) -> npt.NDArray[np.uint8]:
    """uint8[n]: the state of each host.

    A host that is not up is silent, whatever was firing when it fell silent; one that never
    sent anything is unknown; else the worst firing alert says. Where no host at all has a word
    the trouble is ours, not theirs, and all are unknown.
    """
    states = worst.copy()
    states[(up == 0) | (np.isnan(up) & seen)] = SILENT
    states[np.isnan(up) & (~seen | bool(np.isnan(up).all()))] = UNKNOWN
    return states


class Fleet:
    """Makes snapshots, at most one per second however many ask. Blocks; thread-safe."""

    def __init__(self, ledger: Ledger, world: World, ask: Ask) -> None:
        self._ledger = ledger
        self._world = world
        self._ask = ask
        self._lock = threading.Lock()
        self._snapshot: FleetSnapshot | None = None
        self._made_s = 0.0
        self._hosts: list[AnyRow] = []
        self._hosts_read_s = -1e9
        self._revision = 0
        self._slow: dict[str, Values] = {}
        self._slow_names: list[str] = []
        self._slow_until_s = -1e9

    def hosts(self) -> list[AnyRow]:
        """The ledger's rows of all hosts, by name; read anew after some seconds or a change."""
        now_s = self._world.clock.monotonic()
        if now_s - self._hosts_read_s >= limits.HOSTS_REREAD_S:
            hosts = list_hosts(self._ledger)
            self._hosts_read_s = now_s
            if [r.name for r in hosts] != [r.name for r in self._hosts] or (
                [r.labels for r in hosts] != [r.labels for r in self._hosts]
            ):
                self._revision += 1
            self._hosts = hosts
        return self._hosts

    def forget(self) -> None:
        """Somebody changed hosts: the next snapshot reads them anew."""
        self._hosts_read_s = -1e9
        self._made_s = 0.0

    def snapshot(self) -> FleetSnapshot:
        """The fleet now; one made in this second is shared."""
        with self._lock:
            now_s = self._world.clock.monotonic()
            fresh = now_s - self._made_s < limits.SNAPSHOT_SHARED_S
            if self._snapshot is None or not fresh:
                self._snapshot = self._make()
                self._made_s = now_s
            return self._snapshot

    def _make(self) -> FleetSnapshot:
        hosts = self.hosts()
        names = [row.name for row in hosts]
        rows = {name: i for i, name in enumerate(names)}
        count, now_ms = len(names), int(self._world.clock.now() * 1000)

        def ask(text: str) -> Values:
            try:
                return place(rows, self._ask(text, now_ms), count)
            except Exception:
                # One query that fails (a limit, a store that restarts) leaves its column empty.
                _log.warning("fleet_query_failed", query=text, exc_info=True)
                return np.full(count, np.nan)

        up = ask(STATUS_QUERIES["up"])
        tiles = np.empty((count, 6), np.uint8)
        for i, load in enumerate(self._loads(names, ask)):
            tiles[:, i + 1] = percent(load)
        seen = np.asarray([row.last_seen_ms is not None for row in hosts], np.bool_)
        tiles[:, 0] = decide_states(up, self._worst(rows, count, now_ms), seen)
        # What a silent host last said is no longer so.
        tiles[tiles[:, 0] == SILENT, 1:] = LOAD_UNKNOWN
        return FleetSnapshot(
            now_ms,
            self._revision,
            names,
            tiles,
            up == 1,
            ask(STATUS_QUERIES["behind"]),
            ask(STATUS_QUERIES["complete"]),
        )

    def _loads(self, names: list[str], ask: Callable[[str], Values]) -> tuple[Values, ...]:
        """The five loads in percent, in the order of `LOADS`: float64[n] each."""
        now_s = self._world.clock.monotonic()
        if now_s >= self._slow_until_s or names != self._slow_names:
            self._slow = {name: ask(text) for name, text in SLOW_QUERIES.items()}
            self._slow_names, self._slow_until_s = names, now_s + limits.SLOW_LOADS_SHARED_S
        now = {name: ask(text) for name, text in LOAD_QUERIES.items()}
        speed = self._slow["speed"]
        with np.errstate(divide="ignore", invalid="ignore"):
            return (
                100 * (1 - now["idle"]),
                100 * (1 - now["available"] / self._slow["memory"]),
                self._slow["space"],
                100 * now["disk"],
                100 * now["net"] / np.where(np.isnan(speed), SPEED_ASSUMED, speed),
            )

    def _worst(self, rows: dict[str, int], count: int, now_ms: int) -> npt.NDArray[np.uint8]:
        worst = np.zeros(count, np.uint8)
        try:
            firing, _ = self._ask(ALERTS_QUERY, now_ms)
        except Exception:
            _log.warning("fleet_query_failed", query=ALERTS_QUERY, exc_info=True)
            return worst
        for labels in firing:
            row = rows.get(get_label(labels, INSTANCE), -1)
            if row >= 0:
                worst[row] = max(worst[row], _LEVEL[Severity.of(get_label(labels, "severity"))])
        return worst


_LEVEL = {Severity.CRITICAL: CRITICAL, Severity.WARNING: WARNING, Severity.INFO: NORMAL}


def host_view(row: AnyRow, snapshot: FleetSnapshot | None, index: int) -> dict[str, Any]:
    """A host as the API and the live stream show it."""
    facts: dict[str, Any] = row.facts
    said = facts.get("labels")
    labels = {**(said if isinstance(said, dict) else {}), **row.labels}
    view: dict[str, Any] = {
        "name": row.name,
        "state": STATES[UNKNOWN],
        "connected": False,
        "behind_s": None,
        "complete_ratio": None,
        "labels": labels,
        "agent_version": str(facts.get("agent_version") or ""),
        "os": str(facts.get("os") or ""),
        "cores": _number(facts.get("cores")),
        "memory_bytes": _number(facts.get("memory_bytes")),
        "first_seen": (row.first_seen_ms or row.created_ms) / 1000,
        "last_seen": None if row.last_seen_ms is None else row.last_seen_ms / 1000,
    }
    if snapshot is None or index < 0:
        return view
    behind_s = _finite(snapshot.behind_s[index])
    view["state"] = STATES[snapshot.tiles[index, 0]]
    view["connected"] = bool(snapshot.connected[index])
    view["behind_s"] = behind_s
    view["complete_ratio"] = _finite(snapshot.complete[index])
    if behind_s is not None:
        view["last_seen"] = snapshot.time_ms / 1000 - behind_s
    return view


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _number(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float)) and value else None
