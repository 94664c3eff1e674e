"""What the preparation tells the supervisor, over a pipe."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the supervisor must know. Empty texts: there is no such thing (any more)."""

    sign_in_name: str = ""
    sign_in_password: str = ""
    agent_token: str = ""
    agent_revoked: bool = False
    fingerprint: str = ""
    development_keys: bool = False

    def to_json(self) -> str:
        """For the pipe to the supervisor."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Prepared:
        """The reverse of `to_json`."""
        return Prepared(**json.loads(text))
