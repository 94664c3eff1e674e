"""What an operator can do wrong here."""

from __future__ import annotations


class NotBuiltError(Exception):
    """The pages are not in this installation; the text says how to build them."""
