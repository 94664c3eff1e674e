"""What went wrong in delivery, by whose fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class OperatorError(Exception):
    """The operator asked for what cannot be; one sentence says what would fit."""


class ReportError(OperatorError):
    """A report from outside is not in its format; the sentence names the field."""


class DeliveryError(OperatorError):
    """The person who asked can mend this: the message says how. *field* is what of the request is
    meant, as the API calls it (`selector`, `gates[1]`); empty where it is not one field."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


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


@contextmanager
def about(field: str) -> Iterator[None]:
    """What goes wrong inside is about *field*; what knows its place within that is about
    `field` and that place (`gates` and `[1]`)."""
    try:
        yield
    except DeliveryError as fault:
        if fault.field == "" or fault.field.startswith(("[", ".")):
            fault.field = field + fault.field
        raise
