"""Remote write from the HTTP request to the disk, next to VictoriaMetrics and Prometheus.

    python -m benchmarks.remote_write [--hosts 200] [--seconds 60] [--only ingest,memory]

Vezha is `vezha up` as it is installed: the web process reads the request, the data process makes
it durable, and the answer comes after that. All take the same bodies over ten connections: 100 hosts x 100 series
of one second each, as scrapes give them, snappy. `ingest` counts the processor time
of all processes until they have ended, so with what they write at the end (the idle share,
measured before, is taken off for each), `cut` sends requests that end at other series each time. `memory` sends 100,000 series at
their real pace, once a second, to each in turn, and looks at the memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import cramjam
import httpx
import numpy as np
from benchmarks.peers import (
    PAGE,
    TICK,
    Peer,
    cpu_seconds,
    free_port,
    pin,
    prometheus,
    victoria_metrics,
)
from benchmarks.store_data import PER_HOST, generated, host_schema

from vezha.model.labels import labels_of
from vezha.store.remote_encode import label_bytes, write_request

SETTLE_S = 3.0
IDLE_S = 10.0
WARM_S = 3
HOSTS_PER_REQUEST = 100
SENDERS = 10


@dataclass
class Engine:
    """One that takes remote write: its address, its processes, and its memory file systems."""

    name: str
    url: str
    root: int
    client: httpx.Client
    shared: list[Path] = field(default_factory=list)

    def pids(self) -> list[int]:
        """The process and all below it."""
        found = [self.root]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
        return found

    def cpu(self) -> float:
        """Seconds of processor time of all processes, also of those that have ended."""
        return sum(self.cpu_by_process().values())

    def cpu_by_process(self) -> dict[str, float]:
        """The same by process; `ended` are those that they have waited for."""
        found: dict[str, float] = {}
        for pid in self.pids():
            found[_name(pid)] = found.get(_name(pid), 0.0) + cpu_seconds(pid)
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found["ended"] = found.get("ended", 0.0) + (int(fields[13]) + int(fields[14])) / TICK
        return found

    def stop(self) -> float:
        """End it by its pid; the processor time of all its processes, from beginning to end."""
        os.kill(self.root, signal.SIGTERM)
        _, _, used = os.wait4(self.root, 0)
        return used.ru_utime + used.ru_stime

    def memory_mb(self) -> dict[str, float]:
        """Proportional memory by process, and what lies in shared memory, counted once."""
        found: dict[str, float] = {}
        for pid in self.pids():
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
            sizes = {line.split()[0]: int(line.split()[1]) for line in rollup}
            own = (sizes["Pss:"] - sizes["Pss_Shmem:"]) * 1024 / 1e6
            found[_name(pid)] = found.get(_name(pid), 0.0) + own
        for folder in self.shared:
            used = sum(f.stat().st_blocks * 512 for f in folder.glob("*") if f.is_file())
            found["head"] = found.get("head", 0.0) + used / 1e6
        return found

    def write(self, body: bytes) -> None:
        """One request. Raises RuntimeError unless it was taken."""
        headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
        answer = self.client.post(f"{self.url}/api/v1/write", content=body, headers=headers)
        if answer.status_code >= 300:
            raise RuntimeError(f"{self.name}: HTTP {answer.status_code} {answer.text[:200]}")


def _name(pid: int) -> str:
    """What a process is called here."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    for kind in ("server", "worker"):
        if kind in words:
            return words[words.index(kind) + 1]
    return "first"


