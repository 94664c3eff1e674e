"""Who is in the fleet: names, sites, roles. The same seed gives the same fleet."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

SITES: dict[str, float] = {"kyiv": 2.0, "lviv": 2.0, "warsaw": 1.0, "frankfurt": 1.0}
"""Sites with their offset from UTC in hours: a site is busy by its own day."""


@dataclass(frozen=True)
class Role:
    """What hosts of one kind do. Loads are shares of all cores, 0 to 1."""

    name: str
    share: float
    """Part of the fleet."""
    night: float
    """Load at the quietest hour."""
    day: float
    """Load at the busiest hour."""
    iowait: float
    """Part of the load that waits for disks."""
    memory: float
    """Part of the memory that programs hold."""
    bytes_per_load: float
    """Network bytes a second at full load."""
    disk_bytes_per_load: float
    device: str
    mount: str
    request: str
    """The noun of what it serves: `http_requests_total` for `http_requests`."""
    requests_per_load: float


ROLES: tuple[Role, ...] = (
    Role("web", 0.40, 0.08, 0.55, 0.01, 0.35, 60e6, 2e6, "sda", "/srv", "http_requests", 900),
    Role("app", 0.25, 0.10, 0.60, 0.02, 0.55, 30e6, 4e6, "sda", "/srv", "rpc_requests", 400),
    Role(
        "db", 0.12, 0.15, 0.50, 0.25, 0.70, 40e6, 120e6, "nvme0n1", "/var/lib/db", "queries", 3000
    ),
    Role("cache", 0.09, 0.05, 0.30, 0.00, 0.80, 90e6, 1e6, "sda", "/srv", "commands", 20000),
    Role("queue", 0.06, 0.06, 0.35, 0.10, 0.45, 25e6, 40e6, "nvme0n1", "/var/lib/queue", "messages", 2000),
    Role("worker", 0.08, 0.80, 0.35, 0.08, 0.50, 10e6, 30e6, "sda", "/srv", "jobs", 12),
)  # fmt: skip
"""A worker's load is the other way round: batches run at night."""

ROLE_BY_NAME = {role.name: role for role in ROLES}


@dataclass(frozen=True)
class Machine:
    """One simulated host."""

    name: str
    site: str
    role: Role
    skew_s: float = 0.0
    """How far its clock is ahead of the true time."""

    @property
    def labels(self) -> dict[str, str]:
        """The host's labels in the ledger."""
        return {"site": self.site, "role": self.role.name}

    @property
    def facts(self) -> dict[str, object]:
        """What its agent tells of it."""
        return {
            "hostname": self.name,
            "os": "Debian GNU/Linux 12 (bookworm)",
            "kernel": "6.1.0-simulated",
            "machine": "x86_64",
            "cores": 4,
            "memory_bytes": 16 << 30,
            "simulated": True,
            "labels": self.labels,
        }


def machines(count: int, seed: int = 1, sites: Sequence[str] = tuple(SITES)) -> list[Machine]:
    """*count* hosts: roles by their shares, spread over *sites*; most clocks are good to some
    milliseconds, one in fifty is some hundreds off."""
    chance = random.Random(seed)
    out = []
    for role, number in _by_share(count):
        for i in range(number):
            site = sites[i % len(sites)]
            bad = chance.random() < 0.02
            skew = chance.uniform(-0.8, 0.8) if bad else chance.gauss(0.0, 0.004)
            name = f"{role.name}-{site}-{i // len(sites) + 1:02d}"
            out.append(Machine(name, site, role, round(skew, 4)))
    return out


def _by_share(count: int) -> list[tuple[Role, int]]:
    given = [(role, int(count * role.share)) for role in ROLES]
    left = count - sum(number for _, number in given)
    return [(role, number + (left if i == 0 else 0)) for i, (role, number) in enumerate(given)]
