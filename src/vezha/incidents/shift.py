"""How far the hosts' load moved when a change came to them.

For each of a few figures: the median of the minutes before against that of the minutes after, in
robust deviations of the minutes before (median absolute deviation, scaled as for a normal
distribution: Huber, "Robust Statistics", 1981), the median over the hosts. The figure that moved
most speaks. Too little data, before or after, is not known, never zero.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from vezha.incidents.blame import Shift
from vezha.incidents.limits import (
    BLAME_HOSTS_ASKED_MAX,
    SHIFT_AFTER_MS,
    SHIFT_BEFORE_MS,
    SHIFT_DEVIATIONS_MAX,
    SHIFT_POINTS_MIN,
    SHIFT_STEP_MS,
)
from vezha.model.labels import INSTANCE, Labels, get_label, quote_value

AskRange = Callable[[str, int, int, int], tuple[list[Labels], npt.NDArray[np.float64]]]
"""Expression, start, end and step in ms → label sets and float64 [series, steps], NaN for gaps."""

FIGURES: dict[str, str] = {
    "cpu": '1 - avg by (instance) (rate(node_cpu_seconds_total{{mode="idle",{hosts}}}[1m]))',
    "memory": "1 - node_memory_MemAvailable_bytes{{{hosts}}} / node_memory_MemTotal_bytes{{{hosts}}}",
    "disk": "max by (instance) (rate(node_disk_io_time_seconds_total{{{hosts}}}[1m]))",
    "network": (
        'sum by (instance) (rate(node_network_receive_bytes_total{{device!="lo",{hosts}}}[1m]))'
    ),
}
"""PromQL by figure; `{hosts}` is the matcher of the hosts."""
_NORMAL = 1.4826
_FLOORS = {"cpu": 0.01, "memory": 0.01, "disk": 0.01, "network": 10_000.0}
"""A deviation is never taken for smaller, so that a flat line's flicker is no jump."""


def measure(ask: AskRange, came: Mapping[str, int], now_ms: int) -> Shift | None:
    """The figure that moved most on the hosts of *came* (host → when it came, ms); None: unknown.

    Hosts beyond a limit are not asked about. What *ask* raises goes through.
    """
    hosts = sorted(came, key=lambda host: (-came[host], host))[:BLAME_HOSTS_ASKED_MAX]
    if not hosts:
        return None
    start_ms = min(came[h] for h in hosts) - SHIFT_BEFORE_MS
    end_ms = min(now_ms, max(came[h] for h in hosts) + SHIFT_AFTER_MS)
    start_ms -= start_ms % SHIFT_STEP_MS
    if end_ms - start_ms > 4 * (SHIFT_BEFORE_MS + SHIFT_AFTER_MS):
        return None  # it came over hours: there is no one moment to look at
    matcher = f"{INSTANCE}=~{quote_value('|'.join(re.escape(h) for h in hosts))}"
    best: Shift | None = None
    for figure, pattern in FIGURES.items():
        labels, values = ask(pattern.format(hosts=matcher), start_ms, end_ms, SHIFT_STEP_MS)
        names = [get_label(one, INSTANCE) for one in labels]
        moved = deviations(names, values, came, start_ms, _FLOORS[figure])
        if moved is not None and (best is None or moved > best.deviations):
            best = Shift(figure, moved)
    return best


def deviations(
    names: Sequence[str],
    values: npt.NDArray[np.float64],
    came: Mapping[str, int],
    start_ms: int,
    floor: float,
) -> float | None:
    """The median over hosts of |after − before| in deviations of before; None where not known.

    *values* is float64 [hosts, steps] from *start_ms* by SHIFT_STEP_MS, NaN for gaps.
    """
    rows = [row for row, name in enumerate(names) if name in came]
    if not rows:
        return None
    part = values[rows]
    steps = start_ms + SHIFT_STEP_MS * np.arange(part.shape[1])
    at = np.array([came[names[row]] for row in rows])[:, None]
    before = np.where((steps < at) & (steps >= at - SHIFT_BEFORE_MS), part, np.nan)
    after = np.where((steps >= at) & (steps <= at + SHIFT_AFTER_MS), part, np.nan)
    enough = (np.isfinite(before).sum(axis=1) >= SHIFT_POINTS_MIN) & (
        np.isfinite(after).sum(axis=1) >= SHIFT_POINTS_MIN
    )
    if not enough.any():
        return None
    before, after = before[enough], after[enough]
    middle = np.nanmedian(before, axis=1)
    spread = _NORMAL * np.nanmedian(np.abs(before - middle[:, None]), axis=1)
    spread = np.maximum(np.maximum(spread, floor), 0.02 * np.abs(middle))
    moved = np.abs(np.nanmedian(after, axis=1) - middle) / spread
    return float(min(np.median(moved), SHIFT_DEVIATIONS_MAX))
