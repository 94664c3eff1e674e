"""Fault → message: how long, and where the time goes.

    python -m benchmarks.detection [--runs 20] [--only flip,kill,hang,disk]

A real server (`vezha up`), a real agent for each run, and a sink for web hooks on this machine.
Faults at a random moment of the second: a gauge in a text file flips; the agent is killed (-9); it
hangs (SIGSTOP); a tmpfs fills (root only). Stages, counted from the fault: `sampled` is the stamp
of the sample that shows it, `stored` when the rule saw it in the store, `fired` when the
transition was durable, `queued` when the message was durable, `message` when the sink had it.
A silent agent sends nothing, so its `sampled` is the server's own `up`.

How other programs do on the same faults, measured elsewhere: see docs/reference/benchmarks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import http.server
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.fleet_server import machine_load
from sqlalchemy import select

from vezha.access.certificate import fingerprint
from vezha.access.enrolment import create_enrolment
from vezha.access.user import SYSTEM
from vezha.ledger import Ledger
from vezha.ledger.tables import alert_transition, message
from vezha.testing.fleet.ownserver import OwnServer
from vezha.testing.fleet.realagent import RealAgent
from vezha.world import World

RULES = """\
groups:
  - name: detection
    interval: 1s
    rules:
      - alert: BenchFlip
        expr: bench_fault == 1
        labels: {severity: critical}
      - alert: BenchFull
        expr: |
          node_filesystem_avail_bytes{mountpoint=~".*vezha-detect.*"}
            / node_filesystem_size_bytes{mountpoint=~".*vezha-detect.*"} < 0.1
        labels: {severity: critical}
"""
FAULTS = ("flip", "kill", "hang", "disk")
ALERTS = {"flip": "BenchFlip", "kill": "HostSilent", "hang": "HostSilent", "disk": "BenchFull"}
STAGES = ("sampled", "stored", "fired", "queued", "message")
MISSED_AFTER_S = 30.0
SETTLE_S = 20.0
"""After a start the server waits 15 s for hosts to come back; that is not what is measured."""
TMPFS_BYTES = 16 << 20


class Sink:
    """Receives web hooks; remembers when and what."""

    def __init__(self) -> None:
        self.got: list[tuple[float, dict[str, Any]]] = []
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                at = time.time()
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                sink.got.append((at, json.loads(body)))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def wait(self, host: str, kinds: set[str], since: float, timeout_s: float) -> float | None:
        """When the first message of such a kind that names *host* came, or None."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            for at, body in list(self.got):
                if at >= since and body["kind"] in kinds and host in json.dumps(body["incident"]):
                    return at
            time.sleep(0.005)
        return None

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


