"""What a person may have asked that cannot be done: one sentence each."""

from __future__ import annotations


class OperatorError(ValueError):
    """The person who asked can mend this: the message says how."""


class NoSuchIncident(OperatorError):
    """There is no incident with that number."""


class WrongState(OperatorError):
    """The incident is not in a state in which this can be done."""


class SilenceError(OperatorError):
    """The silence cannot be made as asked."""
