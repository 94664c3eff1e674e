"""Refused actions in the audit, bounded: a script that keeps knocking cannot fill the disk."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from vezha.access.limits import AUDIT_REFUSALS_PER_MINUTE_MAX, REFUSAL_SUBJECTS_MAX


@dataclass(slots=True)
class Refusals:
    """Counts refusals per subject and minute, and says which of them to write down."""

    _minute: int = 0
    _counts: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def should_write(self, name: str, now_ms: int) -> bool:
        """Whether this refusal still gets its own audit row."""
        minute = now_ms // 60_000
        with self._lock:
            if minute != self._minute:
                self._minute = minute
                self._counts.clear()
            if name not in self._counts and len(self._counts) >= REFUSAL_SUBJECTS_MAX:
                return False
            self._counts[name] = count = self._counts.get(name, 0) + 1
        return count <= AUDIT_REFUSALS_PER_MINUTE_MAX
