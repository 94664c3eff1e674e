"""What went wrong in delivery, by whose fault."""

from __future__ import annotations


class OperatorError(Exception):
    """The operator asked for what cannot be; one sentence says what would fit."""


class ReportError(OperatorError):
    """A report from outside is not in its format; the sentence names the field."""
