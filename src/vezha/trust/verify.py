"""Verification: signed metadata comes in as bytes, and only what is trusted comes out.

Rules (TUF specification 1.0, section 5):
1. The first root is given (pinned at enrolment); root N+1 must be signed by the thresholds of root
   N and of root N+1.
2. Timestamp, snapshot and targets are signed by the keys that the newest root names.
3. No version ever goes back: not the timestamp's, not those of the files that it names.
4. The snapshot is the one that the timestamp names, the targets those that the snapshot names.
5. What is expired is not taken. Expiry freezes change, and nothing else.

Only top-level targets are used: one set of offline keys for one fleet.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any, Optional

from tuf.api.exceptions import LengthOrHashMismatchError, RepositoryError, UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, Targets, Timestamp
from tuf.api.serialization import DeserializationError

from vezha.trust.artifact import Artifact, artifact_of
from vezha.trust.errors import Refused
from vezha.trust.limits import (
    ROOT_BYTES_MAX,
    ROOT_ROTATIONS_MAX,
    SNAPSHOT_BYTES_MAX,
    TARGETS_BYTES_MAX,
    TIMESTAMP_BYTES_MAX,
)

Fetch = Callable[[str, int], Optional[bytes]]  # noqa: UP045
"""Gets a file below `metadata/` of at most so many bytes; None where there is none. Raises Refused
`wrong_length` where it is longer."""


class Trusted:
    """What is trusted now. Every update takes bytes whole or raises Refused and changes nothing."""

    def __init__(self, root: bytes) -> None:
        """*root* is trusted as it is, if it is signed by its own keys. Raises Refused."""
        metadata = _read(root, Root, "root")
        _verify(metadata.signed, "root", metadata)
        self.root: Root = metadata.signed
        self.timestamp: Timestamp | None = None
        self.snapshot: Snapshot | None = None
        self.targets: Targets | None = None

    @property
    def development(self) -> bool:
        """Whether the keys were made by `vezha up` for trying out."""
        return bool(self.root.unrecognized_fields.get("x-vezha-development"))

    # the five files ------------------------------------------------------------------------------

    def update_root(self, data: bytes) -> None:
        """Follow one rotation of keys. Raises Refused."""
        metadata = _read(data, Root, "root")
        _verify(self.root, "root", metadata)
        if metadata.signed.version != self.root.version + 1:
            raise Refused(
                "rolled_back",
                f"root {metadata.signed.version} cannot follow root {self.root.version}",
            )
        _verify(metadata.signed, "root", metadata)
        self.root = metadata.signed

    def remember(self, timestamp: bytes, snapshot: bytes) -> None:
        """Take what was trusted earlier, so that nothing older is taken now. Expired is fine here.
        What the present keys did not sign is forgotten: after a rotation that is the way out of a
        version that a thief of the old keys put too high (section 5.3.11)."""
        try:
            old = _read(timestamp, Timestamp, "timestamp")
            _verify(self.root, "timestamp", old)
            self.timestamp = old.signed
            older = _read(snapshot, Snapshot, "snapshot")
            _verify(self.root, "snapshot", older)
            self.snapshot = older.signed
        except Refused:
            return

    def update_timestamp(self, data: bytes, now_s: float) -> None:
        """Take what is newest. Raises Refused."""
        metadata = _read(data, Timestamp, "timestamp")
        _verify(self.root, "timestamp", metadata)
        new = metadata.signed
        if self.timestamp is not None:
            if new.version < self.timestamp.version:
                raise _rolled_back("timestamp", new.version, self.timestamp.version)
            known = self.timestamp.snapshot_meta.version
            if new.snapshot_meta.version < known:
                raise _rolled_back("snapshot", new.snapshot_meta.version, known)
        _fresh(new, "timestamp", now_s)
        self.timestamp = new

    def update_snapshot(self, data: bytes, now_s: float) -> None:
        """Take the snapshot that the timestamp names. Raises Refused."""
        assert self.timestamp is not None
        meta = self.timestamp.snapshot_meta
        _named(meta, data, "snapshot")
        metadata = _read(data, Snapshot, "snapshot")
        _verify(self.root, "snapshot", metadata)
        new = metadata.signed
        if new.version != meta.version:
            raise _mixed("snapshot", new.version, meta.version)
        for name, known in (self.snapshot.meta if self.snapshot else {}).items():
            if name not in new.meta:
                raise Refused("rolled_back", f"the snapshot names {name} no more")
            if new.meta[name].version < known.version:
                raise _rolled_back(name, new.meta[name].version, known.version)
        _fresh(new, "snapshot", now_s)
        self.snapshot = new

    def update_targets(self, data: bytes, now_s: float) -> None:
        """Take the targets that the snapshot names. Raises Refused."""
        assert self.snapshot is not None
        meta = self.snapshot.meta.get("targets.json")
        if meta is None:
            raise Refused("mix_and_match", "the snapshot names no targets")
        _named(meta, data, "targets")
        metadata = _read(data, Targets, "targets")
        _verify(self.root, "targets", metadata)
        if metadata.signed.version != meta.version:
            raise _mixed("targets", metadata.signed.version, meta.version)
        _fresh(metadata.signed, "targets", now_s)
        self.targets = metadata.signed

    def check_root(self, now_s: float) -> None:
        """Whether the newest root is in date. Raises Refused `expired`."""
        _fresh(self.root, "root", now_s)

    # what comes out ------------------------------------------------------------------------------

    def artifact(self, target: str) -> Artifact:
        """What is signed of *target*. Raises Refused `not_listed`."""
        assert self.targets is not None
        found = self.targets.targets.get(target)
        if found is None:
            raise Refused("not_listed", f"no offline key has signed {target[:200]}")
        sha256 = found.hashes.get("sha256")
        if sha256 is None:
            raise Refused("malformed", f"{target} is signed without its sha256")
        custom = found.custom if isinstance(found.custom, dict) else {}
        return artifact_of(target, sha256, found.length, custom)

    def artifacts(self) -> list[Artifact]:
        """All that is signed, by name. Raises Refused."""
        assert self.targets is not None
        return [self.artifact(target) for target in sorted(self.targets.targets)]

    def expiries_s(self) -> dict[str, float]:
        """When each role expires, in seconds since the epoch."""
        roles = {
            "root": self.root,
            "targets": self.targets,
            "snapshot": self.snapshot,
            "timestamp": self.timestamp,
        }
        return {
            name: signed.expires.timestamp() for name, signed in roles.items() if signed is not None
        }


def refresh(trusted: Trusted, fetch: Fetch, now_s: float) -> dict[str, bytes]:
    """Bring *trusted* to what the server offers now; the files to remember, by name.

    Raises Refused. *fetch* brings the bytes and may raise anything of its own.
    """
    kept: dict[str, bytes] = {}
    for _ in range(ROOT_ROTATIONS_MAX):
        data = fetch(f"{trusted.root.version + 1}.root.json", ROOT_BYTES_MAX)
        if data is None:
            break
        trusted.update_root(data)
        kept["root.json"] = data
    trusted.check_root(now_s)
    data = _must(fetch, "timestamp.json", TIMESTAMP_BYTES_MAX)
    trusted.update_timestamp(data, now_s)
    kept["timestamp.json"] = data
    assert trusted.timestamp is not None
    version = trusted.timestamp.snapshot_meta.version
    data = _must(fetch, f"{version}.snapshot.json", SNAPSHOT_BYTES_MAX)
    trusted.update_snapshot(data, now_s)
    kept["snapshot.json"] = data
    assert trusted.snapshot is not None
    meta = trusted.snapshot.meta.get("targets.json")
    version = meta.version if meta is not None else 0
    data = _must(fetch, f"{version}.targets.json", TARGETS_BYTES_MAX)
    trusted.update_targets(data, now_s)
    kept["targets.json"] = data
    return kept


def _must(fetch: Fetch, name: str, bytes_max: int) -> bytes:
    data = fetch(name, bytes_max)
    if data is None:
        raise Refused("missing", f"the server does not have metadata/{name}")
    return data


def _read(data: bytes, kind: type[Any], role: str) -> Any:
    try:
        metadata: Metadata[Any] = Metadata.from_bytes(data)
    except (DeserializationError, RecursionError, ValueError) as error:
        raise Refused("malformed", f"the {role} metadata cannot be read: {error}") from None
    if not isinstance(metadata.signed, kind):
        raise Refused("malformed", f"{metadata.signed.type} metadata came for {role}")
    return metadata


def _verify(root: Root, role: str, metadata: Any) -> None:
    try:
        root.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except UnsignedMetadataError as error:
        raise Refused("unsigned", f"{role}: {error}") from None
    except (RepositoryError, ValueError) as error:
        raise Refused("malformed", f"{role}: {error}") from None


def _named(meta: Any, data: bytes, role: str) -> None:
    try:
        meta.verify_length_and_hashes(data)
    except LengthOrHashMismatchError:
        raise Refused(
            "mix_and_match", f"the {role} metadata is not the one that was published with the rest"
        ) from None


def _fresh(signed: Signed, role: str, now_s: float) -> None:
    if signed.is_expired(datetime.datetime.fromtimestamp(now_s, datetime.timezone.utc)):
        raise Refused(
            "expired", f"the {role} metadata expired on {signed.expires:%Y-%m-%d %H:%M} UTC"
        )


def _rolled_back(name: str, version: int, known: int) -> Refused:
    return Refused("rolled_back", f"{name} {version} is older than {known}, which was seen before")


def _mixed(name: str, version: int, meant: int) -> Refused:
    return Refused("mix_and_match", f"{name} {version} came where {meant} was published")
