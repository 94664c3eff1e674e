"""What the operator did wrong, in one sentence."""

from __future__ import annotations


class OperatorError(Exception):
    """Asked for something that there is not; the text says what would fit."""
