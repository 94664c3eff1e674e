"""The built-in rules and more, over a whole fleet, each second: what share of a core that takes.

    python benchmarks/rules.py [--hosts 10000] [--rules 60] [--seconds 20] [--history 60]

A store in this process is filled as agents fill it; then the rules' thread does its work for each
of the last seconds. Nothing else runs in it, so CPU is of the rules alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from vezha.alerting.loop import Alerting, AlertingSettings
from vezha.ledger import Ledger
from vezha.model.columns import Values
from vezha.model.labels import Labels, labels_of, metric
from vezha.query import Engine
from vezha.store import Store, StoreSettings
from vezha.wire.schema import pack_schema
from vezha.world import World

HISTORY_S = 60
"""Rules that look back for minutes read more with a longer `--history`."""

MORE = [
    "rate(node_context_switches_total[10s]) > 1e6",
    "node_load1 > 64",
    "node_procs_blocked > 50",
    "node_sockstat_TCP_tw > 20000",
    "rate(node_disk_io_time_seconds_total[10s]) > 0.98",
    "sum by (instance) (rate(node_network_receive_bytes_total[10s])) > 1.2e8",
    "node_entropy_available_bits < 32",
    "node_memory_Dirty_bytes > 1e10",
    'avg by (instance) (rate(node_cpu_seconds_total{mode="iowait"}[10s])) > 0.6',
    "node_filefd_allocated / node_filefd_maximum > 0.8",
]


def schema() -> tuple[Labels, ...]:
    """What an agent sends, as far as rules look at it: about 70 series."""
    rows = [metric("node_cpu_seconds_total", cpu=str(c), mode=m) for c in range(4)
            for m in ("idle", "user", "system", "iowait", "steal")]  # fmt: skip
    for name, value in (
        ("node_filesystem_avail_bytes", 0), ("node_filesystem_size_bytes", 0),
        ("node_filesystem_readonly", 0), ("node_filesystem_device_error", 0),
        ("node_filesystem_files", 0), ("node_filesystem_files_free", 0),
    ):  # fmt: skip
        rows += [
            metric(name, device=f"/dev/sd{d}", fstype="ext4", mountpoint=f"/m{d}")
            for d in range(3 + value)
        ]
    rows += [metric("node_disk_io_time_seconds_total", device=d) for d in ("sda", "sdb")]
    for name in (
        "node_network_receive_bytes_total", "node_network_receive_errs_total",
        "node_network_transmit_errs_total", "node_network_receive_packets_total",
        "node_network_transmit_packets_total",
    ):  # fmt: skip
        rows += [metric(name, device=d) for d in ("eth0", "lo")]
    rows += [
        metric(name)
        for name in (
            "node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes",
            "node_memory_SwapTotal_bytes", "node_memory_SwapFree_bytes", "node_memory_Dirty_bytes",
            "node_vmstat_pswpin", "node_vmstat_pswpout", "node_vmstat_oom_kill",
            "node_timex_offset_seconds", "node_pressure_memory_stalled_seconds_total",
            "node_pressure_io_stalled_seconds_total", "node_nf_conntrack_entries",
            "node_nf_conntrack_entries_limit", "node_netstat_TcpExt_ListenOverflows",
            "node_filefd_allocated", "node_filefd_maximum", "node_load1",
            "node_context_switches_total", "node_procs_blocked", "node_sockstat_TCP_tw",
            "node_entropy_available_bits",
        )
    ]  # fmt: skip
    return tuple(rows)


def fill(store: Store, hosts: int, seconds: int, start_ms: int) -> None:
    """Healthy hosts: counters grow a little, gauges stand."""
    series = schema()
    schema_id, _ = pack_schema(series)
    store.put_schema(schema_id, series)
    layouts = [
        store.layout(schema_id, labels_of({"instance": f"host-{h:05d}", "job": "node"}))
        for h in range(hosts)
    ]
    origins = [store.origin(f"a{h}/s") for h in range(hosts)]
    fleet = [
        metric(name, instance=f"host-{h:05d}", job="node")
        for h in range(hosts)
        for name in ("up", "vezha_agent_planned_absence", "vezha_agent_completeness_ratio",
                     "vezha_agent_clock_offset_seconds")
    ]  # fmt: skip
    refs = store.resolve(fleet)
    healthy = np.tile([1.0, 0.0, 1.0, 0.0], hosts)
    names = [dict(s)["__name__"] for s in series]
    counter = np.array([n.endswith(("_total", "pswpin", "pswpout")) for n in names])
    base = np.array([_gauge(n) for n in names])
    idle = np.array([("mode", "idle") in s for s in series])
    for second in range(seconds):
        ts_ms = start_ms + 1000 * second
        values = base + np.where(counter, second * np.where(idle, 0.9, 0.001), 0.0)
        for host in range(hosts):
            store.write_frame(layouts[host], origins[host], second, ts_ms, b"", values)
        store.write(refs, np.full(len(refs), ts_ms, np.int64), healthy)
        store.commit(store.seal())


def _gauge(name: str) -> float:
    if name.endswith(
        ("size_bytes", "MemTotal_bytes", "SwapTotal_bytes", "maximum", "limit", "files")
    ):
        return 1e12
    if name.endswith(("avail_bytes", "MemAvailable_bytes", "SwapFree_bytes", "files_free")):
        return 6e11
    return 256.0 if "entropy" in name else 0.0


def more_rules(folder: Path, count: int) -> None:
    """Rule files of Prometheus's kind, until there are *count* besides the built-in ones."""
    lines = ["groups:", "  - name: more", "    interval: 1s", "    rules:"]
    for i in range(count):
        text = MORE[i % len(MORE)]
        lines += [f"      - alert: More{i}", f"        expr: {text}", "        for: 10s"]
    (folder / "more.yml").write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=10_000)
    parser.add_argument("--rules", type=int, default=60)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument(
        "--history", type=int, default=HISTORY_S, help="seconds before the first turn"
    )
    given = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="vezha-bench-") as text:
        folder = Path(text)
        (folder / "rules").mkdir()
        world = World()
        ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
        ledger.migrate()
        store = Store.open(str(folder / "store"), world, StoreSettings(series_max=20_000_000))
        seconds = given.history + given.seconds
        start_ms = int(time.time()) * 1000 - 1000 * seconds
        fill(store, given.hosts, seconds, start_ms)
        written = 0

        def write(series: list[Labels], ts_ms: int, values: Values) -> None:
            nonlocal written
            written += len(series)

        def make() -> Alerting:
            return Alerting(
                Engine(store), ledger, write, world, [str(folder / "rules")],
                AlertingSettings(settle_ms=0),
            )  # fmt: skip

        builtin = sum(len(g.group.rules) for g in make()._groups)
        more_rules(folder / "rules", max(0, given.rules - builtin))
        alerting = make()
        total = sum(len(g.group.rules) for g in alerting._groups)
        cpu, passes = [], []
        for second in range(given.history, seconds):
            cpu_before, used_s = time.process_time(), 0.0
            # as the server's thread does: again at once while a turn is unfinished, until the second is over
            while used_s < 1.0:
                at_s = start_ms / 1000 + second + min(0.2 + used_s, 0.999)
                began_cpu = time.process_time()
                alerting.tick(at_s)
                passes.append(time.process_time() - began_cpu)
                used_s += passes[-1]
                if not any(live.rule_at for live in alerting._groups):
                    break
            cpu.append(time.process_time() - cpu_before)
        stats = alerting.stats()
        print(
            f"{given.hosts} hosts x {len(schema()) + 4} series, {total} rules "
            f"({builtin} built in), each second, {given.seconds} s"
        )
        print(
            f"  CPU per second: mean {statistics.fmean(cpu[1:]):.3f}, "
            f"median {statistics.median(cpu):.3f}, worst after the first {max(cpu[1:]):.3f}"
        )
        if alerting._shared is not None:
            asked, spared = alerting._shared.asked, alerting._shared.spared
            print(f"  selections: {asked}, of which {spared} were shared")
        # rules of each second wait for one pass at most
        print(
            f"  passes: {len(passes)}, median {statistics.median(passes):.3f} s, "
            f"longest after the first {max(passes[1:]):.3f} s; unfinished at the end: "
            f"{sum(bool(live.rule_at) for live in alerting._groups)} groups"
        )
        dear = sorted(
            ((r.health.cost_s, r.rule.name, g.group) for g in alerting._groups for r in g.runners),
            key=lambda one: -one[0],
        )
        for cost_s, name, group in dear[:8]:
            print(f"  rule {name}: {cost_s * 1000:.0f} ms each {group.interval_ms / 1000:g} s")
        print(
            f"  alerts firing: {stats.get('alerts_firing', 0):.0f}, pending: {stats.get('alerts_pending', 0):.0f}"
        )
        for live in sorted(alerting._groups, key=lambda g: -g.took_s)[:8]:
            print(
                f"  group {live.group.name}: {live.took_s * 1000:.0f} ms, {len(live.group.rules)} rules"
            )
        store.close()
        ledger.close()
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
