"""Artifacts: what is signed, by name. A target is `<kind>/<name>/<version>/<file>`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Dict  # noqa: UP035

from vezha.trust.errors import Refused
from vezha.trust.limits import (
    AGENT_BYTES_MAX,
    CONFIG_BYTES_MAX,
    RULES_BYTES_MAX,
    SCRIPT_BYTES_MAX,
)

BYTES_MAX: Mapping[str, int] = {
    "agent": AGENT_BYTES_MAX,
    "config": CONFIG_BYTES_MAX,
    "script": SCRIPT_BYTES_MAX,
    "rules": RULES_BYTES_MAX,
}
"""Kinds of artifacts, with the longest file of each."""

_TARGET = re.compile(
    r"(?P<kind>[a-z]+)/(?P<name>[A-Za-z0-9][A-Za-z0-9._-]{0,63})"
    r"/(?P<version>[A-Za-z0-9][A-Za-z0-9._+-]{0,63})/(?P<file>[A-Za-z0-9][A-Za-z0-9._-]{0,99})"
)


@dataclass(frozen=True)
class Artifact:
    """One signed file. `custom` is what else was signed of it (build id, parameters, …)."""

    kind: str
    name: str
    version: str
    file: str
    sha256: str
    length: int
    custom: Dict[str, Any] = field(default_factory=dict)  # noqa: UP006

    @property
    def target(self) -> str:
        """Its name in the signed targets."""
        return f"{self.kind}/{self.name}/{self.version}/{self.file}"

    @property
    def path(self) -> str:
        """Where it lies below `targets/`: its hash is in the name, so that files of two
        publications never take each other's place."""
        return f"{self.kind}/{self.name}/{self.version}/{self.sha256}.{self.file}"

    def check(self, content: bytes) -> None:
        """Whether *content* is this artifact's. Raises Refused."""
        if len(content) != self.length:
            raise Refused(
                "wrong_length", f"{self.target} has {len(content)} bytes, {self.length} are signed"
            )
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise Refused("wrong_hash", f"{self.target} is not what was signed")


def artifact_of(target: str, sha256: str, length: int, custom: Mapping[str, Any]) -> Artifact:
    """The artifact of a target's name and signed figures. Raises Refused."""
    match = _TARGET.fullmatch(target)
    if match is None or match["kind"] not in BYTES_MAX or ".." in target:
        raise Refused(
            "malformed", f"{target[:80]!r} is not <kind>/<name>/<version>/<file> of a known kind"
        )
    if not 0 < length <= BYTES_MAX[match["kind"]]:
        raise Refused(
            "wrong_length",
            f"{target} has {length} bytes; 1 to {BYTES_MAX[match['kind']]} are taken",
        )
    return Artifact(
        match["kind"],
        match["name"],
        match["version"],
        match["file"],
        sha256,
        length,
        dict(custom),
    )


def artifact_from(target: str, content: bytes, custom: Mapping[str, Any]) -> Artifact:
    """The artifact of a file's content. Raises Refused."""
    return artifact_of(target, hashlib.sha256(content).hexdigest(), len(content), custom)
