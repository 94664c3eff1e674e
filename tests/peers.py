"""Peers: real servers and browsers from Debian's packages that some tests speak to.

A test says `@pytest.mark.peer("prometheus")` and is skipped, with the reason in the summary,
where that program is not installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

PACKAGES: Mapping[str, str] = {
    "prometheus": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "victoria-metrics": "victoria-metrics",
    "chromium": "chromium",
    "postgres": "postgresql",
    "promtool": "prometheus",
    "redis-server": "redis-server",
    "mariadbd": "mariadb-server",
    "amtool": "prometheus-alertmanager",
}
"""The program's name, and the Debian package that brings it."""


def find_peer(name: str) -> str | None:
    """The path of a peer's program, or None where it is not installed."""
    assert name in PACKAGES, f"{name} is no known peer: add it to tests/peers.py"
    found = shutil.which(name)
    if found is None and name == "postgres":
        # Debian keeps the servers of all versions out of PATH.
        candidates = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        found = str(candidates[-1]) if candidates else None
    return found


def why_absent(name: str) -> str:
    """The reason for a skip."""
    return f"{name} is not installed (script/test --all installs Debian's {PACKAGES[name]})"
