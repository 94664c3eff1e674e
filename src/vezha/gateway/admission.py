"""Admission: how many agents may connect per second, so that a storm cannot become a collapse.

A token bucket. Who comes too early is told when to come again, spread over the time that the
server needs for those already waiting, so that the second wave is flat.
"""

from __future__ import annotations

from vezha.gateway.limits import (
    CONNECTS_BURST,
    CONNECTS_PER_S,
    RETRY_AFTER_MAX_S,
    WINDOW_FAILING,
    WINDOW_SLOW,
    WINDOW_SLOW_COMMIT_S,
)


class Admission:
    """Pure but for its own count; the caller brings the time (seconds, monotonic)."""

    def __init__(self, per_s: float = CONNECTS_PER_S, burst: float = CONNECTS_BURST) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = burst
        self._turned_away = 0.0
        self._at = 0.0

    def ask(self, now: float) -> float:
        """0.0 to let one in, else in how many seconds it should try again."""
        passed = max(0.0, now - self._at)
        self._at = now
        self._tokens = min(self._burst, self._tokens + passed * self._per_s)
        self._turned_away = max(0.0, self._turned_away - passed * self._per_s)
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return 0.0
        self._turned_away += 1.0
        return min(RETRY_AFTER_MAX_S, 1.0 + self._turned_away / self._per_s)


def window_for(default: int, commit_s: float, failing: bool) -> int:
    """How many frames an agent may have in flight, given how the last commit went."""
    if failing:
        return min(default, WINDOW_FAILING)
    if commit_s > WINDOW_SLOW_COMMIT_S:
        return min(default, WINDOW_SLOW)
    return default
