"""What went wrong in delivery, by whose fault."""

from __future__ import annotations


class OperatorError(Exception):
    """The operator asked for what cannot be; one sentence says what would fit."""


class ReportError(OperatorError):
    """A report from outside is not in its format; the sentence names the field."""


class DeliveryError(OperatorError):
    """The person who asked can mend this: the message says how."""


class NoSuchChange(DeliveryError):
    """There is no change, plan, rollout, verdict, window with that number."""


class WrongState(DeliveryError):
    """The change or rollout is not in a state in which this can be done."""


class SpecError(DeliveryError):
    """A selector, wave, gate, policy or window that cannot be taken as written."""


class NotAllowed(DeliveryError):
    """Somebody else has to do this, such as a second person who approves."""


class NoSignals(DeliveryError):
    """A gate's question could not be asked; the message says why."""
