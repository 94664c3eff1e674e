"""A simulated fleet into one data contour: 10,000 agents x 100 series, once a second, over TLS.

    python -m benchmarks.fleet_ingest [--agents 10000] [--series 100] [--seconds 60]

The generator (this process) runs on one core, the contour with its real store on another. The
payloads are packed before the run, because a real fleet packs them on its own machines; each
host's values are its own. A sample counts when its ack came: it is in the store's WAL, synced.
`--rules` keeps the built-in alert rules on, as they are by default in a real server.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
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


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--series", type=int, default=100, help="of each agent")
    parser.add_argument("--seconds", type=int, default=60, help="measured after the ramp-up")
    parser.add_argument("--warm-up", type=int, default=10, help="seconds not measured")
    parser.add_argument("--connects", type=float, default=800.0, help="dials a second at first")
    parser.add_argument("--plain", action="store_true", help="pack payloads as they are sent")
    parser.add_argument("--no-rules", action="store_true", help="without the built-in rules")
    parser.add_argument("--json", default="", help="write the figures there too")
    parser.add_argument("--state", default="", help="keep the state folder there")
    return parser.parse_args()


async def measure(
    chosen: argparse.Namespace, contour: DataContour, fleet: SocketFleet
) -> dict[str, Any]:
    """Ramp up, warm up, measure."""
    began = time.perf_counter()
    fleet.start(chosen.connects)
    everybody = await fleet.wait_connected(chosen.agents, 180.0)
    ramp_s = time.perf_counter() - began
    print(f"connected {fleet.connected} of {chosen.agents} in {ramp_s:.1f} s", flush=True)
    gc.collect()
    gc.freeze()
    await asyncio.sleep(chosen.warm_up)
    tally = fleet.tally
    tally.forget_latencies()
    made, acked, sent_bytes, skipped = (
        tally.made,
        tally.acked,
        tally.bytes_sent,
        tally.skipped_turns,
    )
    cpu, own_cpu, threads = contour.cpu_s(), time.process_time(), contour.threads_cpu_s()
    began = time.perf_counter()
    waiting_max = 0
    rss_max = 0.0
    for _ in range(chosen.seconds):
        await asyncio.sleep(1.0)
        waiting_max = max(waiting_max, fleet.waiting())
        rss_max = max(rss_max, contour.memory_mb())
    lasted = time.perf_counter() - began
    spent = {
        name: round(100 * (used - threads.get(name, 0.0)) / lasted, 1)
        for name, used in contour.threads_cpu_s().items()
    }
    return {
        "everybody_connected": everybody,
        "connected": fleet.connected,
        "ramp_up_s": round(ramp_s, 1),
        "measured_s": round(lasted, 1),
        "frames_made_per_s": round((tally.made - made) / lasted),
        "frames_acked_per_s": round((tally.acked - acked) / lasted),
        "samples_acked_per_s": round((tally.acked - acked) * chosen.series / lasted),
        "ack_ms": tally.percentiles_ms(),
        "waiting_frames_max": waiting_max,
        "wire_bytes_per_sample": round(
            (tally.bytes_sent - sent_bytes) / max(1, (tally.made - made) * chosen.series), 2
        ),
        "server_cpu_percent": round(100 * (contour.cpu_s() - cpu) / lasted, 1),
        "server_cpu_percent_by_thread": {k: v for k, v in spent.items() if v >= 0.5},
        "server_rss_mb": round(rss_max),
        "generator_cpu_percent": round(100 * (time.process_time() - own_cpu) / lasted, 1),
        "generator_late_s_max": round(tally.late_s_max, 2),
        "generator_skipped_s": tally.skipped_turns - skipped,
        "refusals": tally.refusals,
        "disconnects": tally.disconnects,
    }


async def run(chosen: argparse.Namespace, contour: DataContour) -> dict[str, Any]:
    """Everything between the contour's start and its stop."""
    hosts = machines(chosen.agents)
    credentials = contour.enrol(hosts)
    contour.start()
    fleet = SocketFleet(
        hosts,
        credentials,
        f"127.0.0.1:{contour.port}",
        ca_pem=contour.ca_pem,
        series=chosen.series,
    )
    if not chosen.plain:
        turns = round(chosen.agents / chosen.connects) + chosen.warm_up + chosen.seconds + 15
        began = time.perf_counter()
        fleet.prepare(turns)
        print(f"packed {turns} s of payloads in {time.perf_counter() - began:.0f} s", flush=True)
    figures = await measure(chosen, contour, fleet)
    await fleet.stop()
    figures["lost_frames"] = fleet.waiting()
    figures["samples_all"] = fleet.tally.acked * chosen.series
    return figures


def main() -> int:
    """0 where every agent was connected and the acks kept up."""
    chosen = arguments()
    load = machine_load()
    files = raise_open_files(2 * chosen.agents + 1000)
    if files < chosen.agents + 200:
        print(f"only {files} open files are allowed: raise `ulimit -n`, or use fewer --agents")
        return 2
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[1]})
    with tempfile.TemporaryDirectory(prefix="vezha-bench-") as folder:
        state = Path(chosen.state or folder) / "state"
        settings = ["rules.builtin=false"] if chosen.no_rules else []
        contour = DataContour(state, cores=cores[:1], settings=settings)
        contour.prepare()
        try:
            figures = uvloop.run(run(chosen, contour))
        finally:
            contour.stop()
        disk = contour.disk_bytes()
        samples = max(1, figures["samples_all"])
        figures["disk_bytes_per_sample"] = round(disk["days"] / samples, 2)
        figures["disk_mb"] = {k: round(v / 1e6, 1) for k, v in disk.items()}
    figures = {"machine": load, "agents": chosen.agents, "series": chosen.series, **figures}
    print(json.dumps(figures, indent=1))
    if chosen.json:
        Path(chosen.json).write_text(json.dumps(figures, indent=1))
    return 0 if figures["everybody_connected"] and not figures["generator_skipped_s"] else 1


if __name__ == "__main__":
    sys.exit(main())
