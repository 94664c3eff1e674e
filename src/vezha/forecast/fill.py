"""When file systems are full, and how sure that is. Pure, all file systems at once.

Free room is taken for Brownian motion with a drift; when it first reaches zero is then inverse
Gaussian (Schrödinger 1915; Folks and Chhikara 1978). Drift and spread are measured over several
spans; each counts as far as it explains the last hour, and none for less than a part, since a
fill that began now and one that has gone on for days are both worth knowing. The drift itself is
uncertain by its own spread, which widens what is said of times far off.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.forecast.limits import FILE_GAP_STEPS

Floats = npt.NDArray[np.float64]

SPANS_S = (3_600.0, 6 * 3_600.0, 86_400.0, 7 * 86_400.0)
WITHIN_S = {"4h": 4 * 3_600.0, "24h": 86_400.0, "7d": 7 * 86_400.0}
HORIZON_S = 30 * 86_400.0
STEPS_MIN = 6
"""Differences that a span must have."""
EQUAL_PART = 0.4
"""Part of the belief that is spread evenly over spans."""
SPREAD_PART_MIN = 1e-6
"""Least spread per root second, as a part of the size: a fill that is even is not certain."""
_GRID_S: Floats = np.geomspace(300.0, HORIZON_S, 140)


@dataclass(frozen=True, slots=True)
class Filling:
    """Of each file system, float64: seconds until full, the median, and the 10 % and 90 % points
    (infinite: not within 30 days); `within`: the probability of being full within each of
    `WITHIN_S`. NaN where history is too short."""

    seconds: Floats
    soonest: Floats
    latest: Floats
    within: dict[str, Floats]


def fill(free: Floats, size: Floats, step_s: float) -> Filling:
    """Forecast from *free* (float64 [file systems, steps], the newest last, NaN = absent).

    *size* (float64 [file systems]) is the whole room, in the same unit; steps are *step_s* apart.
    """
    rows = len(free)
    drifts, spreads, counts = _spans(free, size, step_s)
    belief = _belief(free, drifts, spreads, step_s)
    now = _newest(free)
    grid = np.concatenate([_GRID_S, np.array(list(WITHIN_S.values()))])
    total = np.zeros((rows, len(grid)))
    for i in range(len(SPANS_S)):
        part = _full_before(now, drifts[:, i], spreads[:, i], counts[:, i] * step_s, grid)
        total += np.where(belief[:, i : i + 1] > 0, belief[:, i : i + 1] * part, 0.0)
    known = np.isfinite(now) & (belief.sum(axis=1) > 0)
    curve = np.maximum.accumulate(total[:, : len(_GRID_S)], axis=1)
    empty = known & (now <= 0)
    middle, soonest, latest = (
        np.where(empty, 0.0, _crossing(curve, known, level)) for level in (0.5, 0.1, 0.9)
    )
    within = {
        name: np.where(known, np.where(empty, 1.0, total[:, len(_GRID_S) + i]), np.nan)
        for i, name in enumerate(WITHIN_S)
    }
    return Filling(middle, soonest, latest, within)


def bridged(free: Floats) -> Floats:
    """Free room (float64 [file systems, steps]) where it was not told for a step or two: as it was."""
    for _ in range(FILE_GAP_STEPS):
        before = np.concatenate([np.full((len(free), 1), np.nan), free[:, :-1]], axis=1)
        free = np.where(np.isnan(free), before, free)
    return free


def _spans(free: Floats, size: Floats, step_s: float) -> tuple[Floats, Floats, Floats]:
    """Loss per second, spread per root second and number of differences: float64 [rows, spans]."""
    shape = (len(free), len(SPANS_S))
    drifts, spreads, counts = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape)
    lost = -np.diff(free, axis=1)
    least = SPREAD_PART_MIN * size
    before = 0
    for i, span_s in enumerate(SPANS_S):
        steps = min(int(span_s / step_s), lost.shape[1])
        if steps == before:
            break  # history is no longer than the last span
        before = steps
        part = lost[:, lost.shape[1] - steps :]
        there = np.isfinite(part)
        count = there.sum(axis=1)
        some = np.maximum(count, 1)
        mean = np.where(there, part, 0.0).sum(axis=1) / some
        off = np.where(there, part - mean[:, None], 0.0)
        spread = np.sqrt((off * off).sum(axis=1) / np.maximum(count - 1, 1) / step_s)
        enough = count >= min(STEPS_MIN, max(1, int(span_s / step_s)))
        enough &= count >= 0.5 * steps
        drifts[:, i] = np.where(enough, mean / step_s, np.nan)
        spreads[:, i] = np.where(enough, np.maximum(spread, least), np.nan)
        counts[:, i] = count
    return drifts, spreads, counts


def _belief(free: Floats, drifts: Floats, spreads: Floats, step_s: float) -> Floats:
    """float64 [rows, spans], each row's sum 1 or 0: how well each span explains the last hour."""
    steps = min(max(int(3_600.0 / step_s), 1), free.shape[1] - 1)
    usable = np.isfinite(drifts)
    if steps < 1 or not usable.any():
        return np.zeros(drifts.shape)
    last = -np.diff(free[:, -steps - 1 :], axis=1)
    wide = np.where(usable, spreads, 1.0) * np.sqrt(step_s)
    log = np.zeros(drifts.shape)
    for i in range(drifts.shape[1]):
        off = (last - np.where(usable[:, i], drifts[:, i], 0.0)[:, None] * step_s) / wide[
            :, i, None
        ]
        log[:, i] = np.where(np.isfinite(off), -0.5 * np.minimum(off * off, 50.0), 0.0).sum(axis=1)
        log[:, i] -= steps * np.log(wide[:, i])
    log = np.where(usable, log, -np.inf)
    best = log.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):
        by_fit = np.where(usable, np.exp(np.minimum(log - best, 0.0)), 0.0)
    by_fit /= np.maximum(by_fit.sum(axis=1, keepdims=True), 1e-300)
    even = usable / np.maximum(usable.sum(axis=1, keepdims=True), 1)
    made: Floats = EQUAL_PART * even + (1.0 - EQUAL_PART) * by_fit
    return np.where(usable, made, 0.0)


