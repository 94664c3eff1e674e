"""One header of a request, by one look through them."""

from __future__ import annotations

from starlette.requests import HTTPConnection


def header_of(connection: HTTPConnection, name: bytes) -> str:
    """The first header called *name* (in small letters), or the empty string."""
    for key, value in connection.scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return ""
