"""Heavy queries, and what they do to everybody else on the web contour.

    python -m benchmarks.heavy [--hosts 2000] [--workers 2] [--seconds 15]

A store is filled as agents fill it; a process serves the web contour over it. Then /healthz is
asked 20 times a second and the live stream watched, with 0, 2 and 20 heavy queries at once.
`--workers 0` evaluates queries in the serving process, for comparison.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import httpx
import numpy as np
from benchmarks import rules
from websockets.sync.client import connect

from vezha.access import SYSTEM, Role
from vezha.access.certificate import ensure_certificates
from vezha.access.token import create_token
from vezha.ledger import Ledger
from vezha.ledger.tables import host
from vezha.server import web
from vezha.server.contour import StopSignal
from vezha.server.ports import claim_port
from vezha.server.reading import Address
from vezha.server.settings import WebSettings, load_settings
from vezha.server.state import StateFolder
from vezha.store import Store, StoreSettings
from vezha.world import World

HISTORY_S = 60
HEAVY = 'sum by (mode) (rate(node_cpu_seconds_total{mode=~"idle|user|system"}[10s]))'


def serve(state: str, port: int, workers: int) -> None:
    """The web contour, in this process, until SIGTERM."""
    setattr(web, "QUERY_WORKERS", workers)  # noqa: B010  a constant, but for this comparison
    folder = StateFolder.at(Path(state))
    listen = Address("127.0.0.1", port)
    stop = StopSignal()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = replace(load_settings(folder, {}), web=WebSettings(listen=listen))
    web.run(settings, lambda: print("ready", flush=True), stop)


def figures(name: str, seconds: list[float]) -> str:
    """p50, p95 and the worst, in milliseconds."""
    p50, p95, worst = (1000 * q for q in np.quantile(seconds or [np.nan], [0.5, 0.95, 1.0]))
    return f"{name} {p50:6.0f} {p95:6.0f} {worst:6.0f} ms"


def measure(url: str, token: str, heavy: int, seconds: float) -> None:
    """One line of the table."""
    until = time.monotonic() + seconds
    head = {"Authorization": f"Bearer {token}"}
    health: list[float] = []
    ticks: list[float] = []
    answered: list[float] = []

    def ask_heavy() -> None:
        with httpx.Client(headers=head, timeout=120) as client:
            while time.monotonic() < until:
                now = time.time()
                asked = {"query": HEAVY, "start": now - 50, "end": now, "step": 1}
                began = time.monotonic()
                code = client.get(f"{url}/api/v1/query_range?{urlencode(asked)}").status_code
                answered.append(time.monotonic() - began)
                if code != 200:
                    time.sleep(0.5)

    def watch() -> None:
        address = url.replace("http", "ws") + "/api/v1/live"
        with connect(address, additional_headers=head, max_size=None) as socket:
            socket.send('{"subscribe": {"page": "fleet"}}')
            while time.monotonic() < until:
                if isinstance(socket.recv(timeout=60), bytes):
                    ticks.append(time.monotonic())

    threads = [threading.Thread(target=watch)]
    threads += [threading.Thread(target=ask_heavy) for _ in range(heavy)]
    for thread in threads:
        thread.start()
    with httpx.Client() as client:
        while time.monotonic() < until:
            began = time.monotonic()
            client.get(f"{url}/healthz")
            health.append(time.monotonic() - began)
            time.sleep(0.05)
    for thread in threads:
        thread.join()
    late = [max(0.0, gap - 1.0) for gap in np.diff(ticks)]
    print(
        f"  {heavy:2} heavy ({len(answered):3} answered, {figures('each', answered)})  "
        f"{figures('/healthz', health)}  {figures('tick late by', late)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--serve", nargs=2, metavar=("STATE", "PORT"))
    given = parser.parse_args()
    if given.serve:
        serve(given.serve[0], int(given.serve[1]), given.workers)
        return
    with tempfile.TemporaryDirectory(prefix="vezha-bench-") as text:
        folder = StateFolder.at(Path(text) / "state")
        folder.make()
        settings = load_settings(folder, {})
        ensure_certificates(World(), str(folder.tls))
        ledger = Ledger.open(settings.ledger_url)
        ledger.migrate()
        token = create_token(ledger, SYSTEM, "bench", Role.ADMIN, int(time.time() * 1000))[1]
        with ledger.begin() as connection:
            rows = [{"name": f"host-{h:05d}", "labels": {}, "facts": {}, "created_ms": 1}
                    for h in range(given.hosts)]  # fmt: skip
            connection.execute(host.insert(), rows)
        store = Store.open(str(folder.store), World(), StoreSettings(series_max=20_000_000))
        start_ms = (int(time.time()) - HISTORY_S) * 1000
        rules.fill(store, given.hosts, HISTORY_S, start_ms)
        port = claim_port("web.listen", Address("127.0.0.1", 0)).port
        server = subprocess.Popen(
            [sys.executable, __file__, "--workers", str(given.workers), "--serve",
             str(folder.path), str(port)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            while server.stdout.readline() != "ready\n":
                assert server.poll() is None, "the server ended"
            url = f"http://127.0.0.1:{port}"
            print(
                f"{given.hosts} hosts, {given.workers} workers; p50, p95, worst; "
                f"load {os.getloadavg()[0]:.1f}"
            )
            for heavy in (0, 2, 20):
                measure(url, token, heavy, given.seconds)
        finally:
            server.terminate()
            server.wait(30)
            store.close()
            ledger.close()


if __name__ == "__main__":
    main()
