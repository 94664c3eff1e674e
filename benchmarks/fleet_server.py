"""What the system benchmarks share: a data contour in a process of its own, measured from outside."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vezha.ledger import Ledger
from vezha.testing.fleet.enrolment import enrol_fleet
from vezha.testing.fleet.inventory import Machine
from vezha.testing.fleet.sockets import Credential

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S = 60.0


def raise_open_files(wanted: int) -> int:
    """As many open files as *wanted* and the system allow; how many there are now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    now = min(max(soft, wanted), hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (now, hard))
    return now


def free_port() -> int:
    """A TCP port on loopback that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def machine_load() -> str:
    """How busy the machine is with other work, and how many cores it has."""
    one, five, _ = os.getloadavg()
    return f"{os.cpu_count()} cores, load {one:.1f} (1 min) {five:.1f} (5 min) before the run"


@dataclass
class DataContour:
    """`vezha server data` on a fresh state folder, pinned to some cores."""

    state: Path
    cores: Sequence[int] = ()
    settings: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Certificates, ledger, first admin."""
        subprocess.run(self._argv("prepare"), check=True, stdout=subprocess.DEVNULL)

    def enrol(self, machines: Sequence[Machine]) -> list[Credential]:
        """Identities of simulated hosts."""
        ledger = Ledger.open(f"sqlite:///{self.state / 'ledger.db'}")
        try:
            return enrol_fleet(ledger, machines, int(time.time() * 1000))
        finally:
            ledger.close()

    def start(self) -> None:
        """Start it and wait until it listens."""
        log = (self.state / "benchmark.log").open("ab")
        self.process = subprocess.Popen(self._argv("data"), stdout=log, stderr=log)
        if self.cores:
            os.sched_setaffinity(self.process.pid, self.cores)
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            with socket.socket() as probe:
                probe.settimeout(1.0)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit(f"the data contour did not start; see {log.name}")

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """In good order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    @property
    def ca_pem(self) -> str:
        """The authority that signed its certificate."""
        return (self.state / "tls" / "ca.pem").read_text()

    def cpu_s(self) -> float:
        """Processor time so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_mb(self) -> float:
        """Resident memory, shared memory of the head included."""
        assert self.process is not None
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def threads_cpu_s(self) -> dict[str, float]:
        """Processor time so far by thread's name."""
        assert self.process is not None
        spent: dict[str, float] = {}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                text = (task / "stat").read_text()
            except OSError:
                continue
            name = text[text.index("(") + 1 : text.rindex(")")]
            fields = text.rpartition(")")[2].split()
            used = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
            spent[name] = spent.get(name, 0.0) + used
        return spent

    def disk_bytes(self) -> dict[str, int]:
        """Bytes on disk: tiles (`days`), WAL, everything of the store."""
        sizes = {"days": 0, "wal": 0, "store": 0}
        for path in (self.state / "store").rglob("*"):
            if path.is_file():
                size = path.stat().st_blocks * 512
                sizes["store"] += size
                for part in ("days", "wal"):
                    if part in path.parts:
                        sizes[part] += size
        return sizes

    def _argv(self, verb: str) -> list[str]:
        chosen = [f"channel.listen=127.0.0.1:{self.port}", *self.settings]
        options = [word for text in chosen for word in ("--set", text)]
        command = [sys.executable, "-P", "-m", "vezha", "server", verb]
        return [*command, "--state", str(self.state), *options]
