"""The fleet at one moment: what each host's tile on the map shows. Computed once for everyone.

In come the ledger's hosts and a handful of instant queries over all of them; out goes one
`FleetSnapshot`, shared by the host list and by every viewer of the live stream for a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
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
    "available": "node_memory_MemAvailable_bytes",
    "disk": f"max by (instance) (rate(node_disk_io_time_seconds_total{{{_DISK}}}[5s]))",
    "received": f"max by (instance) (rate(node_network_receive_bytes_total{{{_NET}}}[5s]))",
    "sent": f"max by (instance) (rate(node_network_transmit_bytes_total{{{_NET}}}[5s]))",
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
STATUS_QUERIES: dict[str, str] = {
    "up": 'up{job="node"}',
    "behind": "vezha_agent_behind_seconds",
    "complete": "vezha_agent_completeness_ratio",
}
ALERTS_QUERY = 'ALERTS{alertstate="firing",instance!=""}'

Ask = Callable[[str, int], tuple[list[Labels], Values]]
"""An instant query: text and time (ms) → series and their values (float64)."""
Rows = npt.NDArray[np.int64]


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


class Places:
    """Which host each series of a query's answer is of, worked out again only when one of
    them changes: the samples change every second, the label sets hardly ever."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._index: dict[str, int] = {}
        self._known: dict[str, tuple[list[Labels], Rows]] = {}

    def name(self, names: list[str]) -> None:
        """The hosts are these now, in this order."""
        if names != self._names:
            self._names = names
            self._index = {name: i for i, name in enumerate(names)}
            self._known.clear()

    def rows(self, query: str, labels: list[Labels]) -> Rows:
        """int64[n]: the row of each series' host, -1 for none that we know."""
        known = self._known.get(query)
        # Of equal lists the label sets are the same objects, which makes this a walk, no more.
        if known is None or known[0] != labels:
            index = self._index
            rows = [index.get(get_label(one, INSTANCE), -1) for one in labels]
            known = self._known[query] = (labels, np.asarray(rows, np.int64))
        return known[1]

    def place(self, query: str, found: tuple[list[Labels], Values]) -> Values:
        """float64[hosts]: each host's value out of *query*'s answer, NaN where it has none."""
        column = np.full(len(self._names), np.nan)
        labels, values = found
        rows = self.rows(query, labels)
        known = rows >= 0
        column[rows[known]] = values[known]
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

    def __init__(self, ledger: Ledger, world: World, ask: Ask, ask_recent: Ask) -> None:
        """*ask_recent* forgets a series `RECENT_S` after its last sample: were the data contour
        down, *ask* would give its last word for five minutes."""
        self._ledger = ledger
        self._world = world
        self._ask = ask
        self._ask_recent = ask_recent
        self._lock = threading.Lock()
        self._snapshot: FleetSnapshot | None = None
        self._made_s = 0.0
        self._hosts: list[AnyRow] = []
        self._names: list[str] = []
        self._seen = np.zeros(0, np.bool_)
        self._hosts_read_s = -1e9
        self._revision = 0
        self._places = Places()
        self._levels: dict[Labels, int] = {}
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
                self._names = [row.name for row in hosts]
            self._hosts = hosts
            self._seen = np.asarray([r.last_seen_ms is not None for r in hosts], np.bool_)
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
        self.hosts()
        names, seen = self._names, self._seen
        self._places.name(names)
        now_ms = int(self._world.clock.now() * 1000)
        up = self._column(STATUS_QUERIES["up"], now_ms, self._ask_recent)
        tiles = np.empty((len(names), 6), np.uint8)
        for i, load in enumerate(self._loads(now_ms)):
            tiles[:, i + 1] = percent(load)
        tiles[:, 0] = decide_states(up, self._worst(now_ms), seen)
        # What a silent host last said is no longer so.
        tiles[tiles[:, 0] == SILENT, 1:] = LOAD_UNKNOWN
        return FleetSnapshot(
            now_ms,
            self._revision,
            names,
            tiles,
            up == 1,
            self._column(STATUS_QUERIES["behind"], now_ms, self._ask_recent),
            self._column(STATUS_QUERIES["complete"], now_ms, self._ask_recent),
        )

    def _column(self, text: str, now_ms: int, ask: Ask) -> Values:
        """float64[hosts]: the answer to a query."""
        try:
            return self._places.place(text, ask(text, now_ms))
        except Exception:
            # One query that fails (a limit, a store that restarts) leaves its column empty.
            _log.warning("fleet_query_failed", query=text, exc_info=True)
            return np.full(len(self._names), np.nan)

    def _loads(self, now_ms: int) -> tuple[Values, ...]:
        """The five loads in percent, in the order of `LOADS`: float64[n] each."""
        now_s = self._world.clock.monotonic()
        if now_s >= self._slow_until_s or self._names is not self._slow_names:
            self._slow = {
                name: self._column(text, now_ms, self._ask) for name, text in SLOW_QUERIES.items()
            }
            self._slow_names, self._slow_until_s = self._names, now_s + limits.SLOW_LOADS_SHARED_S
        now = {
            name: self._column(text, now_ms, self._ask_recent)
            for name, text in LOAD_QUERIES.items()
        }
        speed = self._slow["speed"]
        with np.errstate(divide="ignore", invalid="ignore"):
            return (
                100 * (1 - now["idle"]),
                100 * (1 - now["available"] / self._slow["memory"]),
                self._slow["space"],
                100 * now["disk"],
                100 * (now["received"] + now["sent"])
                / np.where(np.isnan(speed), SPEED_ASSUMED, speed),
            )  # fmt: skip

    def _worst(self, now_ms: int) -> npt.NDArray[np.uint8]:
        """uint8[hosts]: the state that the worst firing alert gives each host."""
        worst = np.zeros(len(self._names), np.uint8)
        try:
            firing, _ = self._ask(ALERTS_QUERY, now_ms)
        except Exception:
            _log.warning("fleet_query_failed", query=ALERTS_QUERY, exc_info=True)
            return worst
        rows = self._places.rows(ALERTS_QUERY, firing)
        levels = self._levels
        self._levels = {
            labels: levels[labels]
            if labels in levels
            else _LEVEL[Severity.of(get_label(labels, "severity"))]
            for labels in firing
        }
        level = np.fromiter(self._levels.values(), np.uint8, len(self._levels))
        known = rows >= 0
        np.maximum.at(worst, rows[known], level[known])
        return worst


_LEVEL = {Severity.CRITICAL: CRITICAL, Severity.WARNING: WARNING, Severity.INFO: NORMAL}


def host_views(hosts: list[AnyRow], snapshot: FleetSnapshot) -> list[dict[str, Any]]:
    """Rows of the ledger joined with a snapshot that may be a moment older than they are."""
    rows = {name: i for i, name in enumerate(snapshot.names)}
    return [host_view(row, snapshot, rows.get(row.name, -1)) for row in hosts]


def labels_of(row: AnyRow) -> dict[str, str]:
    """A host's labels: what it says of itself, and above that what people say."""
    said = row.facts.get("labels")
    return {**(said if isinstance(said, dict) else {}), **row.labels}


def host_view(row: AnyRow, snapshot: FleetSnapshot | None, index: int) -> dict[str, Any]:
    """A host as the API and the live stream show it."""
    facts: dict[str, Any] = row.facts
    labels = labels_of(row)
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
