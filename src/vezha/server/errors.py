"""What can go wrong for the operator. Each message is one sentence with the setting and the fix."""

from __future__ import annotations


class OperatorError(Exception):
    """The operator can mend this: the message says what to change. Printed without traceback."""


class SettingError(OperatorError):
    """A setting is unknown, has the wrong type, or a value that cannot work."""


class StateError(OperatorError):
    """The state folder cannot be used: no permission, no space, or someone else holds it."""


class PortTakenError(OperatorError):
    """Another process listens where we are told to."""


class ContourError(OperatorError):
    """A contour did not come up; its log says why."""
