"""Which compressed body, and which language, a browser asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def weights(header: str) -> dict[str, float]:
    """The entries of an `Accept-Encoding` or `Accept-Language` header and how much each is wanted
    (RFC 9110, 12.4.2). Entries that cannot be read do not count."""
    found: dict[str, float] = {}
    for part in header.split(","):
        name, _, rest = part.strip().partition(";")
        if not name:
            continue
        weight = 1.0
        rest = rest.strip().lower()
        if rest.startswith("q="):
            try:
                weight = float(rest[2:])
            except ValueError:
                continue
        found[name.strip().lower()] = weight
    return found


def choose_encoding(header: str, available: Iterable[str]) -> str:
    """The best of the available encodings that the browser takes; `identity` if none."""
    wanted = weights(header)
    there = set(available)
    for encoding in ("br", "gzip"):
        if encoding in there and wanted.get(encoding, wanted.get("*", 0.0)) > 0:
            return encoding
    return "identity"


def choose_language(cookie: str | None, header: str, languages: Iterable[str]) -> str:
    """The reader's choice if there is one, else the browser's, else the first language."""
    there = list(languages)
    if cookie in there:
        assert cookie is not None
        return cookie
    best, most = there[0], 0.0
    for name, weight in weights(header).items():
        language = name.partition("-")[0]
        if language in there and weight > most:
            best, most = language, weight
    return best
