"""Is anything lost? A real agent and a real data contour, next to Prometheus and its exporter.

    python -m benchmarks.nothing_lost [--kills 20] [--cut 60]

Both pairs suffer the same, at the same time: the server is killed (-9) so many times and started
again, the network between the two is cut for so many seconds, the agent (the exporter) is killed
and started again. Then the one-second samples that are missing are counted. Ours exactly, by the
agent's own count of its frames; theirs as seconds without a sample, less the seconds in which the
exporter itself was down. Prometheus pulls, so what it could not fetch at its moment is gone: that
is its design, shown here and not blamed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from benchmarks.fleet_server import DataContour, free_port, machine_load

from vezha.access.certificate import fingerprint
from vezha.access.enrolment import create_enrolment
from vezha.access.user import SYSTEM
from vezha.ledger import Ledger
from vezha.model.columns import Matcher, MatchOp, Selection
from vezha.store import StoreReader
from vezha.testing.fleet.realagent import COUNTER, RealAgent, missing_and_doubled
from vezha.testing.fleet.tcpcut import TcpCut
from vezha.world import World

HOST = "counted"
AGENT_DOWN_S = 3.0


class Ours:
    """The agent, a network, the data contour."""

    name = "Vezha"

    def __init__(self, folder: Path) -> None:
        self.contour = DataContour(folder / "state", settings=["rules.builtin=false"])
        self.contour.prepare()
        self.contour.start()
        ledger = Ledger.open(f"sqlite:///{self.contour.state / 'ledger.db'}")
        token = create_enrolment(ledger, SYSTEM, int(time.time() * 1000)).token
        ledger.close()
        self.network = TcpCut(self.contour.port)
        self.agent = RealAgent(folder / "agent", HOST)
        certificate = str(self.contour.state / "tls" / "server.pem")
        address = f"127.0.0.1:{self.network.port}"
        self.agent.enrol(address, token, fingerprint(World(), certificate))
        self.agent.start()

    def kill_server(self) -> None:
        """kill -9, and start it at once."""
        self.contour.kill()
        self.contour.start()

    def kill_agent(self) -> None:
        """kill -9."""
        self.agent.kill()

    def start_agent(self) -> None:
        """Again."""
        self.agent.start()

    def count(self) -> str:
        """Stop the agent, wait for the last frame, count."""
        self.agent.stop()
        made = sum(self.agent.lives)
        values: list[float] = []
        until = time.monotonic() + 30.0
        while time.monotonic() < until and len(values) < made:
            time.sleep(1.0)
            values = self._stored()
        missing, doubled = missing_and_doubled(values, self.agent.lives)
        return f"{made:>8} {len(values):>8} {missing:>8} {doubled:>8}"

    def _stored(self) -> list[float]:
        reader = StoreReader.open(str(self.contour.state / "store"))
        try:
            wanted = (
                Matcher("__name__", MatchOp.EQ, COUNTER),
                Matcher("instance", MatchOp.EQ, HOST),
            )
            now_ms = int(time.time() * 1000)
            found = reader.select(Selection(wanted, now_ms - 3_600_000, now_ms))
            return [float(v) for v in found.values]
        finally:
            reader.close()

    def close(self) -> None:
        """Stop everything."""
        self.agent.stop()
        self.network.close()
        self.contour.stop()


class Theirs:
    """prometheus-node-exporter, a network, prometheus, once a second."""

    name = "Prometheus + node_exporter"

    def __init__(self, folder: Path, prometheus: str, exporter: str) -> None:
        self._prometheus, self._exporter = prometheus, exporter
        self._folder = folder
        self._port, self._exporter_port = free_port(), free_port()
        self._down: list[tuple[float, float]] = []
        self.network = TcpCut(self._exporter_port)
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
            "scrape_configs:\n  - job_name: node\n    static_configs:\n"
            f"      - targets: ['127.0.0.1:{self.network.port}']\n"
        )
        self.start_agent()
        self._start_server()
        self._began = time.time()

    def _start_server(self) -> None:
        self._server = subprocess.Popen(
            [
                self._prometheus,
                f"--config.file={self._folder}/prometheus.yml",
                f"--storage.tsdb.path={self._folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 60.0
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=2):
                    return
            except OSError:
                time.sleep(0.05)
        raise SystemExit("prometheus did not start")

    def kill_server(self) -> None:
        """kill -9, start it at once, and wait until it serves again, as for ours."""
        self._server.kill()
        self._server.wait()
        self._start_server()

    def kill_agent(self) -> None:
        """kill -9."""
        self._agent.kill()
        self._agent.wait()
        self._down.append((time.time(), time.time() + AGENT_DOWN_S + 0.5))

    def start_agent(self) -> None:
        """Again."""
        self._agent = subprocess.Popen(
            [self._exporter, f"--web.listen-address=127.0.0.1:{self._exporter_port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def count(self) -> str:
        """Seconds without a sample."""
        now = time.time()
        asked = urllib.parse.urlencode({"query": f"node_load1[{int(now - self._began) + 5}s]"})
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self._port}/api/v1/query?{asked}", timeout=30
        ) as answer:
            found = json.load(answer)["data"]["result"]
        stamps = sorted(float(v[0]) for s in found for v in s["values"])
        have = {int(s) for s in stamps}
        first, last = int(stamps[0]), int(now) - 3
        wanted = [s for s in range(first, last) if not any(a - 1 <= s <= b for a, b in self._down)]
        missing = sum(s not in have for s in wanted)
        return f"{len(wanted):>8} {len(wanted) - missing:>8} {missing:>8} {0:>8}"

    def close(self) -> None:
        """Stop everything."""
        self.network.close()
        for process in (self._server, self._agent):
            process.kill()
            process.wait()


def main() -> int:
    """0 where ours lost nothing and doubled nothing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20, help="of the server")
    parser.add_argument("--cut", type=float, default=60.0, help="seconds without network")
    parser.add_argument("--every", type=float, default=8.0, help="seconds between kills")
    chosen = parser.parse_args()
    print(f"{machine_load()}; {chosen.kills} kills of the server, a cut of {chosen.cut:.0f} s")
    pairs: list[Ours | Theirs] = []
    with tempfile.TemporaryDirectory(prefix="vezha-lost-") as folder:
        try:
            pairs.append(Ours(Path(folder)))
            prometheus, exporter = map(shutil.which, ("prometheus", "prometheus-node-exporter"))
            if prometheus and exporter:
                pairs.append(Theirs(Path(folder), prometheus, exporter))
            else:
                print("prometheus and prometheus-node-exporter are not installed: only ours")
            torment(pairs, chosen)
            print(f"{'':<28} {'made':>8} {'stored':>8} {'missing':>8} {'doubled':>8}")
            rows = {pair.name: pair.count() for pair in pairs}
            for name, row in rows.items():
                print(f"{name:<28} {row}")
        finally:
            for pair in pairs:
                pair.close()
    return 0 if rows[Ours.name].split()[2:] == ["0", "0"] else 1


def torment(pairs: list[Ours | Theirs], chosen: argparse.Namespace) -> None:
    """The same troubles for both."""
    time.sleep(5.0)
    for _ in range(chosen.kills):
        for pair in pairs:
            pair.kill_server()
        time.sleep(chosen.every)
    for pair in pairs:
        pair.network.cut()
    time.sleep(chosen.cut)
    for pair in pairs:
        pair.network.mend()
    time.sleep(2.0)
    for pair in pairs:
        pair.kill_agent()
    time.sleep(AGENT_DOWN_S)
    for pair in pairs:
        pair.start_agent()
    time.sleep(15.0)


if __name__ == "__main__":
    sys.exit(main())