def vezha(state: Path, core: int | None) -> Engine:
    """`vezha up` without an agent, and a token to write with."""
    port, channel = free_port(), free_port()
    program = [sys.executable, "-m", "vezha"]
    prefix = ["taskset", "-c", str(core)] if core is not None else []
    process = subprocess.Popen(
        [
            *prefix, *program, "up", "--no-agent", "--state", str(state),
            "--set", f"web.listen=127.0.0.1:{port}",
            "--set", f"channel.listen=127.0.0.1:{channel}",
            "--set", "rules.builtin=false",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):
            if process.poll() is not None:
                raise RuntimeError("vezha did not start")
            try:
                if httpx.get(f"{url}/healthz", trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        made = subprocess.run(
            [*program, "token", "create", "b", "--role", "operator", "--state", str(state), "--json"],
            check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    except BaseException:  # also when the time is up
        process.terminate()
        process.wait(60)
        raise
    headers = {"Authorization": f"Bearer {json.loads(made.stdout)['token']}"}
    client = httpx.Client(headers=headers, timeout=120, trust_env=False)
    own = [p for p in Path("/dev/shm").glob(f"vezha-{os.getuid()}-*") if _owner(p, state)]
    return Engine("Vezha", url, process.pid, client, own)


def _owner(folder: Path, state: Path) -> bool:
    try:
        return str(state.resolve()) in (folder / "owner").read_text()
    except OSError:
        return False


def engines(folder: Path, core: int | None) -> Iterator[Engine]:
    """Each in turn, running; to be ended before the next one is asked for."""
    yield vezha(folder / "vezha", core)
    for make in (victoria_metrics, prometheus):
        peer: Peer | None = make(folder / make.__name__)
        if peer is None:
            print(f"  {make.__name__} is not installed and left out")
            continue
        peer.start(core)
        yield Engine(peer.name, peer.url, peer.pid, peer.client)


class Bodies:
    """Requests of a fleet, second by second."""

    def __init__(self, hosts: int, seconds: int) -> None:
        schema = host_schema()
        self._encoded = [
            label_bytes(
                labels_of(
                    (*s, ("instance", f"host-{h:04d}"), ("job", "bench"), ("rack", f"r{h % 10}"))
                )
            )
            for h in range(hosts)
            for s in schema
        ]
        self._values = list(generated(hosts, seconds, 7))

    def of(self, second: int, ts_ms: int, shift: int = 0) -> list[bytes]:
        """The requests of a second; they end at another series with each *shift*."""
        flat = self._values[second % len(self._values)].ravel()
        width = HOSTS_PER_REQUEST * PER_HOST
        cuts = sorted({0, *range(shift % width, len(flat), width), len(flat)})
        bodies = []
        for first, last in itertools.pairwise(cuts):
            refs = np.arange(first, last, dtype=np.int64)
            raw, _ = write_request(
                refs, np.full(len(refs), ts_ms, np.int64), flat[refs], self._encoded.__getitem__
            )
            bodies.append(bytes(cramjam.snappy.compress_raw(raw)))
        return bodies


def ingest(hosts: int, seconds: int, shift: int, title: str) -> None:
    """As fast as each takes it."""
    bodies = Bodies(hosts, seconds)
    samples = hosts * PER_HOST * seconds
    print(f"\n{title}: {samples / 1e6:.1f} M samples")
    yardstick = 0.0
    rows = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(SENDERS) as senders:
        for engine in engines(Path(folder), 0):
            pin(1)
            for warm in range(WARM_S):  # series become known
                ts_ms = int(time.time() * 1000) - (seconds + WARM_S - warm) * 1000
                for body in bodies.of(warm, ts_ms, shift * warm):
                    engine.write(body)
            before = engine.cpu()
            time.sleep(IDLE_S)
            idle = (engine.cpu() - before) / IDLE_S
            processes = engine.cpu_by_process()
            start_ms = int(time.time() * 1000) - seconds * 1000
            before, began = engine.cpu(), time.perf_counter()
            sending = 0.0
            for second in range(seconds):
                made = bodies.of(second, start_ms + 1000 * second, shift * second)
                at = time.perf_counter()
                list(senders.map(engine.write, made))
                sending += time.perf_counter() - at
            time.sleep(SETTLE_S)
            took = time.perf_counter() - began
            after = engine.cpu_by_process()
            parts = {k: round(v - processes.get(k, 0.0), 2) for k, v in after.items()}
            used = engine.stop() - before - idle * took
            parts["end"] = round(used + idle * took + before - sum(after.values()), 2)
            rate = samples / used
            yardstick = rate if engine.name == "VictoriaMetrics" else yardstick
            rows.append((engine.name, rate, samples / sending, idle, parts))
    for name, rate, wall, idle, parts in rows:
        ratio = f"{rate / yardstick:.1f} x VictoriaMetrics" if yardstick else ""
        print(
            f"  {name:<16}{rate / 1e6:6.2f} M samples per CPU second  {ratio:<24}"
            f"{wall / 1e6:6.2f} M/s while sending   idle {100 * idle:.1f} % of a core"
        )
        print(f"                  processor seconds: {parts}")
    sys.stdout.flush()


def memory(hosts: int, seconds: int) -> None:
    """At the real pace."""
    bodies = Bodies(hosts, 30)
    print(f"\nmemory: {hosts * PER_HOST} series once a second for {seconds} s, MB")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(SENDERS) as senders:
        for engine in engines(Path(folder), None):
            seen: list[dict[str, float]] = []
            late = 0.0
            before, began = engine.cpu(), time.perf_counter()
            for second in range(seconds):
                made = bodies.of(second, int(time.time() * 1000))
                list(senders.map(engine.write, made))
                if second >= seconds // 4 and second % 2 == 0:
                    seen.append(engine.memory_mb())
                late = max(late, time.perf_counter() - began - second - 1)
                time.sleep(max(0.0, began + second + 1 - time.perf_counter()))
            used = (engine.cpu() - before) / (time.perf_counter() - began)
            engine.stop()
            sums = [sum(s.values()) for s in seen]
            worst = seen[sums.index(max(sums))]
            parts = ", ".join(f"{k} {v:.0f}" for k, v in sorted(worst.items()))
            print(
                f"  {engine.name:<16}median {statistics.median(sums):5.0f}   most {max(sums):5.0f}"
                f"   ({parts})   {100 * used:.0f} % of a core"
                f"   at most {late:.1f} s behind"
            )
            sys.stdout.flush()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--memory-hosts", type=int, default=1000)
    parser.add_argument("--memory-seconds", type=int, default=300)
    parser.add_argument("--only", default="ingest,cut,memory")
    options = parser.parse_args()
    load = os.getloadavg()
    print(f"{os.cpu_count()} cores, load {load[0]:.1f} before; pages of {PAGE} bytes")
    wanted = options.only.split(",")
    if "ingest" in wanted:
        ingest(options.hosts, options.seconds, 0, "requests that repeat themselves")
    if "cut" in wanted:
        ingest(options.hosts, options.seconds, 1_237, "requests that end elsewhere each time")
    if "memory" in wanted:
        memory(options.memory_hosts, options.memory_seconds)


if __name__ == "__main__":
    main()
