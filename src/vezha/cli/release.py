"""Keys, and what they sign: agents' files, configuration, scripts, rules."""

from __future__ import annotations

import getpass
import hashlib
import json as json_
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tomllib
import typer
from tuf.api.metadata import Metadata, Targets

from vezha.access import Action, Role, Subject, SubjectKind
from vezha.cli.app import EXIT_BROKEN
from vezha.cli.opened import JsonOption, StateOption, audit, opened_ledger, person, settings_of
from vezha.cli.table import show_json, show_table
from vezha.server.releases import (
    ROOT_KEY,
    TARGETS_KEY,
    expiries_s,
    publish_targets,
    write_key,
)
from vezha.server.state import StateFolder
from vezha.trust.artifact import Artifact, artifact_from
from vezha.trust.errors import Refused, TrustError
from vezha.trust.folder import ReleaseFolder
from vezha.trust.keys import SigningKey, generate, is_encrypted, load
from vezha.trust.repository import (
    OfflineKeys,
    begin,
    check,
    draft,
    key_ids,
    newest_targets,
    rotate,
    sign_targets,
)
from vezha.trust.script import script_of
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

DRAFT, TARGETS = "draft.json", "targets.json"
PASS_PHRASE = "VEZHA_SECRET_KEYS"  # noqa: S105 - the name of a variable
DAY_S = 86_400

ReleasesOption = Annotated[
    str,
    typer.Option(
        help="The published releases; default: releases in the state folder.", metavar="FOLDER"
    ),
]
KeysOption = Annotated[
    str, typer.Option(help="Where the offline keys are.", metavar="FOLDER", show_default=False)
]
DraftArgument = Annotated[
    Path, typer.Argument(help="The folder that `build` made.", metavar="DRAFT")
]


@app.command()
def keygen(
    keys: Annotated[Path, typer.Argument(help="A new folder for the offline keys; keep it away.")],
    plain: Annotated[bool, typer.Option(help="Without a pass phrase.")] = False,
    rotate_: Annotated[
        str,
        typer.Option(
            "--rotate", help="Replace the present keys, which lie there.", metavar="FOLDER"
        ),
    ] = "",
    state: StateOption = "state",
    releases: ReleasesOption = "",
    json: JsonOption = False,
) -> None:
    """Make offline keys (root, targets) and the first signed metadata; or, with --rotate, new keys
    that take the place of the present ones."""
    world, folder = World(), _folder(state, releases)
    if folder.exists and not rotate_:
        raise TrustError(
            f"{folder.path} has keys already: name the folder of the present offline keys with "
            "--rotate to replace them (agents follow by themselves)"
        )
    old = _load_keys(Path(rotate_), (ROOT_KEY,)) if rotate_ else []
    phrase = "" if plain else _new_pass_phrase()
    made = {ROOT_KEY: generate(), TARGETS_KEY: generate()}
    offline = OfflineKeys([made[ROOT_KEY]], [made[TARGETS_KEY]])
    now_s = world.clock.now()
    with folder.turn():
        if rotate_:
            files = folder.files()
            online = generate() if _has_online(folder) else None
            files.update(rotate(files, old, now_s, offline, online))
            targets = _signed_anew(files, [made[TARGETS_KEY]], now_s)
            for name, key in made.items():
                write_key(world, keys / name, key, phrase)
            _write_rotation(folder, files, targets, online, now_s)
        else:
            for name, key in made.items():
                write_key(world, keys / name, key, phrase)
            online = generate()
            folder.write_online_key(online)
            folder.write(begin(offline, online, now_s))
    _audit(state, "keys", {"keys": str(keys)})
    if json:
        show_json({"keys": [str(keys / name) for name in made], "encrypted": bool(phrase)})
        return
    typer.echo(
        f"Offline keys: {keys}/{ROOT_KEY} and {keys}/{TARGETS_KEY}. Take them off this machine: "
        "who has them can change your fleet.\n"
        f"Signed metadata: {folder.path}/metadata. Next: vezha release build"
    )
    if not phrase:
        typer.echo(
            "Warning: the keys are not encrypted. Whoever reads the files has them; make them "
            "without --plain for production.",
            err=True,
        )


def _write_rotation(
    folder: ReleaseFolder,
    files: dict[str, bytes],
    targets: bytes,
    online: SigningKey | None,
    now_s: float,
) -> None:
    """Root first, then what the new keys signed: an agent that looks in between waits."""
    from vezha.trust.repository import publish

    key = online or folder.online_key()
    made = {**files, **publish(files, targets, key, now_s)}
    if online is not None:
        folder.write_online_key(online)
    folder.write({name: data for name, data in made.items() if folder.files().get(name) != data})


