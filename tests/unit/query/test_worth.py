"""Which answers are worth remembering, as a table."""

from __future__ import annotations

import pytest

from vezha.query.worth import Asked, is_worth

MINUTES_MS, DAY_STEPS = 60_000, 288


@pytest.mark.parametrize(
    ("asked", "again", "worth"),
    [
        # two minutes of one series, each second: a look back of five minutes reads them all again
        (Asked(420, 1, 120, 1_000, 5 * MINUTES_MS), 0.72, False),
        # of 100 series printing alone is worth it
        (Asked(42_000, 100, 120, 1_000, 5 * MINUTES_MS), 0.72, True),
        # an average of 1,000 series over two minutes: as many tiles are opened for one step
        (Asked(28_000, 1, 8, 15_000, 5 * MINUTES_MS), 0.78, False),
        # a day of 1,000 series at five minutes
        (Asked(289_000, 10, DAY_STEPS, 300_000, 5 * MINUTES_MS), 0.0069, True),
        # a day of one series at five minutes is cheap anyhow
        (Asked(289, 1, DAY_STEPS, 300_000, 5 * MINUTES_MS), 0.0069, False),
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