def _full_before(
    now: Floats, drift: Floats, spread: Floats, seen_s: Floats, times: Floats
) -> Floats:
    """Probability that zero is reached before each time: float64 [rows, times].

    The drift's own variance, spread²/seen, is added to the motion's.
    """
    room = np.maximum(now, 0.0)[:, None]
    drift, spread = drift[:, None], spread[:, None]
    t = times[None, :]
    doubt = 1.0 + t / np.maximum(seen_s, 1.0)[:, None]
    wide = spread * np.sqrt(t * doubt)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        first = _normal((drift * t - room) / wide)
        # the reflected part: of a path that came to zero and went on elsewhere
        push = np.minimum(2.0 * drift * room / (spread * spread * doubt), 700.0)
        second = np.exp(push) * _normal((-room - drift * t) / wide)
        total = first + np.where(np.isfinite(second), second, 0.0)
    return np.clip(np.where(np.isfinite(total), total, 0.0), 0.0, 1.0)


def _normal(z: Floats) -> Floats:
    """The normal distribution function, to 1.5e-7 (Abramowitz and Stegun 7.1.26)."""
    x = np.abs(z) / np.sqrt(2.0)
    t = 1.0 / (1.0 + 0.3275911 * x)
    poly = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    half: Floats = 0.5 * poly * np.exp(-x * x)
    return np.where(z > 0, 1.0 - half, half)


def _newest(free: Floats) -> Floats:
    """The last value of the last hour or so; NaN where there is none."""
    out = np.full(len(free), np.nan)
    for back in range(1, min(4, free.shape[1]) + 1):
        out = np.where(np.isnan(out), free[:, -back], out)
    return out


def _crossing(curve: Floats, known: npt.NDArray[np.bool_], level: float) -> Floats:
    """When a rising curve over the grid reaches *level*: inf where it never does."""
    at = (curve < level).sum(axis=1)
    rows = np.arange(len(curve))
    high = np.minimum(at, len(_GRID_S) - 1)
    low = np.maximum(high - 1, 0)
    below, above = curve[rows, low], curve[rows, high]
    part = np.where(above > below, (level - below) / np.maximum(above - below, 1e-12), 1.0)
    when = _GRID_S[low] + np.clip(part, 0.0, 1.0) * (_GRID_S[high] - _GRID_S[low])
    when = np.where(at == 0, _GRID_S[0], when)
    when = np.where(at >= len(_GRID_S), np.inf, when)
    return np.where(known, when, np.nan)
