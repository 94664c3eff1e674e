"""When to sample: a fixed phase, stamps exactly one interval apart.

Rules:

1. Every stamp lies on the grid `phase + n * interval` of the wall clock, so that stamps of one
   host are exactly one interval apart and a fleet with different phases spreads its load.
2. Stamps strictly increase, with the one exception of rule 4.
3. Late by less than an interval: the stamp stays, nothing is missed. Later: the grid points
   passed are skipped and counted as missed.
4. The wall clock is set back. By less than `CLOCK_STEP_BACK_SLEWED_MAX_S`: stamps go on, ahead
   of the clock, and each tick takes `CLOCK_SLEW_RATIO` longer until the clock has caught up.
   By more (it had been wrong): stamps follow it at once, and the jump is counted.
5. The wall clock is set forward (or the machine slept): stamps follow it at once, and the jump
   is counted as a jump, not as missed ticks.

`decide` is pure; `Ticker` sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from vezha.agent.limits import CLOCK_SLEW_RATIO, CLOCK_STEP_BACK_SLEWED_MAX_S
from vezha.world import Clock

_JUMP_MS = 250
"""A difference between the two clocks' steps that is a set clock and not a slow machine."""


@dataclass(frozen=True)
class Tick:
    """One moment to sample at."""

    index: int
    """0 for the first, then up by one (missed grid points have no index)."""
    stamp_ms: int
    """Milliseconds since the epoch, on the grid."""
    missed: int
    """Grid points skipped just before this one because we were late."""


@dataclass(frozen=True)
class TickerState:
    """What the decision remembers. Times in ms; `wall_ms`/`monotonic_ms` of the last tick."""

    stamp_ms: int
    wall_ms: int
    monotonic_ms: int


class Decision(NamedTuple):
    """Either wait for `wait_ms` and ask again, or (`wait_ms` 0) sample with `stamp_ms`."""

    wait_ms: int
    stamp_ms: int = 0
    missed: int = 0
    jump_ms: int = 0
    """How far the clock was set, where stamps followed it at once."""


def first_stamp(wall_ms: int, interval_ms: int, phase_ms: int) -> int:
    """The first grid point at or after *wall_ms*."""
    return wall_ms + (phase_ms - wall_ms) % interval_ms


def decide(
    last: TickerState, wall_ms: int, monotonic_ms: int, interval_ms: int, phase_ms: int
) -> Decision:
    """What to do at this moment (both clocks in ms), having sampled *last*."""
    due = last.stamp_ms + interval_ms
    ahead = due - wall_ms
    step = (wall_ms - last.wall_ms) - (monotonic_ms - last.monotonic_ms)
    if ahead > CLOCK_STEP_BACK_SLEWED_MAX_S * 1000 + interval_ms:
        stamp = first_stamp(wall_ms, interval_ms, phase_ms)
        return Decision(stamp - wall_ms, stamp, jump_ms=step)
    if ahead > 0:
        # Rule 4: however far ahead of the clock, no tick takes longer than a slewed one.
        slewed_ms = round(interval_ms * (1 + CLOCK_SLEW_RATIO))
        return Decision(max(0, min(ahead, last.monotonic_ms + slewed_ms - monotonic_ms)), due)
    passed = -ahead // interval_ms
    stamp = due + passed * interval_ms
    if step > _JUMP_MS and passed:
        # What the steady clock saw pass was missed; the rest is the clock's own doing.
        missed = max(0, (monotonic_ms - last.monotonic_ms) // interval_ms - 1)
        return Decision(0, stamp, missed=min(missed, passed), jump_ms=step)
    return Decision(0, stamp, missed=passed)


class Ticker:
    """Sleeps from tick to tick. One thread calls `wait_tick`; the counters may be read by all."""

    def __init__(self, clock: Clock, interval_ms: int = 1000, phase_ms: int = 0) -> None:
        assert interval_ms > 0
        self._clock = clock
        self.interval_ms = interval_ms
        self.phase_ms = phase_ms % interval_ms
        self.missed_total = 0
        self.jumps_back_total = 0
        self.jumps_forward_total = 0
        self._index = 0
        self._last: TickerState | None = None

    def wait_tick(self) -> Tick:
        """Block until the next tick is due (at most about one interval) and return it."""
        if self._last is None:
            wall = self._wall_ms()
            stamp = first_stamp(wall, self.interval_ms, self.phase_ms)
            self._clock.sleep((stamp - wall) / 1000)
            return self._tick(stamp, 0)
        while True:
            last = self._last
            decision = decide(
                last, self._wall_ms(), self._monotonic_ms(), self.interval_ms, self.phase_ms
            )
            if decision.jump_ms:
                if decision.jump_ms > 0:
                    self.jumps_forward_total += 1
                else:
                    self.jumps_back_total += 1
            if decision.wait_ms == 0:
                return self._tick(decision.stamp_ms, decision.missed)
            if decision.jump_ms:
                # The stamps before the jump no longer bind us: start again on the new grid.
                self._clock.sleep(decision.wait_ms / 1000)
                return self._tick(decision.stamp_ms, decision.missed)
            self._clock.sleep(decision.wait_ms / 1000)

    def _tick(self, stamp_ms: int, missed: int) -> Tick:
        tick = Tick(self._index, stamp_ms, missed)
        self._index += 1
        self.missed_total += missed
        self._last = TickerState(stamp_ms, self._wall_ms(), self._monotonic_ms())
        return tick

    def _wall_ms(self) -> int:
        return round(self._clock.now() * 1000)

    def _monotonic_ms(self) -> int:
        return round(self._clock.monotonic() * 1000)
