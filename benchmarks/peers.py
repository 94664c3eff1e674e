"""Peers on loopback: Prometheus and VictoriaMetrics from Debian's packages, and how to measure
any process. Each is started with a pid of its own, in a folder of its own, and ended by that pid."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """A TCP port on loopback that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """CPU of a process until now, user and system, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def _cores() -> list[int]:
    """The cores of this run. Also in children of a pinned process, which must not take the one
    core that they were given for all there are. Its name is no setting: servers refuse unknown ones."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    own = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    return [int(core) for core in os.environ.setdefault("BENCHMARK_CORES", own).split(",")]


_CORES = _cores()


def pin(core: int) -> None:
    """Keep this process (and children started from now on) on one core, where that can be said."""
    if _CORES:
        os.sched_setaffinity(0, {_CORES[core % len(_CORES)]})


def unpin() -> None:
    """Let it (and children started from now on) run on every core again."""
    if _CORES:
        os.sched_setaffinity(0, set(_CORES))


@dataclass
class Peer:
    """A running peer."""

    name: str
    argv: list[str]
    url: str
    folder: Path
    health: str
    process: subprocess.Popen[bytes] | None = None
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=120, trust_env=False))

    def start(self, core: int | None = None) -> float:
        """Start and wait until it answers; seconds that took."""
        began = time.perf_counter()
        prefix = ["taskset", "-c", str(core)] if core is not None else []
        self.process = subprocess.Popen(
            [*prefix, *self.argv],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # like ours: Linux shares a busy processor between sessions, not processes
            start_new_session=True,
        )
        while time.perf_counter() - began < 120:
            try:
                if self.client.get(self.url + self.health).status_code == 200:
                    return time.perf_counter() - began
            except httpx.HTTPError:
                time.sleep(0.01)
        raise RuntimeError(f"{self.name} did not start")

    @property
    def pid(self) -> int:
        """Its process number."""
        assert self.process is not None
        return self.process.pid

    def stop(self, kill: bool = False) -> None:
        """End it by pid."""
        if self.process is not None:
            if kill:
                self.process.kill()
            else:
                self.process.terminate()
            self.process.wait(60)
            self.process = None

    def write(self, body: bytes) -> None:
        """One remote-write request (snappy). Raises RuntimeError unless it was taken."""
        answer = self.client.post(
            f"{self.url}/api/v1/write",
            content=body,
            headers={
                "Content-Encoding": "snappy",
                "Content-Type": "application/x-protobuf",
                "X-Prometheus-Remote-Write-Version": "0.1.0",
            },
        )
        if answer.status_code >= 300:
            raise RuntimeError(f"{self.name}: HTTP {answer.status_code} {answer.text[:200]}")


def prometheus(folder: Path) -> Peer | None:
    """A Prometheus that takes remote write; None where it is not installed."""
    program = shutil.which("prometheus")
    if program is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1h}\n")
    port = free_port()
    return Peer(
        "Prometheus",
        [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=400d",
            "--web.enable-remote-write-receiver",
            "--web.enable-admin-api",
            f"--web.listen-address=127.0.0.1:{port}",
            "--query.max-samples=500000000",
            "--log.level=error",
        ],
        f"http://127.0.0.1:{port}",
        folder / "data",
        "/-/ready",
    )


def victoria_metrics(folder: Path) -> Peer | None:
    """A VictoriaMetrics; None where it is not installed."""
    program = shutil.which("victoria-metrics")
    if program is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    return Peer(
        "VictoriaMetrics",
        [
            program,
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=100y",
            "-search.disableCache",
            "-search.maxPointsPerTimeseries=100000",
            "-search.latencyOffset=0s",
            "-loggerLevel=ERROR",
        ],
        f"http://127.0.0.1:{port}",
        folder / "data",
        "/health",
    )
