"""What the agent costs on this machine, next to prometheus-node-exporter asked each second.

    python benchmarks/agent_overhead.py [--seconds 60]

Rows: our single file collecting and throwing away (`collect --loop`), our agent at work with a
real server over TLS on this machine (`vezha up`; the server's own cost is not counted), and the
exporter (if installed), whose asker's cost is not counted either. Each row is measured by
itself, one after the other, from the kernel's account of the process after five seconds of
warming up. Look at the ratios: other work on the machine moves the absolute figures.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vezha.agent.zipapp import build

WARM_UP_S = 5.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Row:
    """One measured process."""

    name: str
    seconds: float
    samples: int
    cpu_s: float
    rss_kb: int
    pss_kb: int

    def text(self) -> str:
        """As a line of the table."""
        return (
            f"{self.name:<46} {self.samples / self.seconds:>9.0f} "
            f"{100 * self.cpu_s / self.seconds:>9.2f} {1e6 * self.cpu_s / self.samples:>10.1f} "
            f"{self.rss_kb / 1024:>8.1f} {self.pss_kb / 1024:>8.1f}"
        )


HEADING = (
    f"{'':<46} {'samples/s':>9} {'% of core':>9} {'us/sample':>10} {'RSS MiB':>8} {'PSS MiB':>8}"
)


def cpu_s(pid: int) -> float:
    """Processor time of a process and its threads so far."""
    schedule = Path(f"/proc/{pid}/schedstat")
    if schedule.exists() and len(os.listdir(f"/proc/{pid}/task")) == 1:
        return int(schedule.read_text().split()[0]) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_kb(pid: int) -> tuple[int, int]:
    """Resident and proportional memory."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = dict(re.findall(r"^(Rss|Pss):\s+(\d+)", text, re.MULTILINE))
    return int(found["Rss"]), int(found["Pss"])


def measure(
    name: str, pid: int, seconds: float, each_second: Callable[[], int] | None, per_second: float
) -> Row:
    """Watch a running process for *seconds*. *each_second* may ask it for samples and says how
    many came; without it, it makes *per_second* by itself."""
    until = time.monotonic() + WARM_UP_S
    while time.monotonic() < until:
        if each_second is not None:
            each_second()
        time.sleep(1)
    began, cpu_began, samples = time.monotonic(), cpu_s(pid), 0
    for tick in range(1, int(seconds) + 1):
        if each_second is not None:
            samples += each_second()
        time.sleep(max(0.0, began + tick - time.monotonic()))
    lasted = time.monotonic() - began
    used = cpu_s(pid) - cpu_began
    rss, pss = memory_kb(pid)
    return Row(name, lasted, samples or round(per_second * lasted), used, rss, pss)


def stop(process: subprocess.Popen[str]) -> None:
    """End a process that we started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def samples_per_second(pyz: Path, python: str, folder: Path) -> float:
    """What the agent collects on this machine, over twenty seconds of all its intervals."""
    told = subprocess.run(
        [python, str(pyz), "collect", "--state", str(folder), "--loop", "--seconds", "20"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = dict(re.findall(r"(\w+)=([\d.]+)", told))
    return float(found["samples"]) / float(found["seconds"])


def measure_loop(pyz: Path, python: str, folder: Path, seconds: float, rate: float) -> Row:
    """Our single file, collecting only."""
    process = subprocess.Popen(
        [python, str(pyz), "collect", "--state", str(folder), "--loop"],
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        return measure("vezha-agent.pyz collect --loop", process.pid, seconds, None, rate)
    finally:
        stop(process)


def measure_link(folder: Path, seconds: float, rate: float) -> Row | None:
    """The agent that `vezha up` starts: collecting, spooling, sending over TLS."""
    log = (folder / "up.log").open("w+")
    command = [sys.executable, "-P", "-m", "vezha", "up", "--state", str(folder / "state")]
    command += ["--set", "web.listen=127.0.0.1:0", "--set", "channel.listen=127.0.0.1:0"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, text=True
    )
    try:
        pid = 0
        for _ in range(60):
            pid = find_child(process.pid, "agent_process")
            if pid or process.poll() is not None:
                break
            time.sleep(0.5)
        if not pid:
            log.seek(0)
            print("no agent of `vezha up` to measure:", log.read()[-500:], file=sys.stderr)
            return None
        return measure("vezha agent run, TLS to vezha up", pid, seconds, None, rate)
    finally:
        stop(process)
        log.close()


def find_child(parent: int, word: str) -> int:
    """The process id of a child of *parent* with *word* in its command line; 0 without."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            words = Path(f"/proc/{entry}/cmdline").read_text()
        except OSError:
            continue
        if int(fields[1]) == parent and word in words:
            return int(entry)
    return 0


def measure_exporter(seconds: float) -> Row | None:
    """node_exporter with its defaults, asked each second."""
    found = shutil.which("prometheus-node-exporter")
    if found is None:
        print("prometheus-node-exporter is not installed: no row for it", file=sys.stderr)
        return None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [found, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL, text=True
    )

    def ask() -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read()
        return sum(1 for line in text.splitlines() if not line.startswith(b"#"))

    try:
        time.sleep(1)
        return measure("prometheus-node-exporter, asked each second", process.pid, seconds, ask, 0)
    finally:
        stop(process)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each row is measured")
    seconds = parser.parse_args().seconds
    # A host's own Python, as the single file will meet it; ours where there is none.
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    rows: list[Row | None] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pyz = folder / "vezha-agent.pyz"
        build(pyz)
        rate = samples_per_second(pyz, python, folder)
        rows.append(measure_loop(pyz, python, folder, seconds, rate))
        rows.append(measure_link(folder, seconds, rate))
        rows.append(measure_exporter(seconds))
    print(HEADING)
    for row in rows:
        if row is not None:
            print(row.text())


if __name__ == "__main__":
    main()
