"""The load forecast: backtest beside the seasonal naive, coverage, and what a fleet costs.

    python -m benchmarks.forecast [--hosts 10000] [--write]

Each kind of load is forecast a day ahead, day by day, from the days before (rolling origin); the
score is MASE over the days that were not learned from: below 1 is better than "as yesterday".
`--write` puts the tables into docs/reference/predictability.md. The recorded series are a machine's own,
but only 700 s long: a second stands for a step there, so they show noise as it is, and no seasons.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from benchmarks.store_data import RECORDED

from vezha.forecast.limits import DAY_STEPS, HISTORY_DAYS
from vezha.forecast.model import EXPERTS, F32, forecast
from vezha.forecast.score import score

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "predictability.md"
TESTED_DAYS = 7
SERIES = 60
Chance = np.random.Generator
Floats = npt.NDArray[np.floating]
STEP = np.arange((HISTORY_DAYS + TESTED_DAYS) * DAY_STEPS)
HOUR = STEP % DAY_STEPS / (DAY_STEPS / 24)
WEEKDAY = STEP // DAY_STEPS % 7


def _daily(chance: Chance) -> Floats:
    """A working day's two humps, each host with its own height, hour and noise."""
    at = chance.uniform(9, 16, (SERIES, 1))
    far = np.abs((HOUR[None, :] - at + 12) % 24 - 12)
    hump = np.exp(-0.5 * (far / chance.uniform(1.5, 4, (SERIES, 1))) ** 2)
    made: Floats = chance.uniform(5, 20, (SERIES, 1)) + chance.uniform(20, 50, (SERIES, 1)) * hump
    return made


def _noise(chance: Chance, size: float = 2.0) -> Floats:
    noise: Floats = chance.normal(0, size, (SERIES, len(STEP)))
    return noise


def daily(chance: Chance) -> Floats:
    """The same each day."""
    return _daily(chance) + _noise(chance)


def weekly(chance: Chance) -> Floats:
    """Quiet weekends."""
    return _daily(chance) * np.where(WEEKDAY >= 5, 0.4, 1.0) + _noise(chance)


def growing(chance: Chance) -> Floats:
    """A trend of some per cent a week."""
    grown = 1 + STEP / len(STEP) * chance.uniform(0.2, 1.0, (SERIES, 1))
    return _daily(chance) * grown + _noise(chance)


