"""Building signed metadata: files in, files out, by name below `metadata/`. Not part of the agent.

Offline keys sign root and targets, the server's online key signs snapshot and timestamp. Versions
only rise; to roll back is to direct a host to an older artifact, which stays listed.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError, SerializationError

from vezha.trust.artifact import Artifact
from vezha.trust.errors import Refused, TrustError
from vezha.trust.keys import SigningKey
from vezha.trust.limits import (
    ONLINE_RENEW_BEFORE_S,
    ROOT_LIFETIME_S,
    SNAPSHOT_LIFETIME_S,
    TARGETS_LIFETIME_S,
    TIMESTAMP_LIFETIME_S,
)
from vezha.trust.verify import Trusted, refresh

Files = dict[str, bytes]
"""Metadata by file name: `1.root.json`, `3.targets.json`, `timestamp.json`, …"""


@dataclass(frozen=True)
class OfflineKeys:
    """Who signs root and targets, and how many of them must."""

    root: Sequence[SigningKey]
    targets: Sequence[SigningKey]
    root_threshold: int = 1
    targets_threshold: int = 1


def begin(
    offline: OfflineKeys, online: SigningKey, now_s: float, development: bool = False
) -> Files:
    """A new repository without artifacts."""
    root = Root(expires=_after(now_s, ROOT_LIFETIME_S), consistent_snapshot=True)
    if development:
        root.unrecognized_fields["x-vezha-development"] = True
    _assign(root, offline, online)
    signed_root = _sign(Metadata(root), offline.root)
    targets = _sign(Metadata(Targets(expires=_after(now_s, TARGETS_LIFETIME_S))), offline.targets)
    files = {"1.root.json": signed_root, "1.targets.json": targets}
    return {**files, **_publish(files, targets, online, now_s)}


def rotate(
    files: Mapping[str, bytes],
    signers: Sequence[SigningKey],
    now_s: float,
    new: OfflineKeys | None = None,
    online: SigningKey | None = None,
) -> Files:
    """A new root: later expiry, and where given new keys. *signers* are keys of the present root;
    new root keys sign as well. Raises TrustError."""
    root = _newest_root(files)
    root.version += 1
    root.expires = _after(now_s, ROOT_LIFETIME_S)
    keys = list(signers)
    if new is not None or online is not None:
        for role in ("root", "targets") if new is not None else ():
            for key_id in list(root.roles[role].keyids):
                root.revoke_key(key_id, role)
        if online is not None:
            for role in ("snapshot", "timestamp"):
                for key_id in list(root.roles[role].keyids):
                    root.revoke_key(key_id, role)
                root.add_key(online.signer.public_key, role)
        if new is not None:
            root.unrecognized_fields.pop("x-vezha-development", None)
            _add_offline(root, new)
            keys += [k for k in new.root if k.key_id not in {s.key_id for s in keys}]
    signed = _sign(Metadata(root), keys)
    try:
        Trusted(files[f"{root.version - 1}.root.json"]).update_root(signed)
    except Refused as error:
        raise TrustError(
            f"these keys cannot sign a new root ({error}): use the keys of the present root"
        ) from None
    return {f"{root.version}.root.json": signed}


def draft(
    files: Mapping[str, bytes],
    artifacts: Iterable[Artifact],
    now_s: float,
    withdrawn: Iterable[str] = (),
) -> Metadata[Targets]:
    """The next targets, unsigned: those of now with *artifacts* and without *withdrawn*.
    Raises TrustError where a name has another content already."""
    metadata = newest_targets(files)
    targets = metadata.signed
    targets.version += 1
    targets.expires = _after(now_s, TARGETS_LIFETIME_S)
    for artifact in artifacts:
        known = targets.targets.get(artifact.target)
        if known is not None and known.hashes.get("sha256") != artifact.sha256:
            raise TrustError(
                f"{artifact.target} is signed already with another content: give it a new version"
            )
        targets.targets[artifact.target] = TargetFile(
            artifact.length,
            {"sha256": artifact.sha256},
            artifact.target,
            {"custom": artifact.custom} if artifact.custom else None,
        )
    for target in withdrawn:
        if targets.targets.pop(target, None) is None:
            raise TrustError(f"{target} is not signed, so it cannot be withdrawn")
    metadata.signatures.clear()
    return metadata


def sign_targets(metadata: Metadata[Targets], keys: Sequence[SigningKey]) -> bytes:
    """The signed targets. Signatures that are there stay, so that several people can sign."""
    return _sign(metadata, keys)


def publish(files: Mapping[str, bytes], targets: bytes, online: SigningKey, now_s: float) -> Files:
    """The files that make signed *targets* the newest. Raises Refused where the offline keys did
    not sign them, or they are not the next ones."""
    metadata = _targets_of(targets)
    present = newest_targets(files).signed.version
    if metadata.signed.version != present + 1:
        raise Refused(
            "rolled_back",
            f"targets {metadata.signed.version} were signed, {present + 1} come next: sign again",
        )
    _newest_root(files).verify_delegate("targets", metadata.signed_bytes, metadata.signatures)
    made = {f"{metadata.signed.version}.targets.json": targets}
    made.update(_publish({**files, **made}, targets, online, now_s))
    check({**files, **made}, now_s)
    return made


def renew_online(files: Mapping[str, bytes], online: SigningKey, now_s: float) -> Files:
    """Snapshot and timestamp signed anew where they are near their end; empty where not."""
    timestamp = _timestamp(files)
    snapshot = _snapshot(files, timestamp.signed.snapshot_meta.version)
    ends = min(timestamp.signed.expires.timestamp(), snapshot.signed.expires.timestamp())
    if ends - now_s > ONLINE_RENEW_BEFORE_S:
        return {}
    return _publish(files, newest_targets_bytes(files), online, now_s)


def check(files: Mapping[str, bytes], now_s: float) -> Trusted:
    """Go the whole way that an agent goes, from the first root. Raises Refused."""
    first = min((_version(n) for n in files if n.endswith(".root.json")), default=0)
    if not first:
        raise Refused("missing", "there is no root metadata")
    trusted = Trusted(files[f"{first}.root.json"])
    refresh(trusted, lambda name, _max: files.get(name), now_s)
    return trusted


def newest_targets(files: Mapping[str, bytes]) -> Metadata[Targets]:
    """The targets that the timestamp leads to, verified by nobody yet. Raises TrustError.

    A higher number may lie beside it, of a publication that was broken off; it counts for nothing.
    """
    return _targets_of(newest_targets_bytes(files))


def newest_targets_bytes(files: Mapping[str, bytes]) -> bytes:
    """The same as bytes. Raises TrustError."""
    if "timestamp.json" not in files:
        raise TrustError("there is no signed metadata: run `vezha release keygen` first")
    try:
        version = _timestamp(files).signed.snapshot_meta.version
        meta = _snapshot(files, version).signed.meta["targets.json"]
        return files[f"{meta.version}.targets.json"]
    except (KeyError, DeserializationError) as error:
        raise TrustError(
            f"the signed metadata is damaged ({error}): bring it back from a backup"
        ) from None


def newest_root_bytes(files: Mapping[str, bytes]) -> bytes:
    """What new agents pin; empty where there is none."""
    newest = max((_version(n) for n in files if n.endswith(".root.json")), default=0)
    return files[f"{newest}.root.json"] if newest else b""


def key_ids(files: Mapping[str, bytes], role: str) -> list[str]:
    """Ids of the keys that may sign for *role* now. Raises TrustError."""
    return list(_newest_root(files).roles[role].keyids)


def _publish(files: Mapping[str, bytes], targets: bytes, online: SigningKey, now_s: float) -> Files:
    version = _targets_of(targets).signed.version
    old = _timestamp(files).signed if "timestamp.json" in files else None
    number = old.snapshot_meta.version + 1 if old is not None else 1
    meta = MetaFile.from_data(version, targets, ["sha256"])
    snapshot = Snapshot(
        version=number,
        expires=_after(now_s, SNAPSHOT_LIFETIME_S),
        meta={"targets.json": meta},
    )
    signed_snapshot = _sign(Metadata(snapshot), [online])
    timestamp = Timestamp(
        version=old.version + 1 if old is not None else 1,
        expires=_after(now_s, TIMESTAMP_LIFETIME_S),
        snapshot_meta=MetaFile.from_data(number, signed_snapshot, ["sha256"]),
    )
    return {
        f"{number}.snapshot.json": signed_snapshot,
        "timestamp.json": _sign(Metadata(timestamp), [online]),
    }


def _assign(root: Root, offline: OfflineKeys, online: SigningKey) -> None:
    _add_offline(root, offline)
    for role in ("snapshot", "timestamp"):
        root.add_key(online.signer.public_key, role)


def _add_offline(root: Root, offline: OfflineKeys) -> None:
    for key in offline.root:
        root.add_key(key.signer.public_key, "root")
    for key in offline.targets:
        root.add_key(key.signer.public_key, "targets")
    root.roles["root"].threshold = offline.root_threshold
    root.roles["targets"].threshold = offline.targets_threshold


def _sign(metadata: Metadata, keys: Iterable[SigningKey]) -> bytes:  # type: ignore[type-arg]
    try:
        for key in keys:
            metadata.sign(key.signer, append=True)
        return metadata.to_bytes()
    except SerializationError:
        raise TrustError(
            "what is to be signed has something that canonical JSON has not, such as a number with "
            "a point: use whole numbers and texts"
        ) from None


def _version(name: str) -> int:
    number = name.partition(".")[0]
    return int(number) if number.isdigit() else 0


def _newest_root(files: Mapping[str, bytes]) -> Root:
    data = newest_root_bytes(files)
    if not data:
        raise TrustError("there is no root metadata: run `vezha release keygen` first")
    return Metadata[Root].from_bytes(data).signed


def _targets_of(data: bytes) -> Metadata[Targets]:
    try:
        metadata = Metadata[Targets].from_bytes(data)
    except DeserializationError as error:
        raise Refused("malformed", f"the targets metadata cannot be read: {error}") from None
    if not isinstance(metadata.signed, Targets):
        raise Refused("malformed", f"{metadata.signed.type} metadata came for targets")
    return metadata


def _timestamp(files: Mapping[str, bytes]) -> Metadata[Timestamp]:
    return Metadata[Timestamp].from_bytes(files["timestamp.json"])


def _snapshot(files: Mapping[str, bytes], version: int) -> Metadata[Snapshot]:
    return Metadata[Snapshot].from_bytes(files[f"{version}.snapshot.json"])


def _after(now_s: float, seconds: float) -> datetime.datetime:
    # metadata keeps whole seconds
    return datetime.datetime.fromtimestamp(int(now_s + seconds), datetime.timezone.utc)
