"""What a person may have asked of the forecast that cannot be: one sentence each."""

from __future__ import annotations


class LoadError(ValueError):
    """The person who asked can mend this: the message says how."""


class NoSuchLoad(LoadError):
    """Nothing is known of that host, group or resource."""


class WrongWindow(LoadError):
    """A calm window cannot be as asked."""
