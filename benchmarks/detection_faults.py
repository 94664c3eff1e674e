"""Faults with a known instant, each told of by one rule; for `benchmarks/detection.py`.

A kind of fault makes and mends runs of itself. Each run is an alert of its own (another label, mount or
process name, or another host), so that neither flapping nor grouping hides one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from vezha.testing.fleet.realagent import RealAgent
from vezha.testing.fleet.tcpcut import TcpCut

Key = tuple[str, str]
"""An alert's name, and what tells it from those of other runs."""
RUNS_PER_HOST = 4
"""A fifth time within ten minutes is flapping, which is told once."""

RULES = """
groups:
  - name: bench
    rules:
      - alert: BenchSampled
        expr: bench_sampled > 0.5
        labels: {severity: critical}
        vezha: {no_data: resolve}
      - alert: BenchGauge
        expr: bench_gauge > 0.5
        labels: {severity: critical}
        vezha: {tripwire: true, no_data: resolve}
      - alert: BenchDisk
        expr: >-
          node_filesystem_avail_bytes{mountpoint=~".*/bench-mounts/.*"}
          / node_filesystem_size_bytes{mountpoint=~".*/bench-mounts/.*"} < 0.05
        labels: {severity: critical}
        vezha: {tripwire: true, no_data: resolve}
      - alert: BenchCpu
        expr: 1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle", instance="cpu"}[2s])) > 0.9
        labels: {severity: critical}
        vezha: {tripwire: true, no_data: resolve}
"""


def key_of(labels: dict[str, str]) -> Key:
    """Which run an alert tells of."""
    name = labels.get("alertname", "")
    if name == "WatchedProcessDead":
        return name, labels.get("name", "")
    for label in ("run", "mountpoint"):
        if label in labels:
            return name, labels[label].rpartition("/")[2]
    return name, labels.get("instance", "")


class Fault:
    """One kind. `label` is its row in the table."""

    name = ""
    label = ""
    hosts: tuple[str, ...] = ()
    pause_s = (0.3, 1.3)
    """How long to wait before a fault: its moment within the second is left to chance."""

    def settings(self, host: str) -> str:
        """The agent.toml of a host, beside what is switched off."""
        return "[collectors.loadavg]\n"

    def make(self, run: int) -> float:
        """The fault; the instant just before it (s since the epoch)."""
        raise AssertionError

    def mend(self, run: int) -> None:
        raise AssertionError

    def key(self, run: int) -> Key:
        """The alert that tells of it."""
        raise AssertionError

    def host(self, run: int) -> str:
        """Where it is."""
        return self.hosts[run % len(self.hosts)]

    def close(self) -> None:
        """Take away what it needed."""


class Gauges(Fault):
    """A number in a file of the text-file folder flips."""

    def __init__(
        self, name: str, label: str, alert: str, metric: str, runs: int, peer: Path | None = None
    ) -> None:
        self.name, self.label, self.hosts = name, label, (name,)
        self._alert, self._metric, self._runs = alert, metric, runs
        self._folders: list[Path] = [peer] if peer is not None else []

    def settings(self, host: str) -> str:
        return "[collectors.textfile]\n"

    def placed(self, agent: RealAgent) -> None:
        """Write the healthy file before its agent starts."""
        folder = agent.folder / "textfile"
        folder.mkdir(exist_ok=True)
        self._folders.append(folder)
        self._write(-1)

    def _write(self, bad: int) -> float:
        text = "".join(
            f'{self._metric}{{run="{run}"}} {int(run == bad)}\n' for run in range(self._runs)
        )
        at_s = 0.0
        for folder in self._folders:
            new = folder / f".{self._metric}.new"
            new.write_text(text)
        for folder in self._folders:
            at_s = at_s or time.time()
            (folder / f".{self._metric}.new").replace(folder / f"{self._metric}.prom")
        return at_s

    def make(self, run: int) -> float:
        return self._write(run)

    def mend(self, run: int) -> None:
        self._write(-1)

    def key(self, run: int) -> Key:
        return self._alert, str(run)


class Disks(Fault):
    """A small tmpfs is filled. Root only."""

    name, label, hosts = "disk", "tripwire: a disk fills", ("disk",)

    def __init__(self, folder: Path, runs: int) -> None:
        self._folder = folder / "bench-mounts"
        self._mounted: list[Path] = []
        for run in range(runs):
            place = self._folder / str(run)
            place.mkdir(parents=True)
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=True)
            self._mounted.append(place)

    def settings(self, host: str) -> str:
        return "[collectors.filesystem]\n"

    def make(self, run: int) -> float:
        at_s = time.time()
        with contextlib.suppress(OSError), (self._folder / str(run) / "full").open("wb") as file:
            file.write(bytes(2 << 20))
        return at_s

    def mend(self, run: int) -> None:
        (self._folder / str(run) / "full").unlink()

    def key(self, run: int) -> Key:
        return "BenchDisk", str(run)

    def close(self) -> None:
        for place in self._mounted:
            subprocess.run(["umount", "-l", place], check=False)


