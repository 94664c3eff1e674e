"""Prometheus, node_exporter and Alertmanager on the same faults, at their fastest: 1 s, 1 s, no group wait.

For `benchmarks/detection.py`. Debian's packages; left out, visibly, where they are not installed.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.detection_faults import RUNS_PER_HOST, Key
from benchmarks.peers import free_port

PROGRAMS = ("prometheus", "prometheus-alertmanager", "prometheus-node-exporter")


def here() -> bool:
    """Whether all are installed."""
    return all(shutil.which(p) for p in PROGRAMS)


class Peers:
    """The whole set: one exporter with a text-file folder, and others to be killed."""

    def __init__(self, folder: Path, sink_url: str, runs: int) -> None:
        self.textfile = folder / "peer-textfile"
        self.textfile.mkdir(parents=True)
        self._folder, self._sink_url, self._runs = folder, sink_url, runs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports: dict[str, int] = {}
        self.victims = [f"peer-{n}" for n in range(-(-runs // RUNS_PER_HOST))]

    def start(self) -> None:
        """Start all. Raises OSError."""
        self._exporter("main", ["--collector.textfile.directory", str(self.textfile)])
        for name in self.victims:
            self._exporter(name, [])
        alertmanager, prometheus = free_port(), free_port()
        (self._folder / "am.json").write_text(json.dumps(self._alertmanager()))
        self._start("am", [
            PROGRAMS[1], f"--config.file={self._folder / 'am.json'}",
            f"--storage.path={self._folder / 'am'}", "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{alertmanager}", "--log.level=error",
        ])  # fmt: skip
        (self._folder / "rules.json").write_text(json.dumps({"groups": self._groups()}))
        (self._folder / "prom.json").write_text(json.dumps(self._prometheus(alertmanager)))
        self._start("prom", [
            PROGRAMS[0], f"--config.file={self._folder / 'prom.json'}",
            f"--storage.tsdb.path={self._folder / 'prom'}", "--log.level=error",
            f"--web.listen-address=127.0.0.1:{prometheus}",
        ])  # fmt: skip
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{prometheus}/-/ready", timeout=2).close()
                return
            except OSError:
                time.sleep(0.2)
        raise OSError("Prometheus did not start")

    def _groups(self) -> list[dict[str, Any]]:
        """A group for each rule: Prometheus spreads groups over the second."""

        def group(alert: str, key: str, expr: str) -> dict[str, Any]:
            labels = {"run": key, "severity": "page"}
            return {"name": f"{alert}-{key}", "interval": "1s",
                    "rules": [{"alert": alert, "expr": expr, "labels": labels}]}  # fmt: skip

        found = [
            group("BenchSampled", str(r), f'bench_sampled{{run="{r}"}} > 0.5')
            for r in range(self._runs)
        ]
        found += [
            group("PeerSilent", name, f'up{{instance="127.0.0.1:{self._ports[name]}"}} == 0')
            for name in self.victims
        ]
        cpu = '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5s])) > 0.9'
        return [*found, group("BenchCpu", "cpu", cpu)]

    def _prometheus(self, alertmanager: int) -> dict[str, Any]:
        targets = [f"127.0.0.1:{port}" for port in self._ports.values()]
        return {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"},
            "rule_files": [str(self._folder / "rules.json")],
            "alerting": {"alertmanagers": [
                {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}
            ]},
            "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": targets}]}],
        }  # fmt: skip

    def _alertmanager(self) -> dict[str, Any]:
        return {
            "route": {"receiver": "sink", "group_by": ["alertname", "run"], "group_wait": "0s",
                      "group_interval": "1s", "repeat_interval": "3h"},
            "receivers": [{"name": "sink", "webhook_configs": [{"url": self._sink_url}]}],
        }  # fmt: skip

    def _exporter(self, name: str, more: list[str]) -> None:
        port = self._ports.setdefault(name, free_port())
        lean = [] if name == "main" else ["--collector.disable-defaults", "--collector.loadavg"]
        self._start(name, [
            PROGRAMS[2], f"--web.listen-address=127.0.0.1:{port}", "--log.level=error", *lean, *more
        ])  # fmt: skip

    def _start(self, name: str, argv: list[str]) -> None:
        quiet = subprocess.DEVNULL
        self._processes[name] = subprocess.Popen(argv, stdout=quiet, stderr=quiet)

    def victim(self, run: int) -> str:
        """Whose turn it is."""
        return self.victims[run % len(self.victims)]

    def key(self, run: int) -> Key:
        """The alert that tells of it."""
        return "PeerSilent", self.victim(run)

    def harm(self, run: int, number: signal.Signals) -> float:
        """A signal to an exporter; the instant just before."""
        at_s = time.time()
        self._processes[self.victim(run)].send_signal(number)
        return at_s

    def restart(self, run: int) -> None:
        """Another exporter in its place."""
        name = self.victim(run)
        self._processes[name].kill()
        self._processes[name].wait()
        self._exporter(name, [])

    def close(self) -> None:
        """End all."""
        for process in self._processes.values():
            process.kill()
            process.wait()
