"""A day of a healthy fleet against the built-in rules: alerts per host-day, which should be none.

    python -m benchmarks.healthy_day [--hosts 20] [--seed 1] [--step 30]

Generated from a seed, as real machines are when nothing is wrong: load by the time of day, nightly jobs that
keep the processors and disks busy for minutes, log rotation that frees what was written, memory that caches
fill, small clock drift, a reboot, an agent's upgrade, a deploy that restarts a service, network errors now and
then, checks that take longer in the busy hours. Asks through `rehearse`, the same code as `vezha rule rehearse`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from vezha.alerting.ask import check_expression
from vezha.alerting.errors import EvaluationError
from vezha.alerting.rehearse import Block, Rehearsal, rehearse
from vezha.alerting.rulefile import BUILTIN_FOLDER, find_rule_files, load_rule_files
from vezha.model.labels import metric
from vezha.query import Engine, QueryError
from vezha.query.memory import MemorySource

START_MS = 1_700_006_400_000
"""A midnight, UTC."""
DAY_S = 86_400
GB = float(1 << 30)
Floats = npt.NDArray[np.float64]


@dataclass
class Fleet:
    """Series of a healthy day."""

    source: MemorySource
    t: npt.NDArray[np.int64]
    series: int = 0
    samples: int = 0
    away: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))

    def put(self, name: str, values: Floats, /, **labels: str) -> None:
        """One series; nothing while its host is away."""
        labels_ = metric(name, job=labels.pop("job", "node"), **labels)
        for ts, value in zip(self.t[~self.away].tolist(), values[~self.away].tolist(), strict=True):
            self.source.append(labels_, ts, value)
        self.series += 1
        self.samples += int((~self.away).sum())


def healthy_fleet(hosts: int, seed: int, step_s: int) -> Fleet:
    """The fleet's day, sampled each *step_s*."""
    dice = np.random.default_rng(seed)
    seconds = np.arange(0, DAY_S + 1, step_s)
    fleet = Fleet(MemorySource(), START_MS + seconds * 1000)
    for host in range(hosts):
        _host(fleet, f"h-{host:03d}", dice, seconds, step_s)
    return fleet


