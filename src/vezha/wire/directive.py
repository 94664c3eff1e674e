"""A directive: what one host should run now, as it stands in DESIRED and in the ledger's rows.

A directive says who gets what; whether that is authentic, the signed targets say. An agent acts
only where both agree (`vezha.trust.agreement`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Dict, Tuple  # noqa: UP035

from vezha.wire.errors import ProtocolError
from vezha.wire.limits import (
    CONFIG_CAPABILITY,
    DIRECTIVE_LENGTH_MAX,
    FETCH_PATH_CHARS_MAX,
    RELEASE_CAPABILITY,
    SCRIPT_CAPABILITY,
)

KINDS: Tuple[str, ...] = (RELEASE_CAPABILITY, CONFIG_CAPABILITY, SCRIPT_CAPABILITY)  # noqa: UP006
"""Kinds of directives, which are also the capabilities that an agent needs for them."""

DOWNLOADED, STAGED, STARTED, PROVEN = "downloaded", "staged", "started", "proven"
REVERTED, REFUSED, QUARANTINED, FINISHED = "reverted", "refused", "quarantined", "finished"
STEPS: Tuple[str, ...] = (  # noqa: UP006
    DOWNLOADED, STAGED, STARTED, PROVEN, REVERTED, REFUSED, QUARANTINED, FINISHED,
)  # fmt: skip
"""What a Progress may tell. A script ends in `finished` or `refused`, the rest in `proven`,
`reverted` (a `quarantined` follows where the hash is to blame) or `refused`."""

_RUN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Directive:
    """One thing to run. `run` names one run of a script and is empty for the other kinds.

    An empty `target` (with an empty hash and length 0) means: back to what the host had by itself,
    its first release or its own configuration.

    `detail` may hold `params` (a script's), `dry_run`, `timeout_s`, `output_bytes_max`, `watch_s`
    and `forced` (take it even though its hash is quarantined).
    """

    kind: str
    generation: int
    target: str
    sha256: str
    length: int
    run: str = ""
    detail: Dict[str, Any] = field(default_factory=dict)  # noqa: UP006

    @property
    def is_own(self) -> bool:
        """Whether it sends the host back to what it had by itself."""
        return not self.target

    def as_json(self) -> dict[str, Any]:
        """As an entry of DESIRED."""
        return dict(vars(self))


def directive_of(entry: Mapping[str, Any]) -> Directive:
    """The directive of an entry of DESIRED. Raises ProtocolError `bad_message`."""
    kind, run = entry.get("kind"), entry.get("run", "")
    generation, length = entry.get("generation"), entry.get("length")
    target, sha256 = entry.get("target"), entry.get("sha256")
    detail = entry.get("detail", {})
    if kind not in KINDS:
        raise _wrong("kind", kind)
    if not isinstance(run, str) or (kind == SCRIPT_CAPABILITY) != bool(_RUN.fullmatch(run)):
        raise _wrong("run", run)
    if not _is_whole(generation, 1 << 63):
        raise _wrong("generation", generation)
    if not isinstance(target, str) or len(target) > FETCH_PATH_CHARS_MAX:
        raise _wrong("target", target)
    is_own = target == ""
    if is_own and kind == SCRIPT_CAPABILITY:
        raise _wrong("target", target)
    if not (length == 0 if is_own else _is_whole(length, DIRECTIVE_LENGTH_MAX)):
        raise _wrong("length", length)
    if not isinstance(sha256, str) or not ((is_own and sha256 == "") or _SHA256.fullmatch(sha256)):
        raise _wrong("sha256", sha256)
    if not isinstance(detail, dict):
        raise _wrong("detail", detail)
    assert isinstance(generation, int)
    assert isinstance(length, int)
    return Directive(str(kind), generation, target, sha256, length, run, detail)


def _is_whole(value: Any, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= high


def _wrong(name: str, value: Any) -> ProtocolError:
    return ProtocolError("bad_message", f"a directive's {name} cannot be {str(value)[:60]!r}")
