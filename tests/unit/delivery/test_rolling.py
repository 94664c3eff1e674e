"""A rollout of a fleet with a server that is really killed; `benchmarks/rollout.py` does it large."""

from __future__ import annotations

from pathlib import Path

from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.rolling import roll_out


def test_a_fleet_gets_a_good_version_though_the_server_is_killed(tmp_path: Path) -> None:
    report = roll_out(tmp_path, 60, 4, 3, Behaviour(step_s=1.0), 20)
    assert report.broken == []
    assert report.state == "done"
    assert report.kills == 3
    assert report.in_flight_max == 20


def test_a_bad_version_stops_at_the_first_hosts(tmp_path: Path) -> None:
    report = roll_out(tmp_path, 200, 4, 1, Behaviour("reverted", "crashed", step_s=1.0), 20)
    assert report.broken == []
    assert report.state == "reverted"
    assert 0 < report.touched <= 0.01 * report.hosts
