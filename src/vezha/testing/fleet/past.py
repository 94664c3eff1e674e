"""The past of a simulated fleet, written into a store at once, so that forecasts have something
to learn from. One sample a quarter of an hour of what load and disks are read from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vezha.model.labels import labels_of
from vezha.store import Store
from vezha.testing.fleet.inventory import Machine
from vezha.testing.fleet.series import Columns, series_of
from vezha.testing.fleet.vitals import Vitals

STEP_S = 900
FLUSH_SAMPLES = 2_000_000
_KEPT = np.array(
    [
        *range(Columns.cpu.start, Columns.cpu.stop),
        Columns.load.start,
        *(Columns.memory.start + i for i in (0, 2, 3, 4)),
        *(Columns.disk.start + i for i in (1, 4, 6)),
        *(place.start + i for place in (Columns.root, Columns.data) for i in (0, 1)),
        *(Columns.network.start + i for i in (0, 4)),
    ]
)
"""What loads, disks and the first charts are read from."""


def write_past(store: Store, hosts: Sequence[Machine], now_s: float, days: int, seed: int) -> int:
    """Write *days* up to the quarter of an hour before *now_s*; how many samples. Durable on return."""
    end = int(now_s // STEP_S)
    first = end - days * 86_400 // STEP_S
    vitals = Vitals(hosts, float(first * STEP_S), seed=seed)
    series = []
    for machine in hosts:
        own = series_of(machine.role)
        series += [
            labels_of({**dict(own[i]), "instance": machine.name, "job": "node"})
            for i in _KEPT.tolist()
        ]
    refs = store.resolve(series)
    total = waiting = 0
    everyone = slice(0, len(hosts))
    for step in range(first, end):
        values = vitals.sample(everyone, float(step * STEP_S))[:, _KEPT].ravel()
        store.write(refs, np.full(len(refs), step * STEP_S * 1000, np.int64), values)
        total += len(refs)
        waiting += len(refs)
        if waiting >= FLUSH_SAMPLES:
            store.flush()
            waiting = 0
    store.flush()
    return total
