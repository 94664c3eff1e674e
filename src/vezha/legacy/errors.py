"""What can be wrong with what others send, as HTTP would say it."""

from __future__ import annotations


class BadBody(Exception):
    """The sender's data is malformed: 400, and it must not try again."""

    status = 400


class UnknownFormat(BadBody):
    """The content type or encoding is not one that we read: 415."""

    status = 415


class BodyTooLarge(BadBody):
    """Over a limit: 413."""

    status = 413


class NotNow(Exception):
    """The data contour is away or behind: 503, and the sender tries again."""

    status = 503
