"""What the command line tells its operator in one sentence."""

from __future__ import annotations


class CommandError(Exception):
    """What was written on the command line does not fit together."""


class DemoError(Exception):
    """The demo cannot be played; the text says why and what to do."""
