"""What can go wrong on the way to people."""

from __future__ import annotations


class OperatorError(ValueError):
    """The operator can mend this: the message says what to change."""


class NotifySettingsError(OperatorError):
    """`notify.toml`, or a receiver or route that was saved, cannot be used; *field* is what is wrong."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class NoSuchReceiver(NotifySettingsError):
    """Nobody has saved a receiver of that name."""


class NotNow(NotifySettingsError):
    """Not as things are: somebody else was quicker, or something else still needs it."""


class SendError(Exception):
    """A provider did not take a message. The text must never carry a secret."""


class TryAgain(SendError):
    """It may take it later; *after_ms* is when the provider says so (None: by our back-off)."""

    def __init__(self, reason: str, after_ms: int | None = None) -> None:
        super().__init__(reason)
        self.after_ms = after_ms


class Refused(SendError):
    """It will never take this message."""


class Gone(Refused):
    """The address is no more: nothing need be sent to it ever again."""