def _signed_anew(files: dict[str, bytes], keys: Sequence[SigningKey], now_s: float) -> bytes:
    return sign_targets(draft(files, [], now_s), keys)


def _has_online(folder: ReleaseFolder) -> bool:
    try:
        folder.online_key()
    except TrustError:
        return False
    return True


@app.command()
def build(
    draft_: DraftArgument = Path("release"),
    config: Annotated[str, typer.Option(help="An agent.toml to sign.", metavar="FILE")] = "",
    script: Annotated[str, typer.Option(help="A script to sign.", metavar="FILE")] = "",
    rules: Annotated[str, typer.Option(help="A rule file to sign.", metavar="FILE")] = "",
    agent: Annotated[
        str, typer.Option(help="An agent's file; default: built from here.", metavar="FILE")
    ] = "",
    spec: Annotated[
        str,
        typer.Option(
            help="What is signed of the script besides: TOML with interpreter, parameters, ….",
            metavar="FILE",
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="Its name; default: the file's.")] = "",
    version: Annotated[str, typer.Option(help="Its version; needed for all but agents.")] = "",
    json: JsonOption = False,
) -> None:
    """Put an artifact into a draft folder, for `sign`: the agent's file of this version, or one of
    --config, --script, --rules. Several builds may share one draft."""
    given = [(k, v) for k, v in (("config", config), ("script", script), ("rules", rules)) if v]
    if len(given) + bool(agent) > 1:
        raise TrustError("one artifact at a time: name one of --agent, --config, --script, --rules")
    if given:
        kind, file = given[0]
        artifact, content = _given(kind, Path(file), name, version, spec)
    else:
        artifact, content = _agent_file(agent, name, version)
    listed = [a for a in _read_draft(draft_) if a["target"] != artifact.target]
    draft_.mkdir(parents=True, exist_ok=True)
    held = f"{artifact.sha256[:12]}-{artifact.file}"
    (draft_ / held).write_bytes(content)
    listed.append({"target": artifact.target, "file": held, "custom": artifact.custom})
    (draft_ / DRAFT).write_text(json_.dumps({"artifacts": listed}, indent=1) + "\n")
    (draft_ / TARGETS).unlink(missing_ok=True)
    if json:
        show_json(_shown(artifact))
        return
    typer.echo(
        f"{artifact.target}: {artifact.length} bytes, sha256 {artifact.sha256}\n"
        f"Next, where the offline keys are: vezha release sign {draft_} --keys FOLDER"
    )


def _given(kind: str, path: Path, name: str, version: str, spec: str) -> tuple[Artifact, bytes]:
    content = _read(path)
    if not version:
        raise TrustError("--version is missing: a signed version never changes its content")
    custom: dict[str, Any] = {}
    if kind == "config":
        from vezha.agent.remote_config import check_whole

        check_whole(content)
        file = "agent.toml"
    elif kind == "script":
        custom = tomllib.loads(_read(Path(spec)).decode()) if spec else {}
        script_of(custom)
        file = path.name
    else:
        file = path.name
    return artifact_from(f"{kind}/{name or path.stem}/{version}/{file}", content, custom), content


def _agent_file(agent: str, name: str, version: str) -> tuple[Artifact, bytes]:
    from vezha.agent.build import of_file
    from vezha.agent.zipapp import build_bytes

    content = _read(Path(agent)) if agent else build_bytes()
    found = of_file(content)
    version = version or found.version
    custom = {"build": found.build, "version": found.version, "launcher": 1, "python": "3.10"}
    target = f"agent/{name or 'vezha-agent'}/{version}/vezha-agent.pyz"
    return artifact_from(target, content, custom), content


@app.command()
def sign(
    draft_: DraftArgument = Path("release"),
    keys: KeysOption = "",
    withdraw: Annotated[
        list[str], typer.Option(help="A target that is to be signed no more.", metavar="TARGET")
    ] = [],  # noqa: B006 - Typer reads it and never changes it
    state: StateOption = "state",
    releases: ReleasesOption = "",
    json: JsonOption = False,
) -> None:
    """Sign a draft with the offline targets key. Where several people must sign, each signs the
    same draft."""
    folder = _folder(state, releases)
    files = folder.files()
    place = Path(keys) if keys else _development(state)
    signers = _load_keys(place, (TARGETS_KEY,))
    if not set(key_ids(files, "targets")) & {k.key_id for k in signers}:
        raise TrustError(
            f"the key in {place} is not one of the present targets keys: name the right --keys"
        )
    artifacts = [artifact for artifact, _ in _contents(draft_)]
    if (draft_ / TARGETS).exists():
        metadata = Metadata[Targets].from_bytes((draft_ / TARGETS).read_bytes())
        if metadata.signed.version != newest_targets(files).signed.version + 1:
            metadata = draft(files, artifacts, World().clock.now(), withdraw)
    else:
        metadata = draft(files, artifacts, World().clock.now(), withdraw)
    draft_.mkdir(parents=True, exist_ok=True)
    (draft_ / TARGETS).write_bytes(sign_targets(metadata, signers))
    if not keys:
        typer.echo(
            f"Signed by the development key in {place}: not for production, since it lies on the "
            "server.",
            err=True,
        )
    if json:
        signed = metadata.signed
        show_json({"version": signed.version, "targets": sorted(signed.targets)})
        return
    typer.echo(
        f"Signed: {len(metadata.signed.targets)} artifacts in all, targets version "
        f"{metadata.signed.version}.\nNext, on the server: vezha release publish {draft_}"
    )