class Processes(Fault):
    """A watched process is killed: the built-in `WatchedProcessDead`."""

    name, label, hosts = "process", "tripwire: a process dies", ("process",)

    def __init__(self, folder: Path, runs: int) -> None:
        self._folder = folder
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        for run in range(runs):
            shutil.copy(shutil.which("sleep") or "", folder / f"bench-{run}")
            self.mend(run)

    def settings(self, host: str) -> str:
        return (
            f'[collectors.watched]\nprocesses = "{" ".join(f"bench-{r}" for r in self._running)}"\n'
        )

    def make(self, run: int) -> float:
        at_s = time.time()
        self._running[run].kill()
        self._running[run].wait()
        return at_s

    def mend(self, run: int) -> None:
        self._running[run] = subprocess.Popen([self._folder / f"bench-{run}", "100000"])

    def key(self, run: int) -> Key:
        return "WatchedProcessDead", f"bench-{run}"

    def close(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()


class Agents(Fault):
    """Something is done to an agent: the built-in `HostSilent`."""

    def __init__(
        self, name: str, label: str, runs: int,
        do: Callable[[RealAgent], None], undo: Callable[[RealAgent], None],
    ) -> None:  # fmt: skip
        self.name, self.label = name, label
        self.hosts = tuple(f"{name}-{n}" for n in range(-(-runs // RUNS_PER_HOST)))
        self.agents: dict[str, RealAgent] = {}
        self.do, self.undo = do, undo

    def make(self, run: int) -> float:
        agent = self.agents[self.host(run)]
        at_s = time.time()
        self.do(agent)
        return at_s

    def mend(self, run: int) -> None:
        self.undo(self.agents[self.host(run)])

    def key(self, run: int) -> Key:
        return "HostSilent", self.host(run)


def kill(agent: RealAgent) -> None:
    """kill -9."""
    assert agent.process is not None
    agent.process.kill()
    agent.process.wait()


def stop(agent: RealAgent) -> None:
    """It hangs."""
    assert agent.process is not None
    agent.process.send_signal(signal.SIGSTOP)


def go_on(agent: RealAgent) -> None:
    """It hangs no more."""
    assert agent.process is not None
    agent.process.send_signal(signal.SIGCONT)


class Cpu(Fault):
    """Every core gets a process that never rests."""

    name, label, hosts = "cpu", "real saturation of the processors", ("cpu",)
    pause_s = (4.0, 5.0)

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def settings(self, host: str) -> str:
        return "[collectors.cpu]\n"

    def make(self, run: int) -> float:
        at_s = time.time()
        for _ in range(os.cpu_count() or 1):
            self._running.append(subprocess.Popen(["yes"], stdout=subprocess.DEVNULL))
        return at_s

    def mend(self, run: int) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        self._running.clear()

    def key(self, run: int) -> Key:
        return "BenchCpu", "cpu"

    def close(self) -> None:
        self.mend(0)


class Lines:
    """A network of its own for each host, which can be cut: a name space with a veth pair (root), or a
    proxy that stops forwarding and says nothing."""

    def __init__(self, hosts: tuple[str, ...], port: int) -> None:
        self._names = {host: f"vzb{os.getpid() % 10000}n{n}" for n, host in enumerate(hosts)}
        self._proxies: dict[str, TcpCut] = {}
        self.address: dict[str, str] = {}
        self.prefix: dict[str, tuple[str, ...]] = {}
        self.is_real = os.geteuid() == 0 and shutil.which("ip") is not None
        try:
            if self.is_real:
                for n, host in enumerate(hosts):
                    self._lay(host, n, port)
        except subprocess.CalledProcessError:
            self.close()
            self.is_real = False
        if not self.is_real:
            for host in hosts:
                self._proxies[host] = TcpCut(port)
                self.address[host] = f"127.0.0.1:{self._proxies[host].port}"
                self.prefix[host] = ()

    def _lay(self, host: str, n: int, port: int) -> None:
        name = self._names[host]
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("addr", "add", f"10.213.{n}.1/30", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", name, "addr", "add", f"10.213.{n}.2/30", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        self.address[host] = f"10.213.{n}.1:{port}"
        self.prefix[host] = ("ip", "netns", "exec", name)

    def cut(self, host: str) -> None:
        """Nothing comes through any more, and nobody is told."""
        if self.is_real:
            _ip("link", "set", self._names[host], "down")
        else:
            self._proxies[host].freeze()

    def mend(self, host: str) -> None:
        """It comes through again."""
        if self.is_real:
            _ip("link", "set", self._names[host], "up")
        else:
            self._proxies[host].cut()
            self._proxies[host].mend()

    def close(self) -> None:
        """Take them away."""
        for proxy in self._proxies.values():
            proxy.close()
        if self.is_real:
            for name in self._names.values():
                subprocess.run(["ip", "netns", "del", name], check=False, stderr=subprocess.DEVNULL)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, stderr=subprocess.DEVNULL)
