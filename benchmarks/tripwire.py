"""From a fault to its web hook by tripwire, stage by stage, on this machine.

    python benchmarks/tripwire.py [--runs 20] [--only gauge,disk,process,sampled] [--json FILE]

A real `vezha up` (three contours, this machine's agent, TLS, the built-in rules on top of ours)
and a web hook's end on 127.0.0.1. Faults at random moments:

- gauge: a number in the text-file folder flips;
- disk: a small tmpfs is filled (root only);
- process: a watched process is killed with SIGKILL;
- sampled: the gauge again, by the ordinary samples of each second, to compare.

Each run is an alert of its own (another label, mount or name), so that neither flapping nor
grouping hides one. The stages' times come from the ledger's rows, whose stamps are whole
milliseconds: crossed (the agent saw it), evaluated (the server begins to evaluate that rule),
written (its transition is in the ledger), planned (the message is in the outbox), received (the
web hook's end has it). The last row is what watching ten tripwires costs the agent. Other work
on the machine moves all of this; the load average is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from sqlalchemy import select
from tests.running import RunningVezha

from vezha.incidents.errors import OperatorError
from vezha.incidents.loop import Desk
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, incident, message
from vezha.world import World

STAGES = ("crossed", "evaluated", "written", "planned", "received")
SETTLED_S = 22.0
LOST_S = 10.0
COST_S = 20.0
RULES = """
groups:
  - name: bench.tripwires
    rules:
      - alert: BenchGauge
        expr: bench_gauge > 0.5
        labels: {severity: critical}
        annotations: {summary: "run {{ $labels.run }}"}
        vezha: {tripwire: true, no_data: resolve}
      - alert: BenchSampled
        expr: bench_sampled > 0.5
        labels: {severity: critical}
        annotations: {summary: "run {{ $labels.run }}"}
        vezha: {no_data: resolve}
      - alert: BenchDisk
        expr: >-
          node_filesystem_avail_bytes{mountpoint=~".*/bench-mounts/.*"}
          / node_filesystem_size_bytes{mountpoint=~".*/bench-mounts/.*"} < 0.05
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.mountpoint }}"}
        vezha: {tripwire: true, no_data: resolve}
      - alert: BenchProcess
        expr: vezha_watched_process_up{name=~"bench-.*"} == 0
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.name }}"}
        vezha: {tripwire: true, no_data: resolve}
"""


class Sink:
    """The web hook's end: when which alert was first told of, in ms since the epoch."""

    def __init__(self) -> None:
        self.first_ms: dict[tuple[str, str], float] = {}
        self.resolved: set[tuple[str, str]] = set()
        self._news = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                now_ms = time.time() * 1000
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204)
                self.send_header("Content-Length", "0")
                self.end_headers()
                sink.hear(json.loads(body), now_ms)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def hear(self, body: dict[str, Any], now_ms: float) -> None:
        with self._news:
            for alert in body["incident"]["alerts"]:
                key = which(alert["labels"])
                if alert["state"] == "resolved" or body["kind"] == "resolved":
                    self.resolved.add(key)
                else:
                    self.first_ms.setdefault(key, now_ms)
            self._news.notify_all()

    def wait(self, holds: Callable[[], bool], timeout_s: float) -> bool:
        with self._news:
            return self._news.wait_for(holds, timeout_s)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def which(labels: dict[str, str]) -> tuple[str, str]:
    """An alert's name and what tells it from those of other runs."""
    for name in ("run", "mountpoint", "name"):
        if name in labels:
            return labels["alertname"], labels[name].rpartition("/")[2]
    return labels["alertname"], ""


class Faults:
    """Makes and mends the faults of one kind; `alert` is the rule that tells of them."""

    alert = ""

    def prepare(self, runs: int) -> None:
        """Before the server starts."""

    def make(self, run: int) -> float:
        """The fault; the instant just before it, in ms since the epoch."""
        raise AssertionError

    def mend(self, run: int) -> None:
        raise AssertionError

    def key(self, run: int) -> tuple[str, str]:
        return self.alert, str(run)

    def close(self) -> None:
        pass


class Gauges(Faults):
    def __init__(self, alert: str, metric: str, folder: Path) -> None:
        self.alert, self._metric = alert, metric
        self._file = folder / f"{metric}.prom"
        self._folder = folder

    def prepare(self, runs: int) -> None:
        self._runs = runs
        self._write(-1)

    def _write(self, bad: int) -> float:
        lines = [
            f'{self._metric}{{run="{run}"}} {1 if run == bad else 0}\n' for run in range(self._runs)
        ]
        new = self._folder / f".{self._metric}.new"
        new.write_text("".join(lines))
        at_ms = time.time() * 1000
        new.replace(self._file)
        return at_ms

    def make(self, run: int) -> float:
        return self._write(run)

    def mend(self, run: int) -> None:
        self._write(-1)