@app.command()
def publish(
    draft_: DraftArgument = Path("release"),
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Check what was signed, and make it what agents are offered. Nothing is sent to them yet."""
    if not (draft_ / TARGETS).exists():
        raise TrustError(f"{draft_} is not signed: run `vezha release sign {draft_}` first")
    contents = {artifact.target: content for artifact, content in _contents(draft_)}
    with opened_ledger(state) as (settings, ledger):
        folder = ReleaseFolder(World(), str(settings.state.releases))
        actor = Subject(SubjectKind.SYSTEM, person(), Role.ADMIN)
        now_s = World().clock.now()
        targets = (draft_ / TARGETS).read_bytes()
        new = publish_targets(ledger, folder, targets, contents, actor, now_s)
    if json:
        show_json([_shown(a) for a in new])
        return
    for artifact in new:
        typer.echo(f"Published {artifact.target} (sha256 {artifact.sha256[:16]}…).")
    if not new:
        typer.echo("Published; no artifact is new.")


@app.command()
def renew(
    keys: KeysOption = "",
    state: StateOption = "state",
    releases: ReleasesOption = "",
    json: JsonOption = False,
) -> None:
    """Sign root and targets anew, for another year, with the offline keys."""
    folder, world = _folder(state, releases), World()
    place = Path(keys) if keys else _development(state)
    now_s = world.clock.now()
    root_keys, targets_keys = (_load_keys(place, (name,)) for name in (ROOT_KEY, TARGETS_KEY))
    with folder.turn():
        files = folder.files()
        files.update(rotate(files, root_keys, now_s))
        targets = _signed_anew(files, targets_keys, now_s)
        _write_rotation(folder, files, targets, None, now_s)
    _audit(state, "expiry", {"keys": str(place)})
    if json:
        show_json({"renewed": ["root", "targets"]})
        return
    typer.echo("Root and targets are good for another year.")


@app.command()
def verify(
    state: StateOption = "state", releases: ReleasesOption = "", json: JsonOption = False
) -> None:
    """Go the way that an agent goes, and compare every published file with what was signed."""
    folder, now_s = _folder(state, releases), World().clock.now()
    try:
        artifacts = check(folder.files(), now_s).artifacts()
    except Refused as error:
        _broken([(error.code, error.text)], json)
    wrong = []
    for artifact in artifacts:
        try:
            folder.read_artifact(artifact)
        except Refused as error:
            wrong.append((error.code, error.text))
        except OSError as error:
            wrong.append(("missing", f"{artifact.target}: {error.strerror}"))
    if wrong:
        _broken(wrong, json)
    if json:
        show_json({"good": True, "artifacts": len(artifacts), "wrong": []})
        return
    typer.echo(f"Good: {len(artifacts)} artifacts are as they were signed.")


def _broken(wrong: Sequence[tuple[str, str]], json: bool) -> None:
    if json:
        show_json({"good": False, "wrong": [{"code": c, "text": t} for c, t in wrong]})
    else:
        for code, text in wrong:
            typer.echo(f"{code}: {text}", err=True)
    raise typer.Exit(EXIT_BROKEN)


@app.command("list")
def list_(
    state: StateOption = "state", releases: ReleasesOption = "", json: JsonOption = False
) -> None:
    """What is signed and published."""
    folder = _folder(state, releases)
    files = folder.files()
    signed = newest_targets(files).signed.targets
    rows: list[dict[str, Any]] = [
        {
            "target": target,
            "sha256": file.hashes.get("sha256", ""),
            "length": file.length,
            "custom": file.custom or {},
        }
        for target, file in sorted(signed.items())
    ]
    if json:
        show_json(rows)
        return
    if not rows:
        typer.echo("Nothing is published. Begin with: vezha release build")
        return
    show_table(
        ("Target", "Bytes", "SHA-256", "Build"),
        [
            (
                str(row["target"]),
                str(row["length"]),
                f"{row['sha256'][:16]}…",
                str(row["custom"].get("build", "–")),
            )
            for row in rows
        ],
    )


@app.command()
def root(state: StateOption = "state", releases: ReleasesOption = "") -> None:
    """Print the metadata of the keys: what agents that were enrolled before there were keys pin
    with `vezha-agent trust`."""
    found = _folder(state, releases).root()
    if not found:
        raise TrustError("there are no keys yet: run `vezha release keygen` first")
    typer.echo(found.decode())


@app.command("expire-soon")
def expire_soon(
    days: Annotated[int, typer.Option(help="How many days count as soon.")] = 30,
    state: StateOption = "state",
    releases: ReleasesOption = "",
    json: JsonOption = False,
) -> None:
    """When the signed metadata expires; exit code 1 where an offline role does soon, or an online
    one within a day (the server signs those anew by itself)."""
    folder, now_s = _folder(state, releases), World().clock.now()
    left = {role: ends - now_s for role, ends in expiries_s(folder.files()).items()}
    soon = {
        role: seconds < (days * DAY_S if role in ("root", "targets") else DAY_S)
        for role, seconds in left.items()
    }
    if json:
        show_json(
            [{"role": r, "seconds": int(s), "soon": soon[r]} for r, s in sorted(left.items())]
        )
    else:
        show_table(
            ("Role", "Expires in", ""),
            [
                (role, f"{seconds / DAY_S:.1f} days", "soon" if soon[role] else "")
                for role, seconds in sorted(left.items())
            ],
        )
        if any(soon[role] for role in ("root", "targets")):
            typer.echo("Sign anew where the offline keys are: vezha release renew --keys FOLDER")
    if any(soon.values()):
        raise typer.Exit(EXIT_BROKEN)


# what they share ---------------------------------------------------------------------------------


def _folder(state: str, releases: str) -> ReleaseFolder:
    path = Path(releases).absolute() if releases else StateFolder.at(state).releases
    return ReleaseFolder(World(), str(path))


def _development(state: str) -> Path:
    place = StateFolder.at(state).development_keys
    if not place.exists():
        raise TrustError("--keys is missing: name the folder of the offline keys")
    return place


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TrustError(f"{path} cannot be read: {error.strerror}") from None


def _load_keys(place: Path, names: Sequence[str]) -> list[SigningKey]:
    found = []
    for name in names:
        pem = _read(place / name)
        phrase = os.environ.get(PASS_PHRASE, "")
        if is_encrypted(pem) and not phrase:
            if not sys.stdin.isatty():
                raise TrustError(f"{place / name} is encrypted: set {PASS_PHRASE}")
            phrase = getpass.getpass(f"Pass phrase of {place / name}: ")
        found.append(load(pem, phrase, str(place / name)))
    return found


def _new_pass_phrase() -> str:
    phrase = os.environ.get(PASS_PHRASE, "")
    if phrase:
        return phrase
    if not sys.stdin.isatty():
        raise TrustError(
            f"a pass phrase is missing: set {PASS_PHRASE}, or make unencrypted keys with --plain"
        )
    phrase = getpass.getpass("Pass phrase for the new keys: ")
    if not phrase or getpass.getpass("Once more: ") != phrase:
        raise TrustError("the two pass phrases differ, or are empty: try again")
    return phrase


def _read_draft(draft_: Path) -> list[dict[str, Any]]:
    if not (draft_ / DRAFT).exists():
        return []
    try:
        listed: list[dict[str, Any]] = json_.loads(_read(draft_ / DRAFT))["artifacts"]
        return listed
    except (ValueError, KeyError, TypeError):
        raise TrustError(f"{draft_ / DRAFT} is damaged: build anew into another folder") from None


def _contents(draft_: Path) -> list[tuple[Artifact, bytes]]:
    found = []
    for entry in _read_draft(draft_):
        content = _read(draft_ / Path(entry["file"]).name)
        digest = hashlib.sha256(content).hexdigest()
        if not str(entry["file"]).startswith(digest[:12]):
            raise TrustError(f"{draft_ / entry['file']} was changed after `build`: build it again")
        found.append((artifact_from(entry["target"], content, entry["custom"]), content))
    return found


def _shown(artifact: Artifact) -> dict[str, Any]:
    return {
        "target": artifact.target,
        "sha256": artifact.sha256,
        "length": artifact.length,
        "custom": artifact.custom,
    }


def _audit(state: str, target: str, detail: dict[str, str]) -> None:
    """Where this is the server, the audit knows; an offline machine has none."""
    if not settings_of(state).state.ledger_file.exists():
        return
    with opened_ledger(state) as (_, ledger), ledger.begin() as connection:
        audit(connection, Action.RELEASE_PUBLISH, target, detail)
