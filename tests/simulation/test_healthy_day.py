"""A day on which nothing is wrong is a day without alerts."""

from __future__ import annotations

from benchmarks.healthy_day import healthy_fleet, rehearsed, report


def test_a_healthy_day_is_quiet() -> None:
    fleet = healthy_fleet(2, 11, 60)
    found = rehearsed(fleet, 60)
    assert len(found) > 40
    assert not any(r.firings or r.errors for r in found), report(found, fleet, 2)
