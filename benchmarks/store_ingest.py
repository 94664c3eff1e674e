"""The store by itself: ingest of 1 s frames, durable; bytes per sample; the study's queries.

    python benchmarks/store_ingest.py [--hosts 1000] [--series 100] [--seconds 600] [--folder DIR]

Generated data, from a seed: 30 % counters, 35 % noisy gauges, 20 % slow gauges, 15 % constants.
Frames are written as the gateway writes them (already decoded), with a group commit, and a sync,
every second of data. CPU is this process's, all threads: WAL, head, tiles and merges included. The
queries end in numpy columns; q2 and q3 include the reduction. `benchmarks/store.py` compares with
other stores.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Matcher, MatchOp, SampleSource, Selection
from vezha.model.labels import metric
from vezha.store import Store, StoreReader, StoreSettings
from vezha.wire.frame import pack_frame
from vezha.world import World

START_MS = 1_790_000_000_000
RUNS = 9


class DataClock:
    """The time is that of the data."""

    def __init__(self) -> None:
        self.time_s = START_MS / 1000

    def now(self) -> float:
        return self.time_s

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def generate(hosts: int, series: int, seconds: int) -> npt.NDArray[np.float64]:
    """float64[seconds, hosts, series]."""
    random = np.random.default_rng(1)
    kind = np.arange(hosts * series) % 20
    data = np.empty((seconds, hosts * series))
    counters, noisy, slow, still = (
        kind < 6,
        (kind >= 6) & (kind < 13),
        (kind >= 13) & (kind < 17),
        kind >= 17,
    )
    data[:, counters] = np.cumsum(random.poisson(50, (seconds, counters.sum())), axis=0)
    data[:, counters] += random.integers(0, 10**6, counters.sum())
    data[:, noisy] = np.round(50 + 10 * random.standard_normal((seconds, noisy.sum())), 2)
    walk = np.cumsum(random.standard_normal((seconds, slow.sum())) * 0.1, axis=0)
    data[:, slow] = np.round(walk + 100, 1)
    data[:, still] = random.integers(0, 100, still.sum())
    return data.reshape(seconds, hosts, series)


def head_mb(store: Store) -> float:
    """Memory that the head takes, reserved or used."""
    folders = (Path(store.head_folder), Path(store.path, "head"))
    files = [f for folder in folders for f in folder.glob("*.slab*")]
    return sum(f.stat().st_blocks * 512 for f in files) / 1e6


def ingest(
    store: Store, clock: DataClock, data: npt.NDArray[np.float64]
) -> tuple[float, float, list[float]]:
    """Write everything; (CPU seconds, seconds, MB of the head now and then)."""
    head: list[float] = []
    seconds, hosts, series = data.shape
    store.put_schema(1, [metric(f"m{i}") for i in range(series)])
    layouts = [store.layout(1, (("instance", f"h{h:04d}"), ("job", "node"))) for h in range(hosts)]
    origins = [store.origin(f"h{h}/1") for h in range(hosts)]
    # the wire's work is not measured here; only the size of what the WAL keeps is
    raw = [pack_frame(0, 1, START_MS, data[0, h].tolist()) for h in range(hosts)]
    cpu, began = time.process_time(), time.perf_counter()
    for second in range(seconds):
        clock.time_s = START_MS / 1000 + second
        stamp, row = START_MS + second * 1000, data[second]
        for h in range(hosts):
            store.write_frame(layouts[h], origins[h], second, stamp + h % 1000, raw[h], row[h])
        store.commit(store.seal())
        if second % 2 == 0 and second > seconds // 4:
            with contextlib.suppress(FileNotFoundError):  # a slab went while we looked
                head.append(head_mb(store))
    return time.process_time() - cpu, time.perf_counter() - began, head


def _timed(work: Callable[[], object]) -> str:
    took = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return f"{statistics.median(took) * 1000:9.1f} {took[0] * 1000:9.1f}"


def _is(name: str, value: str) -> Matcher:
    return Matcher(name, MatchOp.EQ, value)


def queries(source: SampleSource, end_ms: int) -> dict[str, Callable[[], object]]:
    """The study's five, by name."""
    counter, gauge, host = _is("__name__", "m0"), _is("__name__", "m7"), _is("instance", "h0005")
    begin = START_MS - 1

    def mean() -> object:
        data = source.select(Selection((gauge,), begin, end_ms))
        steps = (data.ts - START_MS) // 15_000
        return np.bincount(steps, data.values) / np.bincount(steps)

    def rates() -> object:
        data = source.select(Selection((counter,), begin, end_ms))
        first, last = data.offsets[:-1], data.offsets[1:] - 1
        rate = (data.values[last] - data.values[first]) / (data.ts[last] - data.ts[first])
        return np.bincount(np.arange(len(rate)) % 10, rate)

    def top() -> object:
        data = source.select(Selection((gauge,), end_ms - 15_000, end_ms))
        return np.argpartition(data.values[data.offsets[1:] - 1], -10)[-10:]

    return {
        "q1 one series": lambda: source.select(Selection((gauge, host), begin, end_ms)),
        "q2 mean of one metric of all hosts": mean,
        "q3 rate of a counter of all hosts, by 10": rates,
        "q4 top 10 now": top,
        "q5 all series of one host": lambda: source.select(Selection((host,), begin, end_ms)),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--hosts", type=int, default=1000)
    parser.add_argument("--series", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--folder", default="", help="where the store is put (default: temporary)")
    options = parser.parse_args()
    data = generate(options.hosts, options.series, options.seconds)
    with tempfile.TemporaryDirectory(dir=options.folder or None) as folder:
        clock = DataClock()
        store = Store.open(folder, World(clock=clock), StoreSettings())
        cpu, took, head = ingest(store, clock, data)
        millions = data.size / 1e6
        print(
            f"{options.hosts} hosts x {options.series} series x {options.seconds} s = {millions:.1f} M samples"
        )
        print(f"ingest, durable, tiles included   {millions / cpu:6.1f} M samples per CPU second")
        print(f"                                  {cpu / millions:6.3f} CPU seconds per million")
        print(f"elapsed                           {took:6.1f} s")
        print(f"head, MB, median and most         {statistics.median(head):6.0f} {max(head):6.0f}")
        reader = StoreReader.open(folder)
        end_ms = START_MS + options.seconds * 1000
        print(f"\n{'median ms, first ms':>62}")
        for state in ("head and tiles", "tiles"):
            for name, work in queries(reader, end_ms).items():
                print(f"{name:<42}{_timed(work)}   {state}")
            store.flush()
        files = list(Path(folder, "days").glob("*.db"))
        disk = sum(f.stat().st_size for f in files)
        print(f"\nbytes per sample on disk          {disk / data.size:6.2f}")
        clock.time_s += 7_200.0  # the hour must have ended
        merged = store.compact()
        store.close()
        disk = sum(f.stat().st_size for f in files)
        print(f"after merging {merged:5d} tiles          {disk / data.size:6.2f}")
        reader.close()


if __name__ == "__main__":
    main()
