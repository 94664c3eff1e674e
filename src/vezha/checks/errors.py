"""What goes wrong: the operator's file, and the other side of a probe."""

from __future__ import annotations


class CheckConfigError(Exception):
    """`checks.yml` cannot be used: one sentence with the place and the fix."""


class ProbeFailed(Exception):
    """The other side did not answer as it should; the message is one sentence for people."""
