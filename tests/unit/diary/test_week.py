"""Weeks begin on Monday at midnight where the operator is."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vezha.diary.errors import OperatorError
from vezha.diary.week import week_at, week_before, week_named


def test_a_week_is_named_as_iso_does() -> None:
    week = week_named("2026-w47")
    assert week.name == "2026-W47"
    assert str(week.monday) == "2026-11-16"


@pytest.mark.parametrize("text", ["", "2026", "2026-W60", "2025-W53", "W47-2026", "2026-W4７"])
def test_what_is_no_week_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(OperatorError, match="week"):
        week_named(text)


def test_a_week_of_the_changing_clock_is_an_hour_longer() -> None:
    week = week_named("2026-W43", "Europe/Kyiv")
    assert week.end_ms - week.begin_ms == (7 * 24 + 1) * 3_600_000


@given(st.integers(0, 4_000_000_000_000), st.sampled_from(["UTC", "Europe/Kyiv", "Asia/Kolkata"]))
def test_each_instant_lies_in_one_week_and_weeks_touch(at_ms: int, zone: str) -> None:
    week = week_at(at_ms, zone)
    assert week.holds(at_ms)
    assert week_named(week.name, zone) == week
    before = week_before(week, zone)
    assert before.end_ms == week.begin_ms
    assert datetime.fromtimestamp(week.begin_ms / 1000, ZoneInfo(zone)).weekday() == 0
