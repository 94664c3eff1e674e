"""The book: loads that came, forecasts that were made of them, and file systems' room, by step.

Steps count from the epoch: step s is the time (s·STEP_S, (s+1)·STEP_S]. A row is a key
(`host` or `group`, name, resource). The loop writes it, the API reads it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vezha.forecast.history import Key, Ring
from vezha.forecast.limits import (
    DAY_STEPS,
    FILE_STEPS,
    HISTORY_STEPS,
    KEPT_STEPS,
    SCORE_STEPS,
    STEP_S,
)
from vezha.forecast.model import Forecast, forecast
from vezha.forecast.resource import BY_NAME
from vezha.forecast.score import Scores, score, scores_of
from vezha.world import World

F32 = npt.NDArray[np.float32]
BOUNDS = ("mean", "low", "high")
FIGURES = ("mae", "naive_mae", "coverage", "peak")
KEYS_AT_ONCE = 2_048
"""Loads whose history is in memory at once: 22 MB."""
_FIGURES_FILE = "figures.json"


@dataclass(frozen=True, slots=True)
class Standing:
    """How some loads stand, float32 [keys] each: NaN where history is too short. `forecasts` says
    where scores are of forecasts that came true; elsewhere they are of a backtest."""

    scores: Scores
    peak: F32
    forecasts: npt.NDArray[np.bool_]


class Book:
    """All of it, in one folder."""

    def __init__(self, world: World, folder: str, *, readonly: bool = False) -> None:
        self._world = world
        self._folder = folder
        self._seen: tuple[int, ...] = ()
        self.loads = Ring(world, folder, "loads", HISTORY_STEPS, readonly=readonly)
        self.told = Ring(world, folder, "told", KEPT_STEPS, readonly=readonly)
        self.files = Ring(world, folder, "files", FILE_STEPS, readonly=readonly)
        self.figures: dict[Key, tuple[float, ...]] = {}
        self.issued = -1
        self._read_figures()

    def refresh(self) -> None:
        """For readers: look whether the writer told of something new."""
        names = ("loads.json", "told.json", "files.json", _FIGURES_FILE)
        seen = tuple(_changed(Path(self._folder, name)) for name in names)
        if seen != self._seen:
            self._seen = seen
            for ring in (self.loads, self.told, self.files):
                ring.load()
            self._read_figures()

    def _read_figures(self) -> None:
        try:
            told = json.loads(self._world.disk.read(f"{self._folder}/{_FIGURES_FILE}"))
            self.figures = {tuple(row[:3]): tuple(row[3:]) for row in told["rows"]}
            self.issued = int(told["issued"])
            if self.issued > self.loads.newest:
                # of a book that was lost, or of a clock that was wrong
                self.figures, self.issued = {}, -1
        except (OSError, ValueError, KeyError, TypeError):
            return

    def save(self) -> None:
        """Everything that was written."""
        for ring in (self.loads, self.told, self.files):
            ring.save()

    def clear(self) -> None:
        """Begin anew: the clock was wrong when this was written."""
        for ring in (self.loads, self.told, self.files):
            ring.clear()
        self.figures.clear()
        self.issued = -1
        self.save()

    def known(self, kind: str = "") -> list[Key]:
        """The loads that are known, sorted."""
        return sorted(key for key in self.loads.rows if not kind or key[0] == kind)

    def history(self, keys: Sequence[Key], end: int, count: int = HISTORY_STEPS) -> F32:
        """float32 [keys, count]: loads up to step *end*; NaN for keys that are unknown."""
        return _window(self.loads, keys, end, count)

    def empty(self, end: int) -> list[Key]:
        """Loads without a single value in all of history."""
        out: list[Key] = []
        known = self.known()
        for at in range(0, len(known), KEYS_AT_ONCE):
            some = known[at : at + KEYS_AT_ONCE]
            count = np.isfinite(self.history(some, end)).sum(axis=1).tolist()
            out += [key for key, n in zip(some, count, strict=True) if n == 0]
        return out

    def forecast(self, keys: Sequence[Key], steps: int) -> Forecast:
        """Forecast anew, from the newest step on."""
        parts = []
        for at in range(0, max(len(keys), 1), KEYS_AT_ONCE):
            some = keys[at : at + KEYS_AT_ONCE]
            parts.append(forecast(self.history(some, self.loads.newest), steps, most_of(some)))
        return Forecast(
            *(np.concatenate([getattr(p, name) for p in parts]) for name in Forecast.__slots__)
        )

    def said(self, keys: Sequence[Key], end: int, count: int) -> tuple[F32, F32, F32]:
        """(mean, low, high), float32 [keys, count] each: what was forecast for steps up to *end*."""
        mean, low, high = (
            _window(self.told, [(*key, bound) for key in keys], end, count) for bound in BOUNDS
        )
        return mean, low, high

    def issue(self, keys: Sequence[Key], made: Forecast, after: int) -> None:
        """Keep what was forecast after step *after* (history's last); what was said stays said."""
        steps = made.mean.shape[1]
        enough = np.flatnonzero(made.enough)
        some = [keys[i] for i in enough.tolist()]
        self.told.reach(after + steps)
        for bound, values in zip(BOUNDS, (made.mean, made.low, made.high), strict=True):
            rows = self.told.place((*key, bound) for key in some)
            there = self.told.window(after + steps, steps, rows)
            kept = np.where(np.isnan(there), values[enough], there)
            for i in range(steps):
                self.told.write(after + 1 + i, rows, kept[:, i])
        for i, key in enumerate(keys):
            if made.enough[i]:
                self.figures[key] = tuple(
                    round(float(getattr(made, name)[i]), 6) for name in FIGURES
                )
            else:
                self.figures.pop(key, None)
        self.issued = after
        rows_told = [[*key, *figures] for key, figures in self.figures.items()]
        told = {"issued": after, "rows": rows_told}
        self._world.disk.write_whole(f"{self._folder}/{_FIGURES_FILE}", json.dumps(told).encode())

    def standing(self, keys: Sequence[Key], end: int) -> Standing:
        """Scores of the day that ends with step *end*."""
        nothing = (np.nan,) * len(FIGURES)
        table = np.array([self.figures.get(key, nothing) for key in keys], np.float32)
        mae, naive, coverage, peak = table.reshape(len(keys), len(FIGURES)).T
        peak = np.maximum(peak, peak_least_of(keys))
        found = score(
            self.history(keys, end, SCORE_STEPS), *self.said(keys, end, SCORE_STEPS), naive, peak
        )
        scored = np.isfinite(found.mae) & np.isfinite(naive)
        days = np.where(np.isfinite(mae), DAY_STEPS, 0)
        before = scores_of(mae, coverage, naive, peak, days)
        joined = Scores(
            *(
                np.where(scored, getattr(found, name), getattr(before, name))
                for name in ("mae", "mase", "coverage", "predictability", "steps")
            )
        )
        return Standing(joined, peak, scored)


def most_of(keys: Sequence[Key]) -> F32:
    """float32 [keys]: the largest value that each load can have."""
    return np.array([BY_NAME[key[2]].most for key in keys], np.float32)


def peak_least_of(keys: Sequence[Key]) -> F32:
    """float32 [keys]: the floor of each load's peak."""
    return np.array([BY_NAME[key[2]].peak_least for key in keys], np.float32)


def step_of(time_s: float) -> int:
    """The step in which a time lies."""
    return int(-(-time_s // STEP_S)) - 1


def _window(ring: Ring, keys: Sequence[Key], end: int, count: int) -> F32:
    out = np.full((len(keys), count), np.nan, np.float32)
    places = [(i, ring.rows[key]) for i, key in enumerate(keys) if key in ring.rows]
    if places:
        at, rows = np.array(places, np.int64).T
        out[at] = ring.window(end, count, rows)
    return out


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
