"""The web contour's own work over a whole fleet: the live tick, and answers of 10,000 series.

    python -m benchmarks.web [--hosts 1000 5000 10000] [--seconds 10]

A store is filled as agents fill it and read through a `StoreReader`, as the web contour does.
Nothing else runs in this process, so CPU is of that work alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks import rules

from vezha.api.fleet import Fleet
from vezha.api.metrics import ApiMetrics
from vezha.api.querying import Querying
from vezha.ledger import Ledger
from vezha.ledger.tables import host
from vezha.query import Engine, Result
from vezha.query.encode import encode_result
from vezha.store import Store, StoreReader, StoreSettings
from vezha.world import World

HISTORY_S = 20


@dataclass(slots=True)
class Played:
    """A clock that stands where it is put."""

    at: float

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.at

    def monotonic(self) -> float:
        """The same: it never goes back here."""
        return self.at

    def sleep(self, seconds: float) -> None:
        """Time passes only by hand."""
        self.at += seconds


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """CPU and wall seconds of *work*."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def show(name: str, costs: list[tuple[float, float]]) -> None:
    """One line of the table."""
    cpu, wall = [c for c, _ in costs], [w for _, w in costs]
    print(
        f"  {name:34} CPU median {statistics.median(cpu) * 1000:7.1f} ms, worst "
        f"{max(cpu) * 1000:7.1f}; wall median {statistics.median(wall) * 1000:7.1f} ms"
    )


def measure(hosts: int, seconds: int) -> None:
    """One fleet's figures."""
    with tempfile.TemporaryDirectory(prefix="vezha-bench-") as text:
        folder = Path(text)
        ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
        ledger.migrate()
        start_ms = int(time.time()) * 1000 - 1000 * (HISTORY_S + seconds)
        rows = [
            {"name": f"host-{h:05d}", "labels": {}, "facts": {"os": "Linux"},
             "created_ms": start_ms, "first_seen_ms": start_ms, "last_seen_ms": start_ms}
            for h in range(hosts)
        ]  # fmt: skip
        with ledger.begin() as connection:
            connection.execute(host.insert(), rows)
        store = Store.open(str(folder / "store"), World(), StoreSettings(series_max=20_000_000))
        rules.fill(store, hosts, HISTORY_S + seconds, start_ms)
        reader = StoreReader.open(str(folder / "store"))
        clock = Played(start_ms / 1000 + HISTORY_S)
        world = replace(World(), clock=clock)
        engine = Engine(reader)
        querying = Querying(engine, reader, world, ApiMetrics())
        fleet = Fleet(ledger, world, querying.vector, querying.recent)
        print(f"{hosts} hosts x {len(rules.schema()) + 4} series")
        first = cost(fleet.snapshot)
        ticks = []
        for _ in range(seconds - 1):
            clock.at += 1.0
            ticks.append(cost(fleet.snapshot))
        snapshot = fleet.snapshot()
        assert (snapshot.tiles[:, 0] == 0).all(), "every host is normal"
        assert (snapshot.tiles[:, 1:5] != 255).all(), "every load is known"
        show("first tick", [first])
        show("tick", ticks)
        now_ms = int(clock.at * 1000)
        start_ms = now_ms - 1000 * HISTORY_S
        tries: list[tuple[str, Callable[[], Result]]] = [
            ("node_load1 instant", lambda: engine.instant("node_load1", now_ms)),
            (
                "node_load1 over a minute",
                lambda: engine.range("node_load1", start_ms, now_ms, 1000),
            ),
        ]
        for name, work in tries:
            result = work()
            show(f"evaluate {name}", [cost(work) for _ in range(5)])
            show(f"encode {name}", [cost(partial(encode_result, result)) for _ in range(5)])
        querying.close()
        reader.close()
        store.close()
        ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, nargs="+", default=[1_000, 5_000, 10_000])
    parser.add_argument("--seconds", type=int, default=10)
    given = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}")
    for hosts in given.hosts:
        measure(hosts, given.seconds)
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