class Bench:
    """The server, the sink, and what one run does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sink = Sink()
        self.state = folder / "state"
        self.server = OwnServer(
            self.state, ["web.listen=127.0.0.1:0", "channel.listen=127.0.0.1:0"], loud=False
        )
        self.server.prepare()
        (self.state / "rules").mkdir(exist_ok=True)
        (self.state / "rules" / "detection.yml").write_text(RULES)
        (self.state / "notify.toml").write_text(
            f'[receivers.sink]\ntype = "webhook"\nurl = "http://127.0.0.1:{self.sink.port}/"\n'
        )
        self.server.start()
        self.ledger = Ledger.open(f"sqlite:///{self.state / 'ledger.db'}")
        self._dice = random.Random(1)
        time.sleep(SETTLE_S)

    def close(self) -> None:
        """Stop everything."""
        self.ledger.close()
        self.server.stop()
        self.sink.close()

    def agent(self, name: str) -> RealAgent:
        """A fresh host that reports."""
        agent = RealAgent(self.folder / name, name)
        (agent.folder / "textfile").mkdir()
        (agent.folder / "textfile" / "bench.prom").write_text("bench_fault 0\n")
        token = create_enrolment(self.ledger, SYSTEM, int(time.time() * 1000)).token
        certificate = fingerprint(World(), str(self.state / "tls" / "server.pem"))
        agent.enrol(f"127.0.0.1:{self.server.port}", token, certificate)
        agent.start()
        time.sleep(4.0 + self._dice.random())
        return agent

    def run(self, fault: str, number: int) -> dict[str, float] | None:
        """One fault; seconds by stage, or None where no message came."""
        name = f"{fault}-{number}"
        with contextlib.ExitStack() as undo:
            mount = self._mount(undo) if fault == "disk" else None
            agent = self.agent(name)
            undo.callback(agent.stop)
            assert agent.process is not None
            text = agent.folder / "textfile" / "bench.prom"
            began = time.time()
            if fault == "flip":
                _replace(text, "bench_fault 1\n")
            elif fault == "kill":
                agent.process.kill()
            elif fault == "hang":
                agent.process.send_signal(signal.SIGSTOP)
            elif mount is not None:
                (mount / "full").write_bytes(b"\0" * (TMPFS_BYTES * 15 // 16))
            at = self.sink.wait(
                name, {"opened", "reopened", "worse", "grew"}, began, MISSED_AFTER_S
            )
            stages = None if at is None else self._stages(fault, name, began, at)
            # mend it, so that the next run begins with no incident open
            if fault == "flip":
                _replace(text, "bench_fault 0\n")
            elif fault == "kill":
                agent.process.wait()
                agent.start()
            elif fault == "hang":
                agent.process.send_signal(signal.SIGCONT)
            elif mount is not None:
                (mount / "full").unlink()
            self.sink.wait(name, {"resolved"}, began, MISSED_AFTER_S)
        return stages

    def _mount(self, undo: contextlib.ExitStack) -> Path:
        mount = self.folder / "vezha-detect"
        mount.mkdir(exist_ok=True)
        size = f"size={TMPFS_BYTES}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(mount)], check=True)
        undo.callback(subprocess.run, ["umount", "-l", str(mount)], check=False)
        return mount

    def _stages(self, fault: str, host: str, began: float, at: float) -> dict[str, float]:
        t = alert_transition.c
        wanted = (
            select(t.sampled_ms, t.evaluated_ms, t.written_ms)
            .where(t.host == host, t.alert_name == ALERTS[fault], t.to_state == "firing")
            .order_by(t.id)
        )
        with self.ledger.read() as connection:
            fired = connection.execute(wanted).first()
            queued = connection.execute(
                select(message.c.created_ms)
                .where(message.c.created_ms >= int(began * 1000))
                .order_by(message.c.id)
            ).scalar()
        found = {"message": at - began}
        if fired is not None:
            found["stored"] = fired.evaluated_ms / 1000 - began
            found["fired"] = fired.written_ms / 1000 - began
            if fired.sampled_ms is not None:
                found["sampled"] = fired.sampled_ms / 1000 - began
        if queued is not None:
            found["queued"] = queued / 1000 - began
        return found


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def table(fault: str, runs: list[dict[str, float] | None]) -> str:
    """One line: p50 / p95 by stage."""
    good = [r for r in runs if r is not None]
    cells = []
    for stage in STAGES:
        values = [r[stage] for r in good if stage in r]
        if values:
            p50, p95 = np.percentile(values, [50, 95])
            cells.append(f"{p50:6.2f} / {p95:5.2f}")
        else:
            cells.append(f"{'–':>14}")
    return f"{fault:<6} {len(good):>3} of {len(runs):<3} " + "  ".join(cells)


def main() -> int:
    """0 where every fault was told of."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="of each fault")
    parser.add_argument("--only", default=",".join(FAULTS), help="some of the faults")
    parser.add_argument("--json", default="", help="write all runs there")
    chosen = parser.parse_args()
    faults = [f for f in FAULTS if f in chosen.only.split(",")]
    if "disk" in faults and os.geteuid() != 0:
        print("disk is skipped: mounting a tmpfs needs root")
        faults.remove("disk")
    print(f"{machine_load()}; seconds from the fault, p50 / p95")
    told: dict[str, list[dict[str, float] | None]] = {f: [] for f in faults}
    with tempfile.TemporaryDirectory(prefix="vezha-bench-") as folder:
        bench = Bench(Path(folder))
        try:
            for number in range(chosen.runs):
                for fault in faults:
                    told[fault].append(bench.run(fault, number))
        finally:
            bench.close()
    print(f"{'fault':<6} {'told':>3}       " + "  ".join(f"{s:>14}" for s in STAGES))
    for fault in faults:
        print(table(fault, told[fault]))
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(told, indent=1))
    return 0 if all(r is not None for runs in told.values() for r in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
