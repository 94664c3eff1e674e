"""What runs on a simulated host: its processes by name, its services, and what each takes.

All roles have as many programs, so that a fleet's values stay one matrix. Names and labels are those of the
agent's collectors of processes, systemd and cgroups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.labels import Labels, metric
from vezha.testing.fleet.inventory import Machine, Role
from vezha.testing.fleet.limits import CORES

Floats = npt.NDArray[np.float64]
_PROCESS = ("cpu_seconds_total", "resident_memory_bytes", "count", "threads")
_CGROUP = (
    "cpu_usage_seconds_total", "memory_anon_bytes", "pids", "io_read_bytes_total",
    "io_written_bytes_total",
)  # fmt: skip
_EACH = len(_PROCESS) + len(_CGROUP) + 1
"""Series of one program: its processes, its service, its control group."""


@dataclass(frozen=True)
class Program:
    """A service. *cpu* and *memory* are its parts of what the host's programs take, 0 to 1."""

    comm: str
    unit: str
    cpu: float
    memory: float
    processes: int
    threads: int


_ON_EACH = (
    Program("systemd-journal", "systemd-journald.service", 0.02, 0.01, 1, 1),
    Program("sshd", "ssh.service", 0.01, 0.01, 2, 2),
    Program("python3", "vezha-agent.service", 0.01, 0.01, 2, 4),
)
_OF_ROLE = {
    "web": (
        Program("nginx", "nginx.service", 0.30, 0.10, 5, 5),
        Program("php-fpm8.2", "php8.2-fpm.service", 0.55, 0.70, 24, 24),
        Program("memcached", "memcached.service", 0.05, 0.12, 1, 10),
    ),
    "app": (
        Program("java", "shop.service", 0.80, 0.80, 1, 120),
        Program("envoy", "envoy.service", 0.10, 0.08, 1, 9),
        Program("cron", "cron.service", 0.01, 0.01, 1, 1),
    ),
    "db": (
        Program("postgres", "postgresql.service", 0.85, 0.88, 64, 64),
        Program("pgbouncer", "pgbouncer.service", 0.06, 0.02, 1, 1),
        Program("pgbackrest", "pgbackrest.service", 0.02, 0.02, 2, 2),
    ),
    "cache": (
        Program("redis-server", "redis-server.service", 0.80, 0.92, 1, 5),
        Program("redis-sentinel", "redis-sentinel.service", 0.05, 0.01, 1, 4),
        Program("stunnel4", "stunnel4.service", 0.08, 0.01, 1, 8),
    ),
    "queue": (
        Program("beam.smp", "rabbitmq-server.service", 0.88, 0.88, 1, 48),
        Program("epmd", "epmd.service", 0.01, 0.01, 1, 1),
        Program("haproxy", "haproxy.service", 0.05, 0.03, 2, 6),
    ),
    "worker": (
        Program("celery", "jobs.service", 0.90, 0.85, 9, 18),
        Program("celery-beat", "jobs-beat.service", 0.01, 0.04, 1, 2),
        Program("cron", "cron.service", 0.02, 0.01, 1, 1),
    ),
}
_COUNT = 6
PROGRAM_SERIES = _COUNT * _EACH + 2
"""Of every host."""


def programs_of(role: Role) -> tuple[Program, ...]:
    """What runs on a host of that role."""
    found = (*_OF_ROLE[role.name], *_ON_EACH)
    assert len(found) == _COUNT
    return found


def program_series(role: Role) -> tuple[Labels, ...]:
    """The `PROGRAM_SERIES` series, in the order of `Programs.step`."""
    made = []
    for one in programs_of(role):
        made += [metric(f"vezha_process_{name}", comm=one.comm, unit=one.unit) for name in _PROCESS]
        where = {"cgroup": f"/system.slice/{one.unit}", "container": "", "unit": one.unit}
        made += [metric(f"vezha_cgroup_{name}", **where) for name in _CGROUP]
        made.append(metric("node_systemd_unit_state", name=one.unit, state="active", type="notify"))
    return (*made, metric("node_processes_pids"), metric("node_processes_threads"))


class Programs:
    """The programs' values of all hosts."""

    def __init__(self, hosts: list[Machine]) -> None:
        def part(name: str) -> Floats:
            return np.array([[float(getattr(p, name)) for p in programs_of(h.role)] for h in hosts])

        self._cpu, self._memory = part("cpu"), part("memory")
        self._processes, self._threads = part("processes"), part("threads")

    def step(
        self, values: Floats, rows: slice, busy: Floats, held: Floats, disk: Floats, passed: Floats
    ) -> None:
        """Step `values` float64[rows, PROGRAM_SERIES] by *passed* seconds (float64[rows]).

        *busy* is the share of all cores, *held* bytes of memory, *disk* bytes a second, each float64[rows].
        """
        each = values[:, : _COUNT * _EACH].reshape(len(values), _COUNT, _EACH)
        spent = np.round(self._cpu[rows] * (busy * CORES * passed)[:, None], 2)
        resident = np.round(self._memory[rows] * held[:, None] / 4096.0) * 4096.0
        each[:, :, 0] += spent
        each[:, :, 1] = resident
        each[:, :, 2] = self._processes[rows]
        each[:, :, 3] = self._threads[rows]
        each[:, :, 4] += spent
        each[:, :, 5] = np.round(resident * 0.8 / 4096.0) * 4096.0
        each[:, :, 6] = self._threads[rows]
        blocks = np.round(self._cpu[rows] * (disk * busy * passed)[:, None] / 16384.0)
        each[:, :, 7] += np.round(blocks * 0.4) * 16384.0
        each[:, :, 8] += np.round(blocks * 0.6) * 16384.0
        each[:, :, 9] = 1.0
        values[:, -2] = 90.0 + self._processes[rows].sum(axis=1)
        values[:, -1] = 120.0 + self._threads[rows].sum(axis=1)
