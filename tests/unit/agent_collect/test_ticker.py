"""Ticks: on the grid, one interval apart, whatever the clocks do."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vezha.agent.ticker import Decision, Ticker, TickerState, decide, first_stamp


class SetClock:
    """A clock whose wall time can be set; sleeping passes time, a little too long."""

    def __init__(self, wall: float = 1_000_000.3, late_s: float = 0.0) -> None:
        self.wall = wall
        self.steady = 5000.0
        self.late_s = late_s

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def sleep(self, seconds: float) -> None:
        self.pass_time(max(0.0, seconds) + self.late_s)

    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def stamps(ticker: Ticker, count: int) -> list[int]:
    return [ticker.wait_tick().stamp_ms for _ in range(count)]


def test_stamps_lie_on_the_grid_one_interval_apart() -> None:
    clock = SetClock(late_s=0.004)
    ticker = Ticker(clock, 1000, 250)
    found = stamps(ticker, 50)
    assert all(stamp % 1000 == 250 for stamp in found)
    assert [b - a for a, b in pairwise(found)] == [1000] * 49
    assert ticker.missed_total == 0
    # Sampled within milliseconds of the stamp.
    assert 0 <= clock.wall * 1000 - found[-1] < 10


def test_a_slow_tick_is_late_and_a_very_slow_one_is_missed() -> None:
    clock = SetClock()
    ticker = Ticker(clock, 1000, 0)
    first = ticker.wait_tick()
    clock.pass_time(1.4)
    late = ticker.wait_tick()
    assert (late.stamp_ms - first.stamp_ms, late.missed) == (1000, 0)
    clock.pass_time(4.2)
    skipping = ticker.wait_tick()
    assert skipping.missed == 3
    assert skipping.stamp_ms == late.stamp_ms + 4000
    assert skipping.index == 2
    assert ticker.missed_total == 3
    assert ticker.jumps_forward_total == 0


def test_a_clock_set_back_a_little_is_slewed() -> None:
    clock = SetClock()
    ticker = Ticker(clock, 1000, 0)
    stamps(ticker, 3)
    clock.wall -= 5
    began = clock.steady
    found = stamps(ticker, 60)
    assert [b - a for a, b in pairwise(found)] == [1000] * 59
    assert 60 < clock.steady - began < 66  # five seconds more than sixty
    assert abs(found[-1] / 1000 - clock.wall) < 0.2
    assert ticker.missed_total == ticker.jumps_back_total == 0


def test_a_clock_set_back_a_lot_is_followed_and_counted() -> None:
    clock = SetClock()
    ticker = Ticker(clock, 1000, 0)
    before = stamps(ticker, 3)[-1]
    clock.wall -= 86_400
    after = stamps(ticker, 3)
    assert after[0] < before - 86_000_000
    assert [b - a for a, b in pairwise(after)] == [1000] * 2
    assert ticker.jumps_back_total == 1
    assert ticker.missed_total == 0


def test_a_clock_set_forward_is_followed_and_is_no_miss() -> None:
    clock = SetClock()
    ticker = Ticker(clock, 1000, 0)
    before = stamps(ticker, 3)[-1]
    clock.wall += 3600
    after = stamps(ticker, 2)
    assert after[0] >= before + 3_600_000
    assert after[1] - after[0] == 1000
    assert ticker.jumps_forward_total == 1
    assert ticker.missed_total == 0


def test_decisions_are_a_table() -> None:
    last = TickerState(stamp_ms=10_000, wall_ms=10_002, monotonic_ms=500_002)
    rows = [
        # wall, monotonic → decision
        (10_300, 500_300, Decision(700, 11_000)),
        (11_000, 501_000, Decision(0, 11_000)),
        (11_900, 501_900, Decision(0, 11_000)),
        (12_000, 502_000, Decision(0, 12_000, missed=1)),
        (9_000, 500_300, Decision(802, 11_000)),
        (9_900, 501_200, Decision(0, 11_000)),
    ]
    for wall, steady, expected in rows:
        assert decide(last, wall, steady, 1000, 0) == expected, (wall, steady)


@given(st.integers(0, 10**12), st.integers(10, 60_000), st.integers(0, 59_999))
def test_the_first_stamp_is_the_next_grid_point(wall: int, interval: int, phase: int) -> None:
    stamp = first_stamp(wall, interval, phase % interval)
    assert 0 <= stamp - wall < interval
    assert stamp % interval == phase % interval


@given(
    st.integers(0, 999),
    st.lists(
        st.tuples(st.floats(0, 3), st.sampled_from([0.0] * 5 + [-30.0, -0.4, 0.4, 2.5, 400.0])),
        max_size=30,
    ),
)
def test_stamps_strictly_increase_through_small_steps(
    phase: int, life: list[tuple[float, float]]
) -> None:
    clock = SetClock()
    ticker = Ticker(clock, 1000, phase)
    last = ticker.wait_tick()
    owed = 0.0
    for work_s, step_s in life:
        # Steps back add up until they are caught up with; beyond a minute rule 4 ends.
        owed = max(0.0, owed - step_s)
        if owed > 55:
            return
        clock.pass_time(work_s)
        clock.wall += step_s
        tick = ticker.wait_tick()
        assert tick.stamp_ms > last.stamp_ms
        assert tick.stamp_ms % 1000 == phase
        assert tick.index == last.index + 1
        last = tick
    assert ticker.jumps_back_total == 0
