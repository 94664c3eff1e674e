"""Callers recognised a moment ago, so that a page or a chart does not ask the ledger each time.

An entry counts only while the ledger is as it was: whoever signs out, is disabled, or whose
token is revoked, in whatever process, is a stranger with the next request. What is kept is the
secret's hash, never the secret.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from vezha.access import Subject
from vezha.access.secret import hash_secret
from vezha.api import limits
from vezha.ledger import Ledger


@dataclass(frozen=True, slots=True)
class _Known:
    subject: Subject
    version: int
    until_ms: int


class Recognition:
    """Subjects by (kind of secret, hash). Used by one thread, the loop's."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()

    def recall(self, by: str, secret: str, address: str, now_ms: int) -> Subject | None:
        """Who it was; None: ask the ledger."""
        known = self._known.get((by, hash_secret(secret)))
        if known is None or now_ms >= known.until_ms or known.version != self._ledger.version():
            return None
        subject = known.subject
        return subject if subject.address == address else replace(subject, address=address)

    def version(self) -> int | None:
        """Of the ledger, to be taken before it is asked."""
        return self._ledger.version()

    def note(
        self, by: str, secret: str, subject: Subject, version: int | None, now_ms: int
    ) -> None:
        """Remember what the ledger said after *version* was taken."""
        if version is None:
            return
        key = (by, hash_secret(secret))
        self._known.pop(key, None)
        self._known[key] = _Known(subject, version, now_ms + limits.RECOGNISED_MS)
        while len(self._known) > limits.RECOGNISED_MAX:
            self._known.popitem(last=False)
