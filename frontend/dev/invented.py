"""The invented fleet of the mock server: hosts, incidents, and numbers that are the same whenever
they are asked for."""

from __future__ import annotations

import math
import random
import struct
import time
from typing import Any

STATES = ("normal", "warning", "critical", "silent", "unknown")
SITES = (
    ("kyiv-1", 0.32),
    ("kyiv-2", 0.24),
    ("lviv-1", 0.18),
    ("odesa-1", 0.14),
    ("frankfurt-1", 0.12),
)
ROLES = (
    ("web", 0.26),
    ("app", 0.23),
    ("db", 0.12),
    ("cache", 0.1),
    ("queue", 0.06),
    ("lb", 0.04),
    ("worker", 0.12),
    ("store", 0.07),
)
SHORT = {"kyiv-1": "kyv", "kyiv-2": "kyw", "lviv-1": "lviv", "odesa-1": "ods", "frankfurt-1": "fra"}

# id, group, unit, max, series legends with (base, spread)
CHARTS: tuple[tuple[str, str, str, float | None, tuple[tuple[str, float, float], ...]], ...] = (
    ("cpu", "processor", "percent", 100, (("used", 31, 6), ("system", 8, 1.5), ("iowait", 3, 1))),
    ("load", "processor", "", None, (("1 min", 3.1, 0.5),)),
    ("cpu_wait", "processor", "percent", None, (("", 3.4, 1.2),)),
    ("switches", "processor", "/s", None, (("", 18_000, 1500),)),
    ("memory", "memory", "percent", 100, (("used", 67, 0.3), ("cache", 21, 0.2))),
    ("swap", "memory", "bytes/s", None, (("in", 12_000, 9000), ("out", 18_000, 9000))),
    ("memory_wait", "memory", "percent", None, (("", 0.5, 0.3),)),
    ("faults", "memory", "/s", None, (("", 1400, 300),)),
    ("disk_latency", "disk", "seconds", None, (("write", 0.0041, 0.001), ("read", 0.0021, 0.0004))),
    ("disk_busy", "disk", "percent", 100, (("nvme0n1", 31, 4), ("nvme1n1", 22, 3))),
    ("disk_throughput", "disk", "bytes/s", None, (("write", 62e6, 6e6), ("read", 131e6, 7e6))),
    (
        "space",
        "disk",
        "percent",
        100,
        (("/var/lib/postgresql", 65, 0.05), ("/var", 42, 0.01), ("/", 27, 0.01)),
    ),
    ("net_throughput", "network", "bits/s", None, (("in", 320e6, 20e6), ("out", 514e6, 30e6))),
    ("net_packets", "network", "/s", None, (("in", 51_000, 4000), ("out", 55_000, 4000))),
    ("retransmits", "network", "/s", None, (("", 2.4, 1),)),
    ("connections", "network", "", None, (("established", 384, 8), ("waiting", 96, 5))),
    ("io_wait", "kernel", "percent", None, (("waiting", 2.1, 0.8), ("stalled", 0.9, 0.4))),
    ("interrupts", "kernel", "/s", None, (("interrupts", 9400, 700),)),
    ("forks", "kernel", "/s", None, (("forks", 14, 6),)),
    ("threads", "kernel", "", None, (("threads", 1240, 6), ("processes", 312, 2))),
    ("processes", "system", "", None, (("running", 6, 2), ("blocked", 0.6, 0.5))),
    ("files", "system", "", None, (("open", 13_200, 40),)),
    ("temperature", "system", "celsius", None, (("hottest", 61, 0.6),)),
    ("clock_offset", "system", "seconds", None, (("offset", 0.00034, 0.0001),)),
)


