"""A storm: the data contour dies, and the whole fleet comes back over TLS.

    python -m benchmarks.reconnect [--agents 2000] [--down 3]

The contour is killed (-9) with everybody connected, started again, and watched until every agent
is back and what they sampled meanwhile is stored. Prints how long both took, how many dials were
turned away (503, with Retry-After) or failed, and whether anything was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from benchmarks.fleet_server import DataContour, machine_load, raise_open_files

from vezha.testing.fleet.inventory import machines
from vezha.testing.fleet.sockets import SocketFleet

DRAIN_TIMEOUT_S = 180.0
USUAL_WAITING = 0.4
"""Of each agent's one frame a second this part is under way at any moment (the group commit)."""


async def run(chosen: argparse.Namespace, contour: DataContour) -> dict[str, Any]:
    """Connect, kill, start, wait."""
    hosts = machines(chosen.agents)
    credentials = contour.enrol(hosts)
    contour.start()
    address = f"127.0.0.1:{contour.port}"
    fleet = SocketFleet(hosts, credentials, address, ca_pem=contour.ca_pem, series=chosen.series)
    turns = round(chosen.agents / chosen.connects) + 60
    fleet.prepare(turns)
    fleet.start(chosen.connects)
    if not await fleet.wait_connected(chosen.agents, 180.0):
        raise SystemExit(f"only {fleet.connected} of {chosen.agents} could connect at all")
    await asyncio.sleep(3.0)
    dials, refusals = fleet.tally.dials, dict(fleet.tally.refusals)
    contour.kill()
    await asyncio.sleep(chosen.down)
    began = time.perf_counter()
    await asyncio.to_thread(contour.start)
    listened_s = time.perf_counter() - began
    back_s = {}
    back = True
    for share in (50, 95, 100):
        back = await fleet.wait_connected(chosen.agents * share // 100, DRAIN_TIMEOUT_S)
        back_s[f"{share}%"] = round(time.perf_counter() - began, 1)
    until = time.perf_counter() + DRAIN_TIMEOUT_S
    while fleet.waiting() > USUAL_WAITING * chosen.agents and time.perf_counter() < until:
        await asyncio.sleep(0.05)
    drained_s = time.perf_counter() - began
    cpu = contour.cpu_s()
    await fleet.stop()
    now = fleet.tally.refusals
    return {
        "everybody_back": back,
        "listened_again_s": round(listened_s, 1),
        "back_s": back_s,
        "drained_s": round(drained_s, 1),
        "dials": fleet.tally.dials - dials,
        "turned_away_or_failed": {
            k: v - refusals.get(k, 0) for k, v in now.items() if v > refusals.get(k, 0)
        },
        "server_cpu_s": round(cpu, 1),
        "frames_dropped": sum(a.spool.dropped_frames for a in fleet.agents),
        "frames_not_stored": fleet.waiting(),
    }


def main() -> int:
    """0 where everybody came back and nothing was lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--agents", type=int, default=2_000)
    parser.add_argument("--series", type=int, default=100, help="of each agent")
    parser.add_argument("--down", type=float, default=3.0, help="seconds without a server")
    parser.add_argument("--connects", type=float, default=500.0, help="dials a second at first")
    chosen = parser.parse_args()
    load = machine_load()
    if raise_open_files(2 * chosen.agents + 1000) < chosen.agents + 200:
        print("too few open files are allowed: raise `ulimit -n`, or use fewer --agents")
        return 2
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[1]})
    with tempfile.TemporaryDirectory(prefix="vezha-bench-") as folder:
        contour = DataContour(
            Path(folder) / "state", cores=cores[:1], settings=["rules.builtin=false"]
        )
        contour.prepare()
        try:
            figures = uvloop.run(run(chosen, contour))
        finally:
            contour.stop()
    print(json.dumps({"machine": load, "agents": chosen.agents, **figures}, indent=1))
    return 0 if figures["everybody_back"] and not figures["frames_dropped"] else 1


if __name__ == "__main__":
    sys.exit(main())
