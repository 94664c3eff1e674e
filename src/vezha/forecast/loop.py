"""The loop: reads history, forecasts, scores, says it as series. One thread, low priority.

`step` does one thing that is due and says how long nothing else is. Everything can be killed at
any time: history is read anew from where the book ends, forecasts that were made are in the book.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import structlog

from vezha.forecast.book import BOUNDS, Book, Standing
from vezha.forecast.fill import WITHIN_S, Filling, bridged, fill
from vezha.forecast.history import Key
from vezha.forecast.limits import (
    CLOCK_BACK_STEPS_MAX,
    FILE_STEPS,
    FILE_SYSTEMS_MAX,
    GROUP_HOSTS_MIN,
    GROUPS_MAX,
    HISTORY_STEPS,
    HOSTS_MAX,
    ISSUE_EVERY_STEPS,
    ISSUE_STEPS,
    LAG_S,
    PUBLISH_S,
    READ_STEPS_MAX,
    STEP_S,
    TICK_S,
    UNUSUAL_MIN,
)
from vezha.forecast.reading import Read, read_files, read_loads
from vezha.forecast.resource import BY_NAME, RESOURCES
from vezha.forecast.strange import Strange, judged
from vezha.model.labels import Labels, labels_of
from vezha.query import Engine, QueryError
from vezha.world import World

Floats = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
Write = Callable[[list[Labels], int, Floats], None]
"""Hand over samples: labels, one time in ms, float64 values."""
OWN_LABELS = ("__name__", "instance", "job")
_log = structlog.get_logger("vezha.forecast")


class Forecaster:
    """Keeps one book."""

    def __init__(self, engine: Engine, world: World, folder: str, write: Write) -> None:
        self.book = Book(world, folder)
        self._engine = engine
        self._world = world
        self._write = write
        self._at_once = READ_STEPS_MAX
        self._standing: tuple[list[Key], Standing] | None = None
        self._anomalies: Strange | None = None
        self._filling: tuple[list[tuple[str, str, str]], Filling] | None = None
        self._tick = -1
        self._published_s = 0.0

    def step(self) -> float:
        """Do what is due; seconds until there is something again (0: at once)."""
        now_s = self._world.clock.now()
        last = int((now_s - LAG_S) // STEP_S) - 1
        tick = int((now_s - LAG_S) // TICK_S)
        if self.book.loads.newest > last + CLOCK_BACK_STEPS_MAX:
            _log.warning("the clock was set back; learning loads anew")
            self.book.clear()
            self._standing = self._anomalies = self._filling = None
            self._tick, self._published_s = -1, 0.0
        elif self.book.loads.newest < last:
            self._catch_up(last)
            self._standing = None
        elif self.book.files.newest < tick:
            self._catch_up_files(tick)
        elif self.book.issued < last - last % ISSUE_EVERY_STEPS:
            self._issue(last)
            self._standing = None
        elif self._tick < tick:
            self._tick = tick
            self._look(tick)
        elif now_s - self._published_s >= PUBLISH_S or now_s < self._published_s:
            self._published_s = now_s
            self._publish(now_s)
        else:
            return min(TICK_S - (now_s - LAG_S) % TICK_S, PUBLISH_S - (now_s - self._published_s))
        return 0.0

    def rest_s(self) -> float:
        """Seconds for which nobody misses this process; 0 where it has something to say."""
        if self.book.loads.rows or self.book.files.rows:
            return 0.0
        return TICK_S - (self._world.clock.now() - LAG_S) % TICK_S

    # reading -------------------------------------------------------------------------------------

    def _catch_up(self, last: int) -> None:
        """Read loads on, at most a day at once."""
        ring = self.book.loads
        first = max(ring.newest + 1, last - HISTORY_STEPS + 1)
        count = min(self._at_once, last - first + 1)
        try:
            read = read_loads(self._engine, first * STEP_S * 1000, STEP_S * 1000, count)
        except QueryError as error:
            _log.warning("loads_unread", steps=count, why=str(error)[:200])
            if count > 1:
                self._at_once = count // 2
                return
            read = Read([], {})
        for rows, values in self._rows_of(read):
            for i in range(count):
                ring.write(first + i, rows, values[:, i].astype(np.float32))
        ring.reach(first + count - 1)
        ring.save()

    def _rows_of(self, read: Read) -> list[tuple[npt.NDArray[np.int64], Floats]]:
        """Rows and values, of hosts and then of groups, by resource."""
        hosts = read.hosts[:HOSTS_MAX]
        out = []
        groups = self._groups(hosts)
        for resource in RESOURCES:
            values = read.loads.get(resource.name)
            if values is None:
                continue
            rows = self.book.loads.place(("host", host, resource.name) for host in hosts)
            out.append((rows, values[: len(hosts)]))
            if groups:
                rows = self.book.loads.place(("group", name, resource.name) for name in groups)
                made = np.stack([_joined(values[at], resource.summed) for at in groups.values()])
                out.append((rows, made))
        return out

    def _groups(self, hosts: list[str]) -> dict[str, npt.NDArray[np.int64]]:
        """Label values that at least two hosts share → places of these in *hosts*."""
        places = {host: i for i, host in enumerate(hosts)}
        found: dict[str, list[int]] = {}
        try:
            told = self._engine.instant("vezha_host_info", int(self._world.clock.now() * 1000))
        except QueryError as error:
            _log.warning("hosts_unread", why=str(error)[:200])
            return {}
        for labels in told.labels:
            pairs = dict(labels)
            at = places.get(pairs.get("instance", ""))
            if at is None:
                continue
            for name, value in labels:
                if name not in OWN_LABELS:
                    found.setdefault(f"{name}={value}", []).append(at)
        large = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
        return {
            name: np.array(at, np.int64)
            for name, at in large[:GROUPS_MAX]
            if len(at) >= GROUP_HOSTS_MIN
        }

    def _catch_up_files(self, tick: int) -> None:
        """Read free room on; file systems are few beside loads, but looked at oftener."""
        ring = self.book.files
        first = max(ring.newest + 1, tick - FILE_STEPS + 1)
        count = min(self._at_once, tick - first + 1)
        try:
            read = read_files(self._engine, first * TICK_S * 1000, TICK_S * 1000, count)
        except QueryError as error:
            _log.warning("file_systems_unread", steps=count, why=str(error)[:200])
            if count > 1:
                self._at_once = count // 2
                return
            ring.reach(tick)
            return
        names = read.names[:FILE_SYSTEMS_MAX]
        for what, values in (("free", read.free), ("size", read.size)):
            rows = ring.place((*name, what) for name in names)
            for i in range(count):
                ring.write(first + i, rows, values[: len(names), i].astype(np.float32))
        ring.reach(first + count - 1)
        ring.save()

    # forecasting ---------------------------------------------------------------------------------

    def _issue(self, last: int) -> None:
        """Forecast the next day of everything that has history enough."""
        book = self.book
        gone = book.empty(last)
        book.loads.drop(gone)
        for key in gone:
            book.told.drop([t for t in ((*key, b) for b in BOUNDS) if t in book.told.rows])
            book.figures.pop(key, None)
        keys = book.known()
        book.issue(keys, book.forecast(keys, ISSUE_STEPS), last)
        book.save()
        _log.info("forecast", loads=len(keys), with_history=len(book.figures))

    def _look(self, tick: int) -> None:
        """Compare the last minutes with their forecast; see what fills."""
        self._anomalies = self._strange(tick)
        ring = self.book.files
        names = sorted({(key[0], key[1], key[2]) for key in ring.rows})
        if names:
            at = {what: ring.place((*name, what) for name in names) for what in ("free", "size")}
            size = ring.window(ring.newest, 3, at["size"])
            known = np.isfinite(size)
            largest = np.where(known, size, 0.0).max(axis=1).astype(np.float64)
            free = ring.window(ring.newest, FILE_STEPS, at["free"]).astype(np.float64)
            self._filling = names, fill(bridged(free), np.maximum(largest, 1.0), float(TICK_S))

    def _strange(self, tick: int) -> Strange | None:
        try:
            read = read_loads(self._engine, (tick - 1) * TICK_S * 1000, TICK_S * 1000, 1)
        except QueryError as error:
            _log.warning("loads_unread", steps=1, why=str(error)[:200])
            return None
        keys: list[Key] = []
        values: list[Floats] = []
        groups = self._groups(read.hosts)
        for name, load in read.loads.items():
            keys += [("host", host, name) for host in read.hosts]
            values.append(load[:, 0])
            if groups:
                keys += [("group", group, name) for group in groups]
                summed = BY_NAME[name].summed
                values.append(np.concatenate([_joined(load[at], summed) for at in groups.values()]))
        if not keys:
            return None
        step = (tick * TICK_S - 1) // STEP_S
        actual = np.concatenate(values).astype(np.float32)
        return judged(self.book, keys, actual, step)

    # saying --------------------------------------------------------------------------------------

    def _publish(self, now_s: float) -> None:
        """All series of now, those that are known."""
        if self._standing is None:
            keys = [key for key in self.book.known() if key in self.book.figures]
            self._standing = keys, self.book.standing(keys, self.book.loads.newest)
        keys, standing = self._standing
        found: dict[str, tuple[list[Labels], Floats]] = {}
        for name, figures in (
            ("vezha_load_predictability", standing.scores.predictability),
            ("vezha_load_forecast_error", standing.scores.mase),
            ("vezha_load_forecast_coverage", standing.scores.coverage),
        ):
            found[name] = [_labels(name, key) for key in keys], figures.astype(np.float64)
        said = self.book.said(keys, int(now_s // STEP_S), 1)
        for bound, column in zip(BOUNDS, said, strict=True):
            name = "vezha_load_forecast"
            labels = [_labels(name, key, bound=bound) for key in keys]
            found[f"{name} {bound}"] = labels, column[:, 0].astype(np.float64)
        if self._anomalies is not None:
            name = "vezha_load_anomaly_score"
            strange = self._anomalies
            found[name] = (
                [_labels(name, key) for key in strange.keys],
                strange.score.astype(np.float64),
            )
            found["unusual"] = _unusual_series(strange)
        found.update(self._filling_series())
        now_ms = int(now_s * 1000)
        for labels, values in found.values():
            known = np.flatnonzero(~np.isnan(values))
            if len(known):
                self._write([labels[i] for i in known.tolist()], now_ms, values[known])

    def _filling_series(self) -> dict[str, tuple[list[Labels], Floats]]:
        if self._filling is None:
            return {}
        names, filling = self._filling
        told = {
            "vezha_disk_full_forecast_seconds": (
                [_file_labels("vezha_disk_full_forecast_seconds", name) for name in names],
                filling.seconds,
            )
        }
        for span in WITHIN_S:
            labels = [
                _file_labels("vezha_disk_full_probability", name, within=span) for name in names
            ]
            told[f"within {span}"] = labels, filling.within[span]
        return told


def _unusual_series(strange: Strange) -> tuple[list[Labels], Floats]:
    """What an unusual load is and what would be usual: only of those that are far off, so few."""
    name = "vezha_load_unusual"
    labels: list[Labels] = []
    values: list[float] = []
    for i in np.flatnonzero(np.abs(strange.score) >= UNUSUAL_MIN).tolist():
        for what, column in (
            ("now", strange.now),
            ("low", np.maximum(strange.low, 0.0)),
            ("high", strange.high),
        ):
            labels.append(_labels(name, strange.keys[i], what=what, basis=strange.basis[i]))
            values.append(float(column[i]))
    return labels, np.array(values)


def _joined(values: Floats, summed: bool) -> Floats:
    """A group's load of its hosts' (float64 [hosts, steps]): sum or mean of those that are there."""
    there = np.isfinite(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0.0).sum(axis=0)
    made = total if summed else total / np.maximum(count, 1)
    return np.where(count > 0, made, np.nan)


def _labels(name: str, key: Key, **more: str) -> Labels:
    kind, of, resource = key
    where = {"instance" if kind == "host" else "group": of}
    return labels_of({"__name__": name, "job": "vezha", "resource": resource, **where, **more})


def _file_labels(name: str, file: tuple[str, str, str], **more: str) -> Labels:
    instance, mountpoint, device = file
    return labels_of(
        {"__name__": name, "job": "vezha", "instance": instance, "mountpoint": mountpoint,
         "device": device, **more}
    )  # fmt: skip
