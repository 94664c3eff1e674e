"""Rollouts over a simulated fleet in five waves, with a server that is killed on the way.

A good version, and one that crashes on a fifth of the hosts; the real loop, ledger, gateway's part and
messages, simulated agents from a seed. Prints how it went, time and memory, and fails where a
promise was broken: no host changed twice, none left in between, never more in flight than
allowed, nothing offered to a host that went back from it, a bad version on 1 % of the hosts at most.

    python benchmarks/rollout.py --hosts 10000 --kills 20 --seed 1
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.rolling import roll_out

VERSIONS = {
    "good": Behaviour(),
    "bad": Behaviour("reverted", "crashed", share=0.2),
}


def main() -> int:
    """Run both; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=500)
    given = parser.parse_args()
    failed = False
    for name, behaviour in VERSIONS.items():
        kills = given.kills if name == "good" else min(given.kills, 5)
        with tempfile.TemporaryDirectory(prefix="vezha-rollout-") as folder:
            report = roll_out(
                Path(folder), given.hosts, given.seed, kills, behaviour, given.in_flight
            )
        print(f"{name} version, {report}", flush=True)
        if name == "bad" and report.touched > 0.01 * given.hosts:
            report.broken.append("more than 1 % of the hosts got the bad version")
        failed = failed or bool(report.broken) or (report.state == "done") != (name == "good")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