class Fleet:
    """The invented hosts and what happens to them."""

    def __init__(self, count: int, story: str) -> None:
        self.random = random.Random(7)
        self.began = time.time()
        self.story = story
        self.revision = 1
        self.hosts: list[dict[str, Any]] = []
        self.cells: list[list[int]] = []
        if story != "empty":
            self.make(count)
        self.people = [
            {
                "name": "olena",
                "role": "admin",
                "disabled": False,
                "must_change_password": False,
                "created_at": self.began - 9e6,
                "last_sign_in_at": self.began - 600,
            },
            {
                "name": "taras.melnyk",
                "role": "operator",
                "disabled": False,
                "must_change_password": True,
                "created_at": self.began - 4e5,
                "last_sign_in_at": None,
            },
        ]
        self.tokens = [
            {
                "id": 1,
                "name": "grafana",
                "role": "viewer",
                "created_by": "olena",
                "created_at": self.began - 1e6,
                "expires_at": None,
                "used_at": self.began - 20,
            }
        ]
        self.enrolments: list[dict[str, Any]] = []
        self.incidents = self.make_incidents()
        self.audit = [
            {
                "id": 3,
                "at": self.began - 30,
                "actor": "olena",
                "actor_kind": "user",
                "action": "session.open",
                "target": "olena",
                "outcome": "done",
                "address": "127.0.0.1",
                "detail": {},
            },
            {
                "id": 2,
                "at": self.began - 4000,
                "actor": "taras.melnyk",
                "actor_kind": "user",
                "action": "host.remove",
                "target": "web-kyv-01",
                "outcome": "refused",
                "address": "10.2.0.14",
                "detail": {"why": "role"},
            },
            {
                "id": 1,
                "at": self.began - 9000,
                "actor": "setup",
                "actor_kind": "system",
                "action": "user.change",
                "target": "olena",
                "outcome": "done",
                "address": "",
                "detail": {"role": "admin"},
            },
        ]

    def make(self, count: int) -> None:
        """Hosts by site and role, in the shares above."""
        if count <= 12:
            for i in range(count):
                self.add(f"server-{i + 1}", {})
            return
        for site, share in SITES:
            for role, part in ROLES:
                for i in range(max(1, round(count * share * part))):
                    self.add(f"{role}-{SHORT[site]}-{i + 1:02}", {"site": site, "role": role})
        if self.story == "busy":
            self.mark(("web-kyv-11", "web-kyv-12", "web-kyv-14"), 2)
            self.mark(("db-lviv-07", "db-lviv-08", "db-lviv-11", "db-lviv-15"), 1)
            self.mark(("cache-kyw-06", "worker-ods-05"), 3)

    def add(self, name: str, labels: dict[str, str]) -> None:
        """One more host."""
        self.hosts.append(
            {
                "name": name,
                "state": "normal",
                "connected": True,
                "behind_s": 0.4,
                "complete_ratio": 1.0,
                "labels": labels,
                "agent_version": "0.1.0",
                "os": "Debian 12",
                "cores": 4,
                "memory_bytes": 128 * 2**30,
                "first_seen": self.began - 3e6,
                "last_seen": time.time(),
            }
        )
        r = self.random
        self.cells.append(
            [
                0,
                r.randint(5, 60),
                r.randint(20, 80),
                r.randint(15, 85),
                r.randint(2, 50),
                r.randint(5, 45),
            ]
        )

    def mark(self, names: tuple[str, ...], state: int) -> None:
        """Gives hosts a state."""
        for host, cell in zip(self.hosts, self.cells, strict=True):
            if host["name"] in names:
                host["state"] = STATES[state]
                cell[0] = state
                if state == 3:
                    host["connected"] = False
                    host["behind_s"] = 420.0
                    cell[1:] = [255] * 5

    def make_incidents(self) -> list[dict[str, Any]]:
        """Two that are open and three that are over."""
        now = self.began
        web = ["web-kyv-11", "web-kyv-12", "web-kyv-14"]
        db = ["db-lviv-07", "db-lviv-08", "db-lviv-11", "db-lviv-15"]
        if self.story == "empty":
            return []
        past = [
            self.incident(
                409,
                "Disk of store-fra-02 is nearly full",
                "warning",
                ["store-fra-02"],
                now - 90_000,
                "Clear old backups below /srv",
                "/srv holds 94 % of its space.",
            ),
            self.incident(
                408,
                "Host worker-ods-03 is silent",
                "critical",
                ["worker-ods-03"],
                now - 200_000,
                None,
                "No data for 60 s.",
            ),
        ]
        for p, took in zip(past, (840, 3000), strict=True):
            p |= {
                "state": "resolved",
                "resolved_at": p["began_at"] + took,
                "acknowledged_at": p["began_at"] + 90,
                "acknowledged_by": "olena",
            }
        if self.story == "calm":
            return past
        return [
            self.incident(
                413,
                "Checkout answers with errors on 3 web hosts",
                "critical",
                web,
                now - 360,
                "Roll back nginx on these hosts",
                "5xx answers are 3.1 % of all; 0.5 % is allowed.",
            ),
            self.incident(
                412,
                "Disk writes are slow on 4 database hosts",
                "warning",
                db,
                now - 720,
                "Check that the log volume is not full",
                "Writes take 31 ms.",
            ),
            *past,
        ]

    def incident(
        self,
        number: int,
        title: str,
        severity: str,
        hosts: list[str],
        began: float,
        following: str | None,
        summary: str,
    ) -> dict[str, Any]:
        """One incident as the API shows it."""
        return {
            "id": number,
            "title": title,
            "severity": severity,
            "state": "open",
            "hosts": hosts,
            "began_at": began,
            "detected_at": began + 1.1,
            "acknowledged_at": None,
            "acknowledged_by": None,
            "resolved_at": None,
            "next": following,
            "summary": summary,
            "notes": [],
        }

    def tick(self) -> None:
        """One second passes."""
        r = self.random
        for cell in self.cells:
            if cell[0] == 3:
                continue
            for m, step in ((1, 4), (2, 1), (4, 3), (5, 3)):
                if r.random() < 0.5:
                    cell[m] = max(0, min(100, cell[m] + r.randint(-step, step)))

    def frame(self) -> bytes:
        """The fleet, all of it."""
        flat = bytes(v for cell in self.cells for v in cell)
        return struct.pack("<BBHdI", 1, 1, self.revision, time.time(), len(self.cells)) + flat


def value(host: str, chart: str, series: int, base: float, spread: float, at: float) -> float:
    """What a series was at a time: the same whenever it is asked."""
    seed = hash((host, chart, series)) % 1000
    slow = math.sin(at / 97 + seed) + math.sin(at / 31 + seed * 2) * 0.6
    quick = random.Random(int(at) * 1009 + seed).uniform(-1, 1)
    found = base + spread * (slow * 0.45 + quick * 0.8)
    if host == "db-lviv-07" and chart in ("disk_latency", "disk_busy") and series == 0:
        found *= 1 + min(
            6.5 if chart == "disk_latency" else 1.7, max(0.0, (at - (time.time() - 640)) / 20)
        )
    return max(0.0, found)