def _host(
    fleet: Fleet, name: str, dice: np.random.Generator, seconds: npt.NDArray[np.int64], step_s: int
) -> None:
    hour = seconds / 3600
    n = len(seconds)

    def noise(scale: float) -> Floats:
        return np.asarray(dice.normal(0, scale, n))

    phase = dice.uniform(-1, 1)
    daily = _daily(seconds, phase)
    backup = (seconds % DAY_S > 7_200 + dice.integers(0, 3600)) & (seconds % DAY_S < 12_600)
    job = (seconds % 3600) < dice.integers(60, 240)  # an hourly job, up to four minutes
    busy = np.clip(0.08 + 0.45 * daily + 0.35 * job + 0.25 * backup + noise(0.04), 0.01, 0.99)
    reboot_s = int(dice.integers(0, DAY_S)) if dice.random() < 0.2 else -1
    upgrade_s = int(dice.integers(0, DAY_S)) if dice.random() < 0.5 else -1
    planned = np.zeros(n, np.bool_)
    planned |= (reboot_s >= 0) & (seconds >= reboot_s) & (seconds < reboot_s + 120)
    planned |= (upgrade_s >= 0) & (seconds >= upgrade_s) & (seconds < upgrade_s + 5)
    up = (~planned).astype(np.float64)
    fleet.away = np.zeros(n, np.bool_)
    own: dict[str, Floats] = {
        "up": up,
        "vezha_agent_planned_absence": planned.astype(np.float64),
        "vezha_agent_completeness_ratio": np.where(dice.random(n) < 0.002, 0.995, 1.0),
        "vezha_agent_clock_offset_seconds": noise(0.02),
    }
    for series, values in own.items():
        fleet.put(series, values, instance=name)
    fleet.away = planned
    put = _putter(fleet, name)
    for cpu in range(2):
        share = np.clip(busy + noise(0.03), 0.0, 1.0)
        idle, iowait = 1 - share, 0.1 * share * backup
        put("node_cpu_seconds_total", _count(idle, step_s), cpu=str(cpu), mode="idle")
        put("node_cpu_seconds_total", _count(iowait, step_s), cpu=str(cpu), mode="iowait")
        put("node_cpu_seconds_total", _count(share * 0.9, step_s), cpu=str(cpu), mode="user")
        steal = np.clip(0.01 + noise(0.01), 0, 1)
        put("node_cpu_seconds_total", _count(steal, step_s), cpu=str(cpu), mode="steal")
    total = 8 * GB
    put("node_memory_MemTotal_bytes", np.full(n, total))
    put(
        "node_memory_MemAvailable_bytes", total * np.clip(0.55 - 0.25 * daily + noise(0.01), 0.2, 1)
    )
    put("node_memory_SwapTotal_bytes", np.full(n, 2 * GB))
    put("node_memory_SwapFree_bytes", 2 * GB * np.clip(0.9 + noise(0.005), 0, 1))
    put("node_vmstat_pswpin", _count(np.clip(noise(5), 0, None), step_s))
    put("node_vmstat_pswpout", _count(np.clip(noise(5), 0, None), step_s))
    put("node_vmstat_oom_kill", np.zeros(n))
    put("node_pressure_memory_stalled_seconds_total", _count(np.full(n, 0.001), step_s))
    stalled = np.clip(0.02 + 0.25 * backup + noise(0.02), 0, 1)
    put("node_pressure_io_stalled_seconds_total", _count(stalled, step_s))
    for mount, size, used, grows in (("/", 40.0, 0.6, 0.5), ("/var", 100.0, 0.7, 6.0)):
        # written all day, rotated each six hours; the backup's copy comes and goes
        written = grows * (hour % 6) / 6 * (0.5 + daily) + 4.0 * backup * (mount == "/var")
        free = GB * (size * (1 - used) - written + noise(0.01))
        where = {
            "device": f"/dev/{mount.strip('/') or 'root'}",
            "fstype": "ext4",
            "mountpoint": mount,
        }
        put("node_filesystem_avail_bytes", free, **where)
        put("node_filesystem_size_bytes", np.full(n, GB * size), **where)
        put("node_filesystem_readonly", np.zeros(n), **where)
        put("node_filesystem_device_error", np.zeros(n), **where)
        put("node_filesystem_files", np.full(n, 5e6), **where)
        put("node_filesystem_files_free", 4e6 - 1e4 * written, **where)
    put("node_timex_offset_seconds", noise(0.002))
    put("node_nf_conntrack_entries", 20_000 * (0.2 + daily) + np.abs(noise(500)))
    put("node_nf_conntrack_entries_limit", np.full(n, 262_144.0))
    put("node_filefd_allocated", 4_000 + 2_000 * daily + noise(50))
    put("node_filefd_maximum", np.full(n, 1e6))
    put("node_netstat_TcpExt_ListenOverflows", _count((dice.random(n) < 0.001) * 0.2, step_s))
    for way in ("receive", "transmit"):
        errors = (dice.random(n) < 0.003) * 0.5
        put(f"node_network_{way}_errs_total", _count(errors, step_s), device="eth0")
    put("node_md_disks", np.zeros(n), device="md0", state="failed")
    put("node_network_speed_bytes", np.full(n, 1.25e8), device="eth0")
    for way in ("receive", "transmit"):
        carried = 1e7 * (0.2 + daily) + 7e7 * backup * (way == "transmit")
        put(f"node_network_{way}_bytes_total", _count(carried, step_s), device="eth0")
    # people come by the time of day, and a job opens many connections for a minute each hour; so it was on the
    # day before, with which today is compared
    _requests(fleet, name, dice, phase, seconds, step_s)
    put("node_netstat_TcpExt_SyncookiesSent", np.zeros(n))
    # mail waits for those who do not answer; orders come in heaps and are worked off
    mail = np.floor(20 + 15 * daily + np.cumsum(dice.integers(-1, 2, n)) % 7)
    put("vezha_queue_length", mail, queue="mail")
    heap = np.clip(400 - 0.5 * (seconds % 3600), 0, None) * (seconds % 3600 >= 120)
    put("vezha_queue_length", np.floor(heap), queue="orders")
    deploy_s = int(dice.integers(0, DAY_S))
    unit = {"name": "shop.service", "type": "simple"}
    restarts = (seconds >= deploy_s).astype(np.float64)
    put("node_systemd_service_restart_total", restarts, name="shop.service")
    for state in ("active", "failed", "activating"):
        there = np.full(n, float(state == "active"))
        put("node_systemd_unit_state", there, state=state, **unit)
    put("vezha_watched_process_up", np.ones(n), name="shop")
    fleet.away = np.zeros(n, np.bool_)
    check = {"instance": f"https://{name}.example.org", "job": "web", "type": "http"}
    # an HTTP check fails once in a while for one probe, as the network of the world is
    fleet.put("vezha_check_up", np.ones(n), **check)
    fleet.put("probe_success", np.ones(n), **check)
    fleet.put("probe_duration_seconds", 0.1 + 0.3 * daily + np.abs(noise(0.05)), **check)
    fleet.put("vezha_check_slow_after_seconds", np.full(n, 2.0), **check)
    expires = np.full(n, START_MS / 1000 + 60.0 * DAY_S)
    fleet.put("probe_ssl_earliest_cert_expiry", expires, **check)


