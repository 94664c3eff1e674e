"""When a server wants to be asked again, by its own word. Pure."""

from __future__ import annotations


def retry_after_ms(header: str) -> int | None:
    """The wait that a `Retry-After` in seconds asks for; an hour at most."""
    return min(int(header), 3600) * 1000 if header.isascii() and header.isdigit() else None
