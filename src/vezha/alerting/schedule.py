"""When a group is due. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from vezha.alerting.rule import Group

_ALIGN_FROM_MS = 5_000


def phase_ms(group: Group) -> int:
    """Where in its interval a group is evaluated: groups with long intervals are spread out."""
    if group.interval_ms < _ALIGN_FROM_MS:
        return 0
    digest = hashlib.sha256("\x00".join(group.identity).encode()).digest()
    return int.from_bytes(digest[:8], "little") % group.interval_ms


@dataclass(slots=True)
class Due:
    """One group's timetable; `next_ms` 0 means at once."""

    interval_ms: int
    phase_ms: int
    next_ms: int = 0

    def take(self, now_ms: int) -> int:
        """The group is evaluated at *now_ms*; returns how many turns were missed."""
        missed = 0
        if self.next_ms:
            missed = max(0, (now_ms - self.next_ms) // self.interval_ms)
        self.next_ms = self._after(now_ms)
        return missed

    def is_due(self, now_ms: int) -> bool:
        """Whether its time has come; a clock that was set back does not stop it."""
        return now_ms >= self.next_ms or self.next_ms - now_ms > self.interval_ms

    def _after(self, now_ms: int) -> int:
        turns = (now_ms - self.phase_ms) // self.interval_ms + 1
        return turns * self.interval_ms + self.phase_ms