def _daily(seconds: npt.NDArray[np.int64], phase: float) -> Floats:
    """How much of a day's people are there: 0 to 1."""
    return np.asarray(0.5 - 0.5 * np.cos((seconds / 3600 - 4 + phase) / 24 * 2 * np.pi))


def _requests(
    fleet: Fleet,
    name: str,
    dice: np.random.Generator,
    phase: float,
    seconds: npt.NDArray[np.int64],
    step_s: int,
) -> None:
    """Connections and HTTP requests of today and of the day before; today is a little livelier."""
    days = np.concatenate([seconds[:-1] - DAY_S, seconds])
    today = days >= 0
    daily = _daily(days, phase) * np.where(today, 1.5, 1.0)
    for series, people, job, labels in (
        ("node_netstat_Tcp_PassiveOpens", 60.0, "node", {"instance": name}),
        ("http_requests_total", 400.0, "shop", {"instance": f"{name}:80", "code": "200"}),
    ):
        noise = np.abs(dice.normal(0, 3, len(days)))
        counted = _count(5 + people * daily + 120 * (days % 3600 < 60) + noise, step_s)
        labels_ = metric(series, job=job, **labels)
        for at_s, value in zip(days[~today].tolist(), counted[~today].tolist(), strict=True):
            fleet.source.append(labels_, START_MS + at_s * 1000, value)
        fleet.put(series, counted[today], job=job, **labels)


def _putter(fleet: Fleet, name: str) -> Callable[..., None]:
    def put(series: str, values: Floats, /, **labels: str) -> None:
        fleet.put(series, values, instance=name, **labels)

    return put


def _count(rate: npt.NDArray[np.floating[Any]], step_s: int) -> Floats:
    """A counter that grows by *rate* a second."""
    return np.cumsum(np.asarray(rate, np.float64)) * step_s


def rehearsed(fleet: Fleet, step_s: int) -> list[Rehearsal]:
    """What the built-in rules would have said of that day."""
    engine = Engine(fleet.source)
    groups = load_rule_files(find_rule_files([BUILTIN_FOLDER]), check_expression).or_raise()

    def ask(expr: str, start_ms: int, end_ms: int, step_ms: int) -> Block:
        try:
            result = engine.range(expr, start_ms, end_ms, step_ms)
        except QueryError as fault:
            raise EvaluationError(str(fault)) from None
        return result.labels, result.values, result.present

    return rehearse(groups, ask, START_MS + 3_600_000, START_MS + DAY_S * 1000, step_s * 1000)


def report(found: list[Rehearsal], fleet: Fleet, hosts: int) -> str:
    """What fired, and how often per host and day."""
    fired = Counter({r.rule.name: len(r.firings) for r in found if r.firings})
    total = sum(fired.values())
    lines = [
        f"{hosts} healthy hosts, {fleet.series:,} series, {fleet.samples:,} samples, "
        f"{len(found)} alerts rehearsed over 23 hours",
        f"alerts per host-day: {total / hosts * 24 / 23:.3f} ({total} in all)",
    ]
    lines += [f"  {count:>4}  {name}" for name, count in fired.most_common()]
    broken = [f"{r.rule.name}: {r.errors[0]}" for r in found if r.errors]
    return "\n".join(lines + broken)


def main() -> int:
    """0 where nothing fired."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--step", type=int, default=30, help="seconds between samples")
    given = parser.parse_args()
    fleet = healthy_fleet(given.hosts, given.seed, given.step)
    found = rehearsed(fleet, given.step)
    print(report(found, fleet, given.hosts))
    return int(any(r.firings or r.errors for r in found))


if __name__ == "__main__":
    sys.exit(main())
