"""What roll-ups bring and cost: a gauge at 1 s, many days of it, asked by the hour and by 5 minutes.

    python -m benchmarks.roll_ups [--hosts 20] [--days 30]

The same queries with the setting `roll_ups` on and off, in this process, fresh reader each, side by
side. About 3 million samples are made per second; 20 hosts x 30 days are 52 million.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmarks.peers import folder_bytes

from vezha.model.labels import metric
from vezha.query import Engine
from vezha.query.errors import QueryError
from vezha.store import Store, StoreReader, StoreSettings
from vezha.world import World

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
QUERIES = [
    ("avg(m)", 3_600),
    ("max(max_over_time(m[1h]))", 3_600),
    ("sum(sum_over_time(m[1h]))", 3_600),
    ("max(max_over_time(m[5m]))", 300),
]


def fill(folder: str, hosts: int, start_ms: int, days: int) -> None:
    """Samples of whole hours, tiles, roll-ups."""
    random = np.random.default_rng(1)
    settings = StoreSettings(
        background=False, window_s=1e9, retention_s=(days + 2) * 86_400, roll_ups=False
    )
    store = Store.open(folder, World(), settings)
    refs = store.resolve([metric("m", instance=f"host-{i:04d}") for i in range(hosts)])
    for hour in range(24 * days):
        ts = start_ms + hour * HOUR_MS + 1000 * np.arange(3_600)
        for ref in refs.tolist():
            walk = 30 + np.cumsum(random.normal(0, 0.1, 3_600)) + random.normal(0, 3, 3_600)
            values = np.round(np.clip(walk, 0, 100), 1).astype(np.float64)
            store.write(np.full(3_600, ref, np.int64), ts, values)
        if hour % 12 == 11:
            store.flush()
    store.compact()
    store.close()
    samples = hosts * 86_400 * days
    before = folder_bytes(Path(folder, "days"))
    store = Store.open(folder, World(), replace(settings, roll_ups=True))
    began = time.process_time()
    store.compact()
    took = time.process_time() - began
    store.close()
    after = folder_bytes(Path(folder, "days"))
    print(f"{samples / 1e6:.0f} M samples, {before / samples:.2f} bytes each as tiles")
    print(f"with roll-ups {after / samples:.2f} bytes each, {took / samples * 1e6:.3f} CPU-s per M")


def ask(folder: str, roll_ups: bool, text: str, step: int, start_ms: int, end_ms: int) -> str:
    """Milliseconds of the first answer and the best of three more."""
    reader = StoreReader.open(folder, StoreSettings(roll_ups=roll_ups))
    engine = Engine(reader)
    times = []
    try:
        for _ in range(4):
            began = time.perf_counter()
            engine.range(text, start_ms, end_ms, step * 1000)
            times.append((time.perf_counter() - began) * 1000)
    except QueryError as error:
        return f"refused: {error}"[:60]
    finally:
        reader.close()
    return f"first {times[0]:7.1f}  then {min(times[1:]):7.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--days", type=int, default=30)
    given = parser.parse_args()
    end_ms = int(time.time() * 1000) // DAY_MS * DAY_MS
    start_ms = end_ms - given.days * DAY_MS
    with tempfile.TemporaryDirectory(prefix="vezha-bench-") as folder:
        fill(folder, given.hosts, start_ms, given.days)
        for text, step in QUERIES:
            for name, on in (("roll-ups", True), ("samples", False)):
                got = ask(folder, on, text, step, start_ms + HOUR_MS, end_ms)
                print(f"{text:28} {step:5} s  {name:9} {got}", flush=True)


if __name__ == "__main__":
    main()
