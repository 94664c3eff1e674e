"""The series of a simulated host: names and labels exactly as the real agent gives them.

All roles have the same columns in the same order, so that a fleet's values are one matrix; only
labels (the disk's name, the mount point, what the application serves) differ, so each role is one
schema. The default is exactly `SERIES_DEFAULT` series; fewer cuts the end off, more adds shards
of the application.
"""

from __future__ import annotations

from vezha.model.labels import Labels, metric
from vezha.testing.fleet.inventory import Role
from vezha.testing.fleet.limits import CORES, SERIES_DEFAULT, SERIES_MAX

CPU_MODES = ("idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user")
MEMORY = (
    "MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree", "Dirty",
)  # fmt: skip
DISK = (
    "reads_completed_total", "read_bytes_total", "read_time_seconds_total",
    "writes_completed_total", "written_bytes_total", "write_time_seconds_total",
    "io_time_seconds_total", "io_now",
)  # fmt: skip
FILE_SYSTEM = (
    "size_bytes", "avail_bytes", "free_bytes", "files", "files_free", "readonly",
)  # fmt: skip
NETWORK = (
    "receive_bytes_total", "receive_packets_total", "receive_errs_total", "receive_drop_total",
    "transmit_bytes_total", "transmit_packets_total", "transmit_errs_total", "transmit_drop_total",
)  # fmt: skip
KERNEL = (
    "node_intr_total", "node_context_switches_total", "node_forks_total", "node_procs_running",
    "node_procs_blocked", "node_boot_time_seconds",
)  # fmt: skip
SOCKETS = (
    "node_netstat_Tcp_CurrEstab", "node_netstat_Tcp_PassiveOpens", "node_netstat_Tcp_RetransSegs",
    "node_netstat_Tcp_InSegs", "node_netstat_Tcp_OutSegs", "node_sockstat_sockets_used",
    "node_sockstat_TCP_tw",
)  # fmt: skip
PRESSURE = (
    "node_pressure_cpu_waiting_seconds_total", "node_pressure_io_waiting_seconds_total",
    "node_pressure_io_stalled_seconds_total", "node_pressure_memory_waiting_seconds_total",
    "node_pressure_memory_stalled_seconds_total",
)  # fmt: skip
REST = (
    "node_vmstat_pgfault", "node_vmstat_pgmajfault", "node_vmstat_oom_kill",
    "node_filefd_allocated", "node_filefd_maximum", "node_timex_offset_seconds",
)  # fmt: skip


def series_of(role: Role, count: int = SERIES_DEFAULT) -> tuple[Labels, ...]:
    """The *count* series of a host of that role, in the order of the fleet's columns."""
    assert 1 <= count <= SERIES_MAX
    made = [
        metric("node_cpu_seconds_total", cpu=str(core), mode=mode)
        for core in range(CORES)
        for mode in CPU_MODES
    ]
    made += [metric(f"node_load{minutes}") for minutes in (1, 5, 15)]
    made += [metric(f"node_memory_{name}_bytes") for name in MEMORY]
    made += [metric(f"node_disk_{name}", device=role.device) for name in DISK]
    for partition, mount in ((1, "/"), (2, role.mount)):
        joint = "p" if role.device[-1].isdigit() else ""
        made += [
            metric(
                f"node_filesystem_{name}",
                device=f"/dev/{role.device}{joint}{partition}",
                fstype="ext4",
                mountpoint=mount,
            )
            for name in FILE_SYSTEM
        ]
    made += [metric(f"node_network_{name}", device="eth0") for name in NETWORK]
    made += [metric(name) for name in (*KERNEL, *SOCKETS, *PRESSURE, *REST)]
    made += [
        metric(f"{role.request}_total", result="ok"),
        metric(f"{role.request}_total", result="error"),
        metric(f"{role.request}_duration_seconds_sum"),
        metric(f"{role.request}_duration_seconds_count"),
        metric(f"{role.request}_in_flight"),
    ]
    made += [
        metric(f"{role.request}_by_shard_total", shard=str(i)) for i in range(count - len(made))
    ]
    return tuple(made[:count])


class Columns:
    """Where each family begins, and how wide it is."""

    cpu = slice(0, CORES * len(CPU_MODES))
    load = slice(cpu.stop, cpu.stop + 3)
    memory = slice(load.stop, load.stop + len(MEMORY))
    disk = slice(memory.stop, memory.stop + len(DISK))
    root = slice(disk.stop, disk.stop + len(FILE_SYSTEM))
    data = slice(root.stop, root.stop + len(FILE_SYSTEM))
    network = slice(data.stop, data.stop + len(NETWORK))
    kernel = slice(network.stop, network.stop + len(KERNEL))
    sockets = slice(kernel.stop, kernel.stop + len(SOCKETS))
    pressure = slice(sockets.stop, sockets.stop + len(PRESSURE))
    rest = slice(pressure.stop, pressure.stop + len(REST))
    application = slice(rest.stop, rest.stop + 5)
    shards = application.stop