def moved(chance: Chance) -> Floats:
    """Another level from some day on (a release, a new customer)."""
    day = chance.integers(HISTORY_DAYS - 6, HISTORY_DAYS + 4, (SERIES, 1))
    return _daily(chance) * np.where(day <= STEP // DAY_STEPS, 1.5, 1.0) + _noise(chance)


def batch(chance: Chance) -> Floats:
    """Sharp jobs at a fixed time, else little."""
    start = chance.integers(0, DAY_STEPS - 6, (SERIES, 1))
    at = STEP % DAY_STEPS
    return 3 + 60.0 * ((at >= start) & (at < start + 5)) + np.abs(_noise(chance))


def flat(chance: Chance) -> Floats:
    """No pattern, steady."""
    return chance.uniform(5, 60, (SERIES, 1)) + _noise(chance)


def wandering(chance: Chance) -> Floats:
    """A random walk that is drawn back: nothing to learn but the level."""
    out = np.zeros((SERIES, len(STEP)))
    for i in range(1, len(STEP)):
        out[:, i] = 0.995 * out[:, i - 1] + chance.normal(0, 1, SERIES)
    return 40 + out


def bursty(chance: Chance) -> Floats:
    """Bursts at any time."""
    return 5 + 50.0 * (chance.random((SERIES, len(STEP))) < 0.03) + np.abs(_noise(chance))


KINDS: tuple[Callable[[Chance], Floats], ...] = (
    daily, weekly, growing, moved, batch, flat, wandering, bursty,
)  # fmt: skip


def recorded() -> F32:
    """The recorded series that move: counters as rates, gauges as they are; float32."""
    data = np.load(RECORDED)
    names = str(data["series"]).split("\n")
    values = data["values"]
    counter = np.array(["_total" in name.split("\x1f")[0] for name in names])
    rows = np.where(counter[:, None], np.diff(values, axis=1), values[:, 1:])
    moving = (np.abs(np.diff(rows, axis=1)) > 0).mean(axis=1) > 0.3
    kept = rows[moving & (rows >= 0).all(axis=1)]
    days = kept.shape[1] // DAY_STEPS
    out: F32 = kept[:, : days * DAY_STEPS].astype(np.float32)
    return out


def backtest(values: F32, tested_days: int, only: str | None = None) -> tuple[float, float, float]:
    """Median MASE over series, coverage, median predictability; each tested day is forecast from
    those before it."""
    days = values.shape[1] // DAY_STEPS
    mases, covers, worth = [], [], []
    for day in range(days - tested_days, days):
        start = max(0, day - HISTORY_DAYS) * DAY_STEPS
        told = forecast(values[:, start : day * DAY_STEPS], DAY_STEPS, only=only)
        came = values[:, day * DAY_STEPS : (day + 1) * DAY_STEPS]
        peak = np.maximum(told.peak, 1e-6)
        found = score(came, told.mean, told.low, told.high, told.naive_mae, peak)
        mases.append(found.mase)
        covers.append(found.coverage)
        worth.append(found.predictability)
    mase = np.nanmean(mases, axis=0)
    return float(np.nanmedian(mase)), float(np.nanmean(covers)), float(np.nanmedian(worth))


def table() -> list[str]:
    """A row for each kind of load, as Markdown."""
    names = ["combined (used)", *EXPERTS]
    lines = [
        "| MASE, a day ahead | " + " | ".join(names) + " | Interval's coverage | Predictability |",
        "|---" * (len(names) + 3) + "|",
    ]
    cases = [
        (kind.__name__, np.clip(kind(np.random.default_rng(i + 1)), 0, None).astype(np.float32),
         TESTED_DAYS)
        for i, kind in enumerate(KINDS)
    ]  # fmt: skip
    real = recorded()
    cases.append((f"recorded ({len(real)} series, 1 s as a step)", real, 3))
    sums = np.zeros(len(names))
    for told, values, days in cases:
        results = [backtest(values, days, only) for only in (None, *EXPERTS)]
        sums += np.log([r[0] for r in results])
        cells = [f"{r[0]:.2f}" for r in results]
        cells += [f"{results[0][1]:.0%}", f"{results[0][2]:.2f}"]
        lines.append(f"| {told} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    means = np.exp(sums / len(cases))
    lines.append("| **geometric mean** | " + " | ".join(f"{m:.2f}" for m in means) + " | | |")
    return lines


def cost(hosts: int) -> str:
    """Processor time of one core to forecast a whole fleet anew."""
    chance = np.random.default_rng(3)
    some = np.concatenate([kind(chance)[:, : HISTORY_DAYS * DAY_STEPS] for kind in KINDS[:4]])
    block = np.clip(some, 0, 100).astype(np.float32)
    wanted, done, began = hosts * 4, 0, time.process_time()
    while done < wanted:
        block = np.roll(block, 7, axis=0)
        forecast(block[: wanted - done], DAY_STEPS, 100.0)
        done += len(block[: wanted - done])
    took = time.process_time() - began
    return (
        f"Forecasting {hosts:,} hosts × 4 series from {HISTORY_DAYS} days anew: {took:.1f} s of one "
        "core (numpy's processor time, all threads)."
    )


def main() -> None:
    """Print; write on request."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.name}")
    given = parser.parse_args()
    text = "\n".join([*table(), "", cost(given.hosts)])
    print(text)
    if given.write:
        page = PAGE.read_text()
        head, rest = page.split("<!-- measured -->\n")[0], page.split("<!-- /measured -->")[1]
        PAGE.write_text(f"{head}<!-- measured -->\n{text}\n<!-- /measured -->{rest}")


if __name__ == "__main__":
    main()
