"""What a person may have asked of on-call that cannot be done: one sentence each."""

from __future__ import annotations

from vezha.incidents.errors import OperatorError


class OnCallError(OperatorError):
    """The person who asked can mend this: the message says how, *field* what is meant."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NothingThere(OnCallError):
    """There is no schedule, policy, team, person or contact of that name."""
