"""What can be wrong with a peer."""

from __future__ import annotations


class ProtocolError(Exception):
    """The peer broke the protocol: count it, tell it `code` if it still listens, hang up."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


CODES: dict[str, str] = {
    "bad_message": "A message could not be read.",
    "bad_frame": "A frame's checksum, size or values are wrong.",
    "bad_schema": "A schema is malformed or too large.",
    "unknown_schema": "A frame names a schema that was not announced.",
    "unexpected": "A message came at a moment at which it may not come.",
    "too_large": "A message is over a limit.",
    "generation": "The two sides share no protocol generation; update the older one.",
    "unauthorized": "The agent's identity is unknown, revoked, or its secret is wrong.",
    "fenced": "A newer connection of the same agent took over.",
    "window": "More frames are in flight than the window allows.",
    "busy": "The server is over its connect budget; come again after retry_after_s.",
    "stopping": "The server stops; come again after retry_after_s.",
    "enrolment": "The enrolment token is unknown, used or expired.",
    "too_slow": "The agent does not read what it is sent.",
}
"""Every error code that may stand in an ERROR message, with its meaning."""