class Disks(Faults):
    alert = "BenchDisk"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "bench-mounts"
        self._mounted: list[Path] = []

    def prepare(self, runs: int) -> None:
        for run in range(runs):
            place = self._folder / str(run)
            place.mkdir(parents=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
            self._mounted.append(place)

    def make(self, run: int) -> float:
        at_ms = time.time() * 1000
        with contextlib.suppress(OSError), (self._folder / str(run) / "full").open("wb") as file:
            file.write(bytes(2 << 20))
        return at_ms

    def mend(self, run: int) -> None:
        (self._folder / str(run) / "full").unlink()

    def close(self) -> None:
        for place in self._mounted:
            subprocess.run(["umount", place], check=False)


class Processes(Faults):
    alert = "BenchProcess"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def prepare(self, runs: int) -> None:
        sleep = shutil.which("sleep")
        assert sleep is not None
        for run in range(runs):
            shutil.copy(sleep, self._folder / f"bench-{run}")
            self._start(run)

    def _start(self, run: int) -> None:
        self._running[run] = subprocess.Popen([self._folder / f"bench-{run}", "100000"])

    def make(self, run: int) -> float:
        process = self._running[run]
        at_ms = time.time() * 1000
        process.send_signal(signal.SIGKILL)
        process.wait()
        return at_ms

    def mend(self, run: int) -> None:
        self._start(run)

    def key(self, run: int) -> tuple[str, str]:
        return self.alert, f"bench-{run}"

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


def run_kind(
    faults: Faults, runs: int, sink: Sink, ledger: Ledger, say: Callable[[str], None]
) -> list[dict[str, float]]:
    """Milliseconds from the fault to each stage, one row per run that was told of."""
    rows = []
    for run in range(runs):
        close_incidents(ledger)
        time.sleep(random.uniform(0.5, 1.5))
        key = faults.key(run)
        at_ms = faults.make(run)
        if not sink.wait(lambda k=key: k in sink.first_ms, LOST_S):  # type: ignore[misc]
            say(f"run {run}: nothing came within {LOST_S:.0f} s")
            faults.mend(run)
            continue
        received_ms = sink.first_ms[key]
        time.sleep(0.3)
        stages = stages_of(ledger, key)
        rows.append({name: ms - at_ms for name, ms in {**stages, "received": received_ms}.items()})
        faults.mend(run)
        sink.wait(lambda k=key: k in sink.resolved, LOST_S)  # type: ignore[misc]
    return rows


def stages_of(ledger: Ledger, key: tuple[str, str]) -> dict[str, float]:
    """When the stages of an alert's first firing were, in ms since the epoch."""
    with ledger.read() as connection:
        fired = next(
            row
            for row in connection.execute(
                select(alert_transition)
                .where(alert_transition.c.event == "fired")
                .where(alert_transition.c.alert_name == key[0])
                .order_by(alert_transition.c.id)
            )
            if which({**row.labels, "alertname": row.alert_name}) == key
        )
        planned = connection.execute(
            select(message.c.created_ms)
            .where(message.c.created_ms >= fired.evaluated_ms)
            .order_by(message.c.id)
        ).scalar()
    return {
        "crossed": float(fired.sampled_ms or fired.evaluated_ms),
        "evaluated": float(fired.evaluated_ms),
        "written": float(fired.written_ms),
        "planned": float(planned or fired.written_ms),
    }


def close_incidents(ledger: Ledger) -> None:
    """No other trouble of this machine may take our alert into its incident."""
    desk = Desk(ledger, World())
    with ledger.read() as connection:
        ids = list(
            connection.execute(
                select(incident.c.id).where(incident.c.state != "resolved")
            ).scalars()
        )
    for id_ in ids:
        with contextlib.suppress(OperatorError):
            desk.resolve(id_, "benchmark")


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least *share* of *values* do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 100 * len(ordered)) // 100) - 1))]


def show(name: str, rows: list[dict[str, float]], runs: int) -> None:
    """One block of the table."""
    print(f"{name}: {len(rows)} of {runs} faults told", flush=True)
    if not rows:
        return
    print(f"  {'ms since the fault':<20} {'median':>8} {'p95':>8} {'max':>8}   {'stage alone':>11}")
    before = "fault"
    for stage in STAGES:
        values = [row[stage] for row in rows]
        alone = [row[stage] - (0.0 if before == "fault" else row[before]) for row in rows]
        print(
            f"  {stage:<20} {statistics.median(values):>8.0f} {quantile(values, 0.95):>8.0f} "
            f"{max(values):>8.0f}   {statistics.median(alone):>11.0f}",
            flush=True,
        )
        before = stage


