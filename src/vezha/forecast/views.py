"""What people and programs ask of the book: rows that need no numpy to be read. Pure but for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.forecast.book import Book
from vezha.forecast.calm import calm_windows
from vezha.forecast.errors import NoSuchLoad, WrongWindow
from vezha.forecast.fill import WITHIN_S, bridged, fill
from vezha.forecast.history import Key
from vezha.forecast.limits import (
    CALM_HOSTS_MAX,
    CALM_LENGTH_S_MAX,
    DAY_STEPS,
    FILE_STEPS,
    STEP_S,
    TICK_S,
)
from vezha.forecast.resource import BY_NAME, RESOURCES, UK
from vezha.forecast.strange import judged

NOT_ENOUGH = "not enough history"
CALM_DAYS = 7
RECENT_STEPS = 3
"""How far back the load of now is looked for."""


@dataclass(frozen=True, slots=True)
class LoadRow:
    """One load as it stands. What is not known is null, and `state` says why. `now` is the last
    quarter of an hour; `mean`, `low`, `high` are what was forecast for it a day before; `anomaly` how far off
    it is, in half-widths of the interval. `basis`: the scores are of `forecasts` that came true, or
    of a `backtest`."""

    kind: str
    name: str
    resource: str
    unit: str
    state: str
    predictability: float | None
    mase: float | None
    coverage: float | None
    basis: str
    now: float | None
    mean: float | None
    low: float | None
    high: float | None
    peak: float | None
    anomaly: float | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """What comes, in columns: `past` ends where `mean`, `low`, `high` begin, at `start` (seconds)."""

    kind: str
    name: str
    resource: str
    unit: str
    state: str
    start: float
    step_s: float
    past: list[float | None]
    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]


@dataclass(frozen=True, slots=True)
class Fill:
    """A file system that fills: seconds until full (median, and from when to when in 8 of 10
    futures; null: not within 30 days), and how probable within 4 hours, a day, a week."""

    instance: str
    mountpoint: str
    device: str
    free_bytes: float
    size_bytes: float
    seconds: float | None
    soonest_s: float | None
    latest_s: float | None
    within_4h: float
    within_24h: float
    within_7d: float


@dataclass(frozen=True, slots=True)
class Calm:
    """A window for a change. `load` is the most that is to be expected in it (the mean over hosts
    and resources, each as a part of its own daily peak), `why` says it in a sentence."""

    start: float
    end: float
    load: float
    expected: float
    predictability: float | None
    why: str
    why_uk: str


@dataclass(frozen=True, slots=True)
class CalmWindows:
    """Proposals, the calmest first; `without_forecast` are hosts that nothing is known of."""

    windows: list[Calm]
    without_forecast: list[str]


def overview(book: Book, kind: str = "", names: Sequence[str] = ()) -> list[LoadRow]:
    """Every load that is known, the least predictable last, those without history at the end."""
    wanted = set(names)
    keys = [key for key in book.known(kind) if not wanted or key[1] in wanted]
    if not keys:
        return []
    end = book.loads.newest
    standing = book.standing(keys, end)
    scores = standing.scores
    mean, low, high = (part[:, 0] for part in book.said(keys, end, 1))
    came = book.history(keys, end, RECENT_STEPS)
    strange = judged(book, keys, came[:, -1], end)
    off = strange.score
    fallback = np.isnan(mean)
    low, high = np.where(fallback, strange.low, low), np.where(fallback, strange.high, high)
    # of what was not forecast (the first quarter of an hour after a start) the next is shown
    ahead = book.said(keys, end + 1, 1)
    mean, low, high = (
        np.where(np.isnan(mean), later[:, 0], part)
        for part, later in zip((mean, low, high), ahead, strict=True)
    )
    now = came[:, -1]
    for back in range(2, RECENT_STEPS + 1):
        now = np.where(np.isnan(now), came[:, -back], now)
    rows = []
    for i, key in enumerate(keys):
        scored = bool(np.isfinite(scores.predictability[i]))
        rows.append(
            LoadRow(
                key[0], key[1], key[2], BY_NAME[key[2]].unit, "ok" if scored else NOT_ENOUGH,
                told(scores.predictability[i]), told(scores.mase[i]), told(scores.coverage[i]),
                ("forecasts" if standing.forecasts[i] else "backtest") if scored else "",
                told(now[i]), told(mean[i]), told(low[i]), told(high[i]),
                told(standing.peak[i]) if scored else None, told(off[i]),
            )
        )  # fmt: skip
    return sorted(rows, key=lambda r: (r.predictability is None, -(r.predictability or 0.0)))


def outlook(book: Book, kind: str, name: str, resource: str, days: int) -> Outlook:
    """The forecast of one load for *days*, with the week before. Raises NoSuchLoad."""
    key: Key = (kind, name, resource)
    if key not in book.loads.rows:
        known = ", ".join(r.name for r in RESOURCES)
        raise NoSuchLoad(
            f"Nothing is known of the {resource} of {kind} {name!r}: choose a {kind} that "
            f"`vezha load list` shows, and one of {known}."
        )
    made = book.forecast([key], days * DAY_STEPS)
    past = book.history([key], book.loads.newest, 7 * DAY_STEPS)[0]
    return Outlook(
        kind, name, resource, BY_NAME[resource].unit,
        "ok" if made.enough[0] else NOT_ENOUGH,
        float((book.loads.newest + 1) * STEP_S), float(STEP_S), column(past),
        *(column(part[0]) if made.enough[0] else [] for part in (made.mean, made.low, made.high)),
    )  # fmt: skip


def fills(book: Book, names: Sequence[str] = ()) -> list[Fill]:
    """File systems that are forecast to be full within 30 days, or may well be within a week; the
    first to be full first."""
    ring = book.files
    wanted = set(names)
    files = sorted(
        {key[:3] for key in ring.rows if key[3] == "free" and (not wanted or key[0] in wanted)}
    )
    files = [f for f in files if (*f, "size") in ring.rows]
    if not files:
        return []
    at = {
        what: np.array([ring.rows[(*f, what)] for f in files], np.int64)
        for what in ("free", "size")
    }
    size = np.nanmax(
        np.nan_to_num(ring.window(ring.newest, 3, at["size"]), nan=0.0), axis=1
    ).astype(np.float64)
    free = bridged(ring.window(ring.newest, FILE_STEPS, at["free"]).astype(np.float64))
    made = fill(free, np.maximum(size, 1.0), float(TICK_S))
    out = []
    for i, (instance, mountpoint, device) in enumerate(files):
        chances = [float(made.within[span][i]) for span in WITHIN_S]
        if math.isnan(made.seconds[i]) or (math.isinf(made.seconds[i]) and chances[-1] < 0.1):
            continue
        out.append(
            Fill(
                instance, mountpoint, device, float(free[i, -1]), float(size[i]),
                told(made.seconds[i]), told(made.soonest[i]), told(made.latest[i]), *chances,
            )
        )  # fmt: skip
    return sorted(out, key=lambda f: math.inf if f.seconds is None else f.seconds)


def calm(
    book: Book,
    hosts: Sequence[str],
    length_s: float,
    not_before_s: float,
    count: int = 3,
) -> CalmWindows:
    """When a change of *length_s* on *hosts* disturbs least, in the next seven days.

    Raises WrongWindow for lengths and numbers of hosts that cannot be.
    """
    if not 0 < length_s <= CALM_LENGTH_S_MAX:
        raise WrongWindow(
            f"A window lasts between 1 and {CALM_LENGTH_S_MAX:g} seconds, not {length_s:g}."
        )
    if len(hosts) > CALM_HOSTS_MAX:
        raise WrongWindow(f"{len(hosts)} hosts are more than {CALM_HOSTS_MAX}: choose a group.")
    keys = [
        key for host in hosts for r in RESOURCES if (key := ("host", host, r.name)) in book.figures
    ]
    known = {key[1] for key in keys}
    without = [host for host in hosts if host not in known]
    if not keys:
        return CalmWindows([], without)
    made = book.forecast(keys, CALM_DAYS * DAY_STEPS)
    standing = book.standing(keys, book.loads.newest)
    begin = book.loads.newest + 1
    first = max(0, math.ceil(not_before_s / STEP_S) - begin)
    found = calm_windows(
        made.mean, made.high, standing.peak, max(1, math.ceil(length_s / STEP_S)),
        first=first, count=count,
    )  # fmt: skip
    worth = standing.scores.predictability
    sure = float(np.nanmean(worth)) if np.isfinite(worth).any() else None
    out = []
    for window in found:
        start_s = (begin + window.start) * STEP_S
        _, host, resource = keys[window.busiest]
        why = (
            f"At most {window.load:.0%} of the usual daily peak is expected; the busiest is "
            f"{resource} of {host}."
        )
        why_uk = (
            f"Очікується щонайбільше {window.load:.0%} звичайного добового піка; найзавантаженіше: "
            f"{host}, {UK[resource]}."
        )
        out.append(
            Calm(
                float(start_s), float(start_s + length_s), window.load, window.expected, sure, why,
                why_uk,
            )
        )  # fmt: skip
    return CalmWindows(out, without)


def told(value: float | np.floating) -> float | None:
    """A number with six digits, null where it is none."""
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None


def column(values: npt.NDArray[np.floating]) -> list[float | None]:
    """A column of numbers with four digits, null for gaps."""
    return [float(f"{v:.4g}") if math.isfinite(v) else None for v in values.tolist()]


def strangest(rows: Sequence[LoadRow], count: int) -> list[LoadRow]:
    """Loads outside of their interval, the farthest first."""
    off = [row for row in rows if row.anomaly is not None and abs(row.anomaly) > 1.0]
    return sorted(off, key=lambda row: -abs(row.anomaly or 0.0))[:count]


def explained(row: LoadRow, language: str = "en") -> str:
    """Why a load is strange, in a sentence, `en` or `uk`."""
    if language == "uk":
        return _explained_uk(row)
    if row.now is None or row.low is None or row.high is None or row.anomaly is None:
        return f"{row.resource} of {row.name}: {row.state}."
    side = "above" if row.anomaly > 0 else "below"
    return (
        f"{row.resource} of {row.name} is {amount(row.now, row.unit)}, {side} the usual "
        f"{amount(row.low, row.unit)} to {amount(row.high, row.unit)}."
    )


def _explained_uk(row: LoadRow) -> str:
    what = f"{row.name}, {UK[row.resource]}"
    if row.now is None or row.low is None or row.high is None or row.anomaly is None:
        return f"{what}: для оцінки замало відомо."
    side = "вище" if row.anomaly > 0 else "нижче"
    low, high = amount(row.low, row.unit), amount(row.high, row.unit)
    return f"{what}: {amount(row.now, row.unit)}, {side} за звичайне (від {low} до {high})."


def amount(value: float, unit: str) -> str:
    """A load for people: `41 %`, `3.2 MB/s`."""
    if unit == "percent":
        return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %"
    for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:.1f} {name}/s"
    return f"{value:.0f} B/s"
