"""How bad a signal is. Three words, in the order in which people must care."""

from __future__ import annotations

from enum import Enum


class Severity(Enum):
    """`CRITICAL` may wake a person, `WARNING` waits for working hours, `INFO` is only shown."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 is the worst."""
        return (Severity.CRITICAL, Severity.WARNING, Severity.INFO).index(self)

    @staticmethod
    def of(text: str) -> Severity:
        """The severity that a `severity` label means; words of other tools are understood."""
        word = text.strip().lower()
        if word in ("critical", "crit", "page", "error", "emergency", "disaster", "high"):
            return Severity.CRITICAL
        if word in ("info", "information", "none", "notice", "low"):
            return Severity.INFO
        return Severity.WARNING
