"""Anomaly scores: how often a usual load is called unusual, and how soon a shift is found.

    python -m benchmarks.anomaly [--write]

Generated loads (of `benchmarks.forecast`) and recorded ones, the last days judged step by step from
those before, by the forecast and by the seasonal baseline that stands in for it. A false alarm is a run of
steps beyond the limit in a load that nobody touched; a shift adds a part of the load's peak for two
hours, at a time drawn by lot, and is found where a step within its first hour is beyond the limit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.forecast import KINDS, TESTED_DAYS, recorded

from vezha.forecast.baseline import baseline
from vezha.forecast.limits import DAY_STEPS, HISTORY_DAYS, HISTORY_STEPS, UNUSUAL_MIN
from vezha.forecast.model import F32, forecast
from vezha.forecast.score import anomaly

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "predictability.md"
SHIFT_STEPS = 8
SHIFTS = (0.25, 0.5, 1.0)
Judged = tuple[F32, F32, F32]


def by_forecast(values: F32, days: int) -> Judged:
    """(mean, low, high) of the last *days*, each forecast from the days before it."""
    parts = []
    whole = values.shape[1] // DAY_STEPS
    for day in range(whole - days, whole):
        start = max(0, day - HISTORY_DAYS) * DAY_STEPS
        told = forecast(values[:, start : day * DAY_STEPS], DAY_STEPS)
        parts.append((told.mean, told.low, told.high))
    mean, low, high = (np.concatenate([p[i] for p in parts], axis=1) for i in range(3))
    return mean, low, high


def by_baseline(values: F32, days: int, history_days: int) -> Judged:
    """The same by the baseline, which sees *history_days* only."""
    whole = values.shape[1] // DAY_STEPS * DAY_STEPS
    parts = []
    for step in range(whole - days * DAY_STEPS, whole):
        seen = np.full((len(values), HISTORY_STEPS), np.nan, np.float32)
        count = min(history_days * DAY_STEPS, step)
        seen[:, HISTORY_STEPS - count :] = values[:, step - count : step]
        told = baseline(seen)
        parts.append((told.mid, told.low, told.high))
    mean, low, high = (np.stack([p[i] for p in parts], axis=1) for i in range(3))
    return mean, low, high


def runs(beyond: npt.NDArray[np.bool_]) -> int:
    """Runs of True along the second axis, two steps apart or more."""
    joined = beyond.copy()
    joined[:, 1:] |= beyond[:, :-1]
    starts = joined[:, 1:] & ~joined[:, :-1]
    return int(starts.sum() + joined[:, 0].sum())


def row(name: str, values: F32, days: int, judged: Judged, floor: float) -> str:
    """One line of the table."""
    came = values[:, : values.shape[1] // DAY_STEPS * DAY_STEPS][:, -days * DAY_STEPS :]
    least = np.full(came.shape, floor, np.float32)
    scores = anomaly(came, *judged, least)
    known = np.isfinite(scores)
    false_a_day = runs(np.abs(scores) >= UNUSUAL_MIN) / max(known.sum() / DAY_STEPS, 1e-9)
    chance = np.random.default_rng(7)
    peak = np.nanmax(values, axis=1)
    found = []
    for part in SHIFTS:
        at = chance.integers(0, came.shape[1] - SHIFT_STEPS, len(came))
        moved = came.copy()
        for i, first in enumerate(at.tolist()):
            moved[i, first : first + SHIFT_STEPS] += part * peak[i]
        after = np.abs(anomaly(moved, *judged, least)) >= UNUSUAL_MIN
        seen = [after[i, first : first + 4].any() for i, first in enumerate(at.tolist())]
        found.append(float(np.mean(seen)))
    told = " | ".join(f"{100 * one:.0f}%" for one in found)
    return f"| {name} | {false_a_day:.2f} | {told} |"


def table() -> list[str]:
    """The figures as Markdown."""
    head = " | ".join(f"+{100 * part:.0f}% of peak found" for part in SHIFTS)
    lines = [
        f"| Load, judged by | False a load and day | {head} |",
        "|---" * (2 + len(SHIFTS)) + "|",
    ]
    cases = [
        (kind.__name__, np.clip(kind(np.random.default_rng(i + 1)), 0, None).astype(np.float32),
         TESTED_DAYS, 0.5)
        for i, kind in enumerate(KINDS)
    ]  # fmt: skip
    real = recorded()
    cases.append((f"recorded ({len(real)} series, 1 s as a step)", real, 3, 1e-6))
    for name, values, days, floor in cases:
        lines.append(row(f"{name}, forecast", values, days, by_forecast(values, days), floor))
        if name in {kind.__name__ for kind in KINDS}:
            weeks = by_baseline(values, days, HISTORY_DAYS)
            lines.append(row(f"{name}, time of week", values, days, weeks, floor))
        two = by_baseline(values, days, 2)
        lines.append(row(f"{name}, time of day, two days", values, days, two, floor))
    return lines


def main() -> None:
    """Print the table, or put it into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    lines = table()
    print("\n".join(lines))
    if parser.parse_args().write:
        text = PAGE.read_text()
        head, _, rest = text.partition("<!-- anomaly -->\n")
        _, _, tail = rest.partition("<!-- /anomaly -->")
        PAGE.write_text(
            f"{head}<!-- anomaly -->\n" + "\n".join(lines) + f"\n<!-- /anomaly -->{tail}"
        )


if __name__ == "__main__":
    main()
