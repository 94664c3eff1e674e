"""Which answers are worth remembering, as a table."""

from __future__ import annotations

import pytest

from vezha.query.parser import parse
from vezha.query.worth import Asked, has_ranges, is_worth

MINUTES_MS, DAY_STEPS = 60_000, 288


@pytest.mark.parametrize(
    ("asked", "again", "worth"),
    [
        # two minutes of one series, each second
        (Asked(120, 1, 120, 1_000, 5 * MINUTES_MS, ranges=False), 0.0083, False),
        # of 100 series
        (Asked(12_000, 100, 120, 1_000, 5 * MINUTES_MS, ranges=False), 0.0083, True),
        # an average of 1,000 series over two minutes
        (Asked(8_000, 1, 8, 15_000, 5 * MINUTES_MS, ranges=False), 0.125, True),
        # its rate: as many tiles are opened for one step
        (Asked(106_000, 1, 8, 15_000, MINUTES_MS), 0.45, False),
        # a day of 1,000 series at five minutes
        (Asked(289_000, 10, DAY_STEPS, 300_000, 5 * MINUTES_MS, ranges=False), 0.0035, True),
        # a day of one series at five minutes is cheap anyhow
        (Asked(289, 1, DAY_STEPS, 300_000, 5 * MINUTES_MS, ranges=False), 0.0035, False),
        # an hour of rates of 50 series
        (Asked(180_000, 50, 240, 15_000, 5 * MINUTES_MS), 0.081, True),
        # many series, hardly any steps
        (Asked(20_000, 10_000, 2, 60_000, 5 * MINUTES_MS), 1.0, False),
        # nothing
        (Asked(0, 0, 1, 1_000, 0), 1.0, False),
    ],
)
def test_which_are_worth_it(asked: Asked, again: float, worth: bool) -> None:
    assert asked.again == pytest.approx(again, rel=0.02)
    assert is_worth(asked) is worth


@pytest.mark.parametrize(
    ("text", "ranges"),
    [("sum(up) / count(up offset 1m)", False), ("1 + rate(up[1m])", True), ("up[5m:1m]", True)],
)
def test_which_look_at_ranges(text: str, ranges: bool) -> None:
    assert has_ranges(parse(text, True)) is ranges
