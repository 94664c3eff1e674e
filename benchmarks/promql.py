"""PromQL, side by side with a real Prometheus: 1,000 series at 1 s over 600 s, five queries.

    python benchmarks/promql.py [--series 1000] [--runs 5] [--json]

Ours is measured as "evaluate" and as "evaluate and encode" (the API's JSON in memory); theirs over
HTTP on the loopback, which includes decoding its chunks and its JSON. Ours reads from memory, so
what the store's tiles cost is in `benchmarks/store.py`, not here. Read ratios, not milliseconds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np

from vezha.model.columns import Selection, SeriesData
from vezha.model.labels import Labels, get_label, metric
from vezha.query import Engine, QueryLimits, Result
from vezha.query.encode import encode_result
from vezha.query.memory import MemorySource, matcher_test

START_S = 1_700_000_000
SECONDS = 600
QUERIES = {
    "selector": "requests_total",
    "sum by (rate[5m])": "sum by (zone) (rate(requests_total[5m]))",
    "avg_over_time[5m]": "avg_over_time(load[5m])",
    "topk(5, rate[1m])": "topk(5, rate(requests_total[1m]))",
    "histogram_quantile": "histogram_quantile(0.9, sum by (le) (rate(wait_bucket[1m])))",
    "count > threshold": "count(load > 0.5)",
}
GRIDS = {"600 steps": 1, "40 steps": 15}


class Columns(MemorySource):
    """The samples as columns, like a store with everything decoded."""

    def __init__(self, labels: list[Labels], values: np.ndarray) -> None:
        super().__init__()
        self._labels = labels
        self._values = values
        self._ts = (START_S + np.arange(SECONDS, dtype=np.int64)) * 1000
        self._rows: dict[object, tuple[list[Labels], np.ndarray]] = {}

    def select(self, selection: Selection) -> SeriesData:
        found = self._rows.get(selection.matchers)
        if found is None:
            tests = [(m.name, matcher_test(m)) for m in selection.matchers]
            rows = [
                row
                for row, labels in enumerate(self._labels)
                if all(test(get_label(labels, name)) for name, test in tests)
            ]
            found = self._rows[selection.matchers] = (
                [self._labels[row] for row in rows], np.asarray(rows, np.int64),
            )  # fmt: skip
        labels, rows_of = found
        lo = int(np.searchsorted(self._ts, selection.start_ms, "right"))
        hi = int(np.searchsorted(self._ts, selection.end_ms, "right"))
        count = hi - lo
        return SeriesData(
            labels, np.tile(self._ts[lo:hi], len(labels)), self._values[rows_of, lo:hi].ravel(),
            np.arange(len(labels) + 1, dtype=np.int64) * count,
        )  # fmt: skip


def make(series: int) -> tuple[list[Labels], np.ndarray]:
    """A third each of counters, gauges and histogram buckets; seeded."""
    chance = np.random.default_rng(1)
    names: list[Labels] = []
    rows: list[np.ndarray] = []
    for at in range(series):
        host, zone = f"h{at:04d}", f"z{at % 10}"
        names.append(metric("requests_total", instance=host, zone=zone))
        rows.append(np.cumsum(chance.integers(0, 50, SECONDS)).astype(np.float64))
        names.append(metric("load", instance=host, zone=zone))
        rows.append(np.round(chance.random(SECONDS), 4))
    bounds = ("0.01", "0.1", "0.5", "1", "+Inf")
    for at in range(series // len(bounds)):
        total = np.zeros(SECONDS)
        for bound in bounds:
            total = total + np.cumsum(chance.integers(0, 5, SECONDS))
            names.append(metric("wait_bucket", instance=f"h{at:04d}", le=bound))
            rows.append(total)
    order = sorted(range(len(names)), key=names.__getitem__)
    return [names[i] for i in order], np.stack([rows[i] for i in order])


def median_ms(work: Callable[[], object], runs: int) -> float:
    """Median wall time after one warm-up."""
    work()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


@contextmanager
def prometheus(labels: list[Labels], values: np.ndarray) -> Iterator[httpx.Client | None]:
    """A Prometheus with the same data; None where it is not installed."""
    program, tool = shutil.which("prometheus"), shutil.which("promtool")
    if program is None or tool is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "data.om").open("w") as out:
            last = ""
            for row, series in enumerate(labels):
                family = get_label(series, "__name__")
                if family != last:
                    out.write(f"# TYPE {family} unknown\n")
                    last = family
                pairs = ",".join(f'{n}="{v}"' for n, v in series if n != "__name__")
                for second, value in enumerate(values[row].tolist()):
                    out.write(f"{family}{{{pairs}}} {value!r} {START_S + second}\n")
            out.write("# EOF\n")
        subprocess.run(
            [tool, "tsdb", "create-blocks-from", "openmetrics", str(folder / "data.om"), str(folder / "tsdb")],
            check=True, capture_output=True,
        )  # fmt: skip
        (folder / "prometheus.yml").write_text("global: {scrape_interval: 1h}\n")
        port = _free_port()
        process = subprocess.Popen(
            [
                program, f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}", "--storage.tsdb.retention.time=100y",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                _wait_ready(client)
                yield client
        finally:
            process.terminate()
            process.wait(timeout=30)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(client: httpx.Client) -> None:
    for _ in range(300):
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit("prometheus does not answer")


def measure(
    engine: Engine, client: httpx.Client | None, grid: str, title: str, query: str, step_s: int,
    runs: int,
) -> dict[str, object]:  # fmt: skip
    """One row of the table."""
    start, end = START_S, START_S + SECONDS - 1
    prepared = engine.prepare(query)

    def evaluate() -> Result:
        return engine.range(prepared, start * 1000, end * 1000, step_s * 1000)

    ours = median_ms(lambda: encode_result(evaluate()), runs)
    row: dict[str, object] = {
        "grid": grid,
        "query": title,
        "evaluate_ms": round(median_ms(evaluate, runs), 1),
        "with_json_ms": round(ours, 1),
    }
    if client is not None:
        form = {"query": query, "start": start, "end": end, "step": step_s}
        theirs = median_ms(
            lambda: client.post("/api/v1/query_range", data=form).raise_for_status(), runs
        )
        row["prometheus_ms"] = round(theirs, 1)
        row["ratio"] = round(theirs / ours, 1)
    return row


def main() -> None:
    """Measure and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--series", type=int, default=1_000)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    labels, values = make(options.series)
    engine = Engine(Columns(labels, values), QueryLimits(samples_max=10**9))
    rows: list[dict[str, object]] = []
    with prometheus(labels, values) as client:
        for grid, step_s in GRIDS.items():
            for title, query in QUERIES.items():
                rows.append(measure(engine, client, grid, title, query, step_s, options.runs))
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(f"{options.series} series at 1 s over {SECONDS} s, median of {options.runs} runs, ms")
    print(
        f"{'grid':10} {'query':20} {'evaluate':>9} {'with JSON':>10} {'Prometheus':>11} {'ratio':>6}"
    )
    for row in rows:
        print(
            f"{row['grid']:10} {row['query']:20} {row['evaluate_ms']:>9} {row['with_json_ms']:>10} "
            f"{row.get('prometheus_ms', '-'):>11} {row.get('ratio', '-'):>6}"
        )


if __name__ == "__main__":
    main()
