"""Releases on the server: keys for trying out, publishing, and signing anew in time.

The offline keys are not here: a server that was taken over can say what is newest, not what is
authentic.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import structlog
from sqlalchemy import select
from tuf.api.metadata import Metadata, Root, Timestamp

from vezha.access import Action, Subject
from vezha.access.audit import append_audit
from vezha.ledger import Ledger
from vezha.ledger.tables import release
from vezha.server.state import StateFolder
from vezha.trust.artifact import Artifact
from vezha.trust.errors import TrustError
from vezha.trust.folder import ReleaseFolder
from vezha.trust.keys import SigningKey, generate
from vezha.trust.repository import (
    OfflineKeys,
    begin,
    check,
    newest_root_bytes,
    newest_targets,
    newest_targets_bytes,
    publish,
    renew_online,
)
from vezha.trust.verify import Trusted
from vezha.world import World

log = structlog.get_logger("vezha.releases")

ROOT_KEY, TARGETS_KEY = "root.key", "targets.key"
WARNING = """These keys were made by Vezha itself, for trying out, and lie on the server.
They are not for production: who takes over this server can sign with them.
Make others with `vezha release keygen` on a machine of your own.
"""


def ensure_development_keys(state: StateFolder, world: World) -> bool:
    """Where nobody has made keys, make some for trying out; whether they are in use.

    Raises OSError. They are never put in place of others.
    """
    folder = ReleaseFolder(world, str(state.releases))
    if folder.exists:
        return bool(state.development_keys.exists() and Trusted(folder.root()).development)
    keys = {ROOT_KEY: generate(), TARGETS_KEY: generate()}
    place = str(state.development_keys)
    world.disk.make_folder(place)
    for name, key in keys.items():
        write_key(world, Path(place) / name, key, "")
    world.disk.write_whole(f"{place}/README", WARNING.encode())
    online = generate()
    offline = OfflineKeys([keys[ROOT_KEY]], [keys[TARGETS_KEY]])
    with folder.turn():
        folder.write_online_key(online)
        folder.write(begin(offline, online, world.clock.now(), development=True))
    return True


def write_key(world: World, path: Path, key: SigningKey, pass_phrase: str) -> None:
    """Keep a private key, for this user only. Raises OSError, TrustError where one is there."""
    if path.exists():
        raise TrustError(f"{path} exists: a key is never overwritten; choose another folder")
    world.disk.make_folder(str(path.parent))
    world.disk.write_whole(str(path), key.pem(pass_phrase), 0o600)


def publish_targets(
    ledger: Ledger,
    folder: ReleaseFolder,
    targets: bytes,
    contents: Mapping[str, bytes],
    actor: Subject,
    now_s: float,
) -> list[Artifact]:
    """Make signed *targets* the newest, with the files that are new; the artifacts that are new.

    *contents* are files by target. The rows follow the files, so that what the ledger names is
    there; a crash in between is mended by publishing anything again. Raises Refused, TrustError,
    OSError.
    """
    with folder.turn():
        files = folder.files()
        online = folder.online_key()
        before = set(newest_targets(files).signed.targets)
        if targets != newest_targets_bytes(files):  # else only the rows are missing
            made = publish(files, targets, online, now_s)
            after = check({**files, **made}, now_s).artifacts()
            for artifact in after:
                if artifact.target not in before:
                    if artifact.target not in contents:
                        raise TrustError(
                            f"{artifact.target} is signed, but its file is not in the folder"
                        )
                    folder.write_artifact(artifact, contents[artifact.target])
            folder.write(made)
        listed = check(folder.files(), now_s).artifacts()
    note_releases(ledger, listed, actor, now_s)
    return [a for a in listed if a.target not in before]


def note_releases(ledger: Ledger, listed: list[Artifact], actor: Subject, now_s: float) -> None:
    """A row for each artifact that has none, no row for what was withdrawn, and their lines in the
    audit."""
    now_ms = int(now_s * 1000)
    with ledger.begin() as connection:
        known = set(connection.execute(select(release.c.target)).scalars())
        for target in sorted(known - {artifact.target for artifact in listed}):
            connection.execute(release.delete().where(release.c.target == target))
            append_audit(
                connection,
                subject=actor,
                action=Action.RELEASE_PUBLISH.value,
                now_ms=now_ms,
                target=target,
                detail={"withdrawn": True},
            )
        for artifact in listed:
            if artifact.target in known:
                continue
            connection.execute(
                release.insert().values(
                    kind=artifact.kind,
                    name=artifact.name,
                    version=artifact.version,
                    target=artifact.target,
                    sha256=artifact.sha256,
                    length=artifact.length,
                    custom=artifact.custom,
                    published_ms=now_ms,
                    published_by=actor.name,
                )
            )
            append_audit(
                connection,
                subject=actor,
                action=Action.RELEASE_PUBLISH.value,
                now_ms=now_ms,
                target=artifact.target,
                detail={"sha256": artifact.sha256},
            )


def keep_fresh(folder: ReleaseFolder, now_s: float) -> dict[str, float]:
    """Sign snapshot and timestamp anew where their end is near; when each role expires, in
    seconds since the epoch. Empty where nothing was published. Raises OSError, TrustError, Refused.
    """
    if not folder.exists:
        return {}
    with folder.turn():
        files = folder.files()
        try:
            made = renew_online(files, folder.online_key(), now_s)
        except TrustError as error:
            log.error("releases_not_renewed", why=str(error))
            made = {}
        if made:
            folder.write(made)
            files.update(made)
            log.info("releases_renewed", files=sorted(made))
    return expiries_s(files)


def expiries_s(files: Mapping[str, bytes]) -> dict[str, float]:
    """When each role expires, in seconds since the epoch, whether or not that is past."""
    timestamp = Metadata[Timestamp].from_bytes(files["timestamp.json"]).signed
    version = timestamp.snapshot_meta.version
    found = {
        "root": newest_root_bytes(files),
        "targets": newest_targets_bytes(files),
        "snapshot": files[f"{version}.snapshot.json"],
        "timestamp": files["timestamp.json"],
    }
    return {
        role: Metadata[Root].from_bytes(data).signed.expires.timestamp()
        for role, data in found.items()
    }
