"""Data of the store's benchmark: generated from a seed, or recorded on a real machine.

Generated: hosts x 100 series; 30 % counters, 35 % noisy gauges, 20 % slow gauges, 15 % constants,
as in the study that chose the store's design. Recorded: `benchmarks/data/recorded.npz`, this
project's own agent on a busy two-core machine (`benchmarks/record.py` makes it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vezha.model.labels import Labels, labels_of, metric

RECORDED = Path(__file__).parent / "data" / "recorded.npz"
COUNTERS, NOISY, SLOW, CONSTANT = 30, 35, 20, 15
PER_HOST = COUNTERS + NOISY + SLOW + CONSTANT


def host_schema() -> tuple[Labels, ...]:
    """The 100 series of every host, without `instance` and `job`."""
    return (
        *(metric(f"bench_counter_{i % 10}_total", cpu=str(i // 10)) for i in range(COUNTERS)),
        *(metric(f"bench_noisy_{i % 7}", device=f"d{i // 7}") for i in range(NOISY)),
        *(metric(f"bench_slow_{i % 5}", mount=f"/m{i // 5}") for i in range(SLOW)),
        *(metric(f"bench_constant_{i}") for i in range(CONSTANT)),
    )


def generated(hosts: int, seconds: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    """For each second the values of all hosts: float64[hosts, 100]."""
    random = np.random.default_rng(seed)
    counters = np.floor(random.random((hosts, COUNTERS)) * 1e6)
    rates = np.ceil(random.random((hosts, COUNTERS)) * 200)
    slow = np.round(random.random((hosts, SLOW)) * 100, 1)
    constant = np.floor(random.random((hosts, CONSTANT)) * 1e9)
    base = random.random((hosts, NOISY)) * 100
    for _ in range(seconds):
        counters += random.poisson(rates)
        moved = random.random((hosts, SLOW)) < 0.02
        slow = np.where(moved, np.round(random.random((hosts, SLOW)) * 100, 1), slow)
        noisy = np.round(base + random.normal(0, 5, (hosts, NOISY)), 2)
        yield np.concatenate([counters, noisy, slow, constant], axis=1)


@dataclass(frozen=True)
class Recorded:
    """`values[t, i]` of `series[i]` at `ts_ms[t]`; NaN where there was none."""

    series: tuple[Labels, ...]
    ts_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def recorded() -> Recorded | None:
    """What was recorded, or None where the file is not there."""
    if not RECORDED.exists():
        return None
    with np.load(RECORDED) as file:
        names = str(file["series"]).split("\n")
        ts_ms, values = file["ts_ms"], np.ascontiguousarray(file["values"].T)
    series = tuple(labels_of([tuple(p.split("=", 1)) for p in n.split("\x1f")]) for n in names)  # type: ignore[misc]
    return Recorded(series, ts_ms, values)