def measure_cost() -> float:
    """Percent of a core that watching ten tripwires takes, in a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, "--cost-child"], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def cost_child() -> None:
    """Watch ten tripwires for COST_S; print the percent of a core."""
    from vezha.agent.config import parse_config
    from vezha.agent.watch import Watch
    from vezha.wire.tripwire import Busy, Condition, Selector, Tripwire

    with tempfile.TemporaryDirectory() as state:
        (Path(state) / "textfile").mkdir()
        (Path(state) / "textfile" / "a.prom").write_text("queue 1\nerrors 0\n")
        (Path(state) / "me.pid").write_text(str(os.getpid()))
        # Names of our own: others' processes come and go.
        (Path(state) / "parent.pid").write_text(str(os.getppid()))
        config = parse_config(
            f'[collectors.watched]\nprocesses = "{state}/me.pid {state}/parent.pid"\n', state=state
        )

        def of(name: str, op: str, value: float, per: str = "") -> Condition:
            return Condition(op, value, Selector(name), Selector(per) if per else None)

        conditions = [
            of("node_memory_MemAvailable_bytes", "<", 0.01, "node_memory_MemTotal_bytes"),
            of("node_memory_MemAvailable_bytes", "<", 1e6),
            of("node_memory_Dirty_bytes", ">", 1e15),
            of("node_filesystem_avail_bytes", "<", -1.0, "node_filesystem_size_bytes"),
            of("node_filesystem_avail_bytes", "<", -1.0),
            of("vezha_watched_process_up", "==", 2.0),
            of("vezha_watched_process_up", ">", 1.0),
            of("queue", ">", 10.0),
            of("errors", ">", 10.0),
            Condition(">", 2.0, busy=Busy((("mode", "=", "idle"),), 5.0, True)),
        ]
        watch = Watch(config, World(), lambda crossing: None)
        watch.set([Tripwire(str(i), (one,)) for i, one in enumerate(conditions)])
        thread = threading.Thread(target=watch.run)
        thread.start()
        time.sleep(2.0)
        cpu_s, began_s, looks = time.process_time(), time.monotonic(), watch.looks_total
        time.sleep(COST_S)
        share = (time.process_time() - cpu_s) / (time.monotonic() - began_s)
        assert watch.looks_total - looks > 0.8 * COST_S * 10, "it did not look ten times a second"
        watch.stop()
        thread.join()
    print(f"{100 * share:.4f}")


@contextlib.contextmanager
def server(kinds: dict[str, Faults], state: Path, runs: int, sink: Sink) -> Iterator[Ledger]:
    """`vezha up` with our rules, the sink as its receiver, settled; its ledger."""
    (state / "rules").mkdir(parents=True)
    (state / "agent").mkdir(exist_ok=True)
    (state / "rules" / "bench.yml").write_text(RULES)
    (state / "notify.toml").write_text(
        f'[receivers.sink]\ntype = "webhook"\nurl = "{sink.url}"\nrate = 10000\n'
    )
    names = " ".join(f"bench-{run}" for run in range(runs))
    (state / "agent" / "agent.toml").write_text(f'[collectors.watched]\nprocesses = "{names}"\n')
    for faults in kinds.values():
        faults.prepare(runs)
    running = RunningVezha(state).start()
    try:
        time.sleep(SETTLED_S)
        ledger = Ledger.open(str(state / "ledger.db"))
        yield ledger
        ledger.close()
    finally:
        running.stop()
        for faults in kinds.values():
            faults.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--only", default="gauge,disk,process,sampled")
    parser.add_argument("--json", default="")
    parser.add_argument("--cost-child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cost_child:
        cost_child()
        return
    wanted = given.only.split(",")
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="vezha-tripwire-") as name:
        folder, state = Path(name), Path(name) / "state"
        textfiles = state / "agent" / "textfile"
        kinds: dict[str, Faults] = {
            "gauge": Gauges("BenchGauge", "bench_gauge", textfiles),
            "disk": Disks(folder),
            "process": Processes(folder),
            "sampled": Gauges("BenchSampled", "bench_sampled", textfiles),
        }
        textfiles.mkdir(parents=True)
        kinds = {k: f for k, f in kinds.items() if k in wanted}
        if "disk" in kinds and os.geteuid():
            del kinds["disk"]
            print("disk: left out, as mounting a tmpfs needs root")
        sink = Sink()
        print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        with server(kinds, state, given.runs, sink) as ledger:
            for kind, faults in kinds.items():
                found[kind] = run_kind(faults, given.runs, sink, ledger, print)
                show(kind, found[kind], given.runs)
        sink.close()
        print(f"load average after: {os.getloadavg()[0]:.1f}")
    if "cost" in wanted or given.only == parser.get_default("only"):
        found["cost_percent"] = measure_cost()
        print(f"watching ten tripwires: {found['cost_percent']:.2f} % of a core")
    if given.json:
        Path(given.json).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
