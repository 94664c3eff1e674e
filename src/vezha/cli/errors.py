"""What the command line tells its operator in one sentence."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot be played; the text says why and what to do."""
