"""What watching ten tripwires, ten times a second, costs an agent.

    python -m benchmarks.tripwire

In a process of its own, for twenty seconds; how soon a tripwire tells is measured by `detection`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from vezha.agent.config import parse_config
from vezha.agent.watch import Watch
from vezha.wire.tripwire import Busy, Condition, Selector, Tripwire
from vezha.world import World

COST_S = 20.0


def conditions() -> list[Condition]:
    """Ten of every kind; none holds."""

    def of(name: str, op: str, value: float, per: str = "") -> Condition:
        return Condition(op, value, Selector(name), Selector(per) if per else None)

    return [
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


def watch_for_a_while() -> float:
    """The share of a core that it took."""
    with tempfile.TemporaryDirectory() as state:
        (Path(state) / "textfile").mkdir()
        (Path(state) / "textfile" / "a.prom").write_text("queue 1\nerrors 0\n")
        (Path(state) / "me.pid").write_text(str(os.getpid()))
        # Names of our own: others' processes come and go.
        (Path(state) / "parent.pid").write_text(str(os.getppid()))
        config = parse_config(
            f'[collectors.watched]\nprocesses = "{state}/me.pid {state}/parent.pid"\n', state=state
        )
        watch = Watch(config, World(), lambda crossing: None)
        watch.set([Tripwire(str(i), (one,)) for i, one in enumerate(conditions())])
        thread = threading.Thread(target=watch.run)
        thread.start()
        time.sleep(2.0)
        cpu_s, began_s, looks = time.process_time(), time.monotonic(), watch.looks_total
        time.sleep(COST_S)
        share = (time.process_time() - cpu_s) / (time.monotonic() - began_s)
        assert watch.looks_total - looks > 0.8 * COST_S * 10, "it did not look ten times a second"
        watch.stop()
        thread.join()
    return share


def main() -> None:
    """Print it."""
    if "--child" in sys.argv:
        print(f"{100 * watch_for_a_while():.4f}")
        return
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.tripwire", "--child"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    print(f"watching ten tripwires: {float(done.stdout):.2f} % of a core")


if __name__ == "__main__":
    main()
