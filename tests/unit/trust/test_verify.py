"""Verification of signed metadata: what is taken, and every attack of the TUF paper refused."""

import json

import pytest

from vezha.trust.agreement import agree, check_generation
from vezha.trust.artifact import Artifact, artifact_from, artifact_of
from vezha.trust.errors import Refused, TrustError
from vezha.trust.keys import SigningKey, generate, load
from vezha.trust.limits import TARGETS_LIFETIME_S, TIMESTAMP_LIFETIME_S
from vezha.trust.repository import (
    Files,
    OfflineKeys,
    begin,
    check,
    draft,
    key_ids,
    newest_root_bytes,
    newest_targets,
    publish,
    renew_online,
    rotate,
    sign_targets,
)
from vezha.trust.verify import Trusted, refresh
from vezha.wire.directive import Directive

NOW = 1_800_000_000.0
DAY = 86_400.0
ROOT_KEY, TARGETS_KEY, ONLINE_KEY, STRANGER = (generate() for _ in range(4))
OFFLINE = OfflineKeys([ROOT_KEY], [TARGETS_KEY])
NAME = "config/base/1/agent.toml"
CONTENT = b"tick_interval_s = 1.0\n"
ARTIFACT = artifact_from(NAME, CONTENT, {"why": "test"})


def add(
    files: Files, *artifacts: Artifact, key: SigningKey = TARGETS_KEY, now: float = NOW
) -> Files:
    signed = sign_targets(draft(files, artifacts, now), [key])
    return {**files, **publish(files, signed, ONLINE_KEY, now)}


@pytest.fixture(scope="module")
def first() -> Files:
    return begin(OFFLINE, ONLINE_KEY, NOW)


@pytest.fixture(scope="module")
def second(first: Files) -> Files:
    return add(first, ARTIFACT)


def agent(files: Files) -> Trusted:
    return Trusted(files["1.root.json"])


def look(trusted: Trusted, files: Files, now: float = NOW) -> dict[str, bytes]:
    return refresh(trusted, lambda name, _max: files.get(name), now)


def refused(trusted: Trusted, files: Files, now: float = NOW) -> str:
    with pytest.raises(Refused) as caught:
        look(trusted, files, now)
    return caught.value.code


def test_what_is_signed_is_taken(second: Files) -> None:
    trusted = agent(second)
    kept = look(trusted, second)
    assert set(kept) == {"timestamp.json", "snapshot.json", "targets.json"}
    found = trusted.artifact(NAME)
    assert found == ARTIFACT
    found.check(CONTENT)
    assert [a.target for a in trusted.artifacts()] == [NAME]
    with pytest.raises(Refused, match="no offline key"):
        trusted.artifact("config/base/2/agent.toml")


def test_a_tampered_file_is_refused(second: Files) -> None:
    trusted = agent(second)
    look(trusted, second)
    with pytest.raises(Refused) as caught:
        trusted.artifact(NAME).check(CONTENT.replace(b"1.0", b"9.0"))
    assert caught.value.code == "wrong_hash"
    with pytest.raises(Refused) as caught:
        trusted.artifact(NAME).check(CONTENT + b"#")
    assert caught.value.code == "wrong_length"


def test_replayed_metadata_is_refused(first: Files, second: Files) -> None:
    trusted = agent(first)
    kept = look(trusted, second)
    assert refused(trusted, first) == "rolled_back"
    # also over a restart, by what was remembered
    again = agent(first)
    again.remember(kept["timestamp.json"], kept["snapshot.json"])
    assert refused(again, first) == "rolled_back"


def test_mix_and_match_is_refused(first: Files, second: Files) -> None:
    third = add(second, artifact_from("config/base/2/agent.toml", b"# 2\n", {}))
    for name, other in (
        ("3.snapshot.json", second["2.snapshot.json"]),
        ("3.targets.json", second["2.targets.json"]),
    ):
        mixed = {**third, name: other}
        assert refused(agent(third), mixed) == "mix_and_match"


def test_unsigned_content_is_refused(first: Files) -> None:
    # a conquered server has the online key, and no offline one
    forged = sign_targets(draft(first, [ARTIFACT], NOW), [ONLINE_KEY])
    with pytest.raises(Exception, match="targets"):
        publish(first, forged, ONLINE_KEY, NOW)
    from vezha.trust.repository import _publish

    files = {**first, "2.targets.json": forged}
    files.update(_publish(files, forged, ONLINE_KEY, NOW))
    assert refused(agent(first), files) == "unsigned"


@pytest.mark.parametrize("name", ["timestamp.json", "2.snapshot.json"])
def test_a_changed_byte_is_refused(second: Files, name: str) -> None:
    body = json.loads(second[name])
    body["signed"]["version"] += 1
    changed = {**second, name: json.dumps(body).encode()}
    assert refused(agent(second), changed) in ("unsigned", "mix_and_match")


@pytest.mark.parametrize("rubbish", [b"", b"[]", b"{}", b"\xff", b'{"signed":{"_type":"root"}}'])
def test_rubbish_is_malformed(second: Files, rubbish: bytes) -> None:
    assert refused(agent(second), {**second, "timestamp.json": rubbish}) == "malformed"


def test_a_missing_file_is_named(second: Files) -> None:
    files = {k: v for k, v in second.items() if k != "timestamp.json"}
    assert refused(agent(second), files) == "missing"


def test_expiry_freezes_change(second: Files) -> None:
    trusted = agent(second)
    look(trusted, second)
    assert refused(trusted, second, NOW + TIMESTAMP_LIFETIME_S + 1) == "expired"
    renewed = {**second, **renew_online(second, ONLINE_KEY, NOW + TIMESTAMP_LIFETIME_S)}
    look(trusted, renewed, NOW + TIMESTAMP_LIFETIME_S + 1)
    assert trusted.artifact(NAME) == ARTIFACT
    # the offline roles cannot be renewed by the server
    late = NOW + TARGETS_LIFETIME_S + 1
    renewed.update(renew_online(renewed, ONLINE_KEY, late))
    assert refused(trusted, renewed, late) == "expired"


def test_online_roles_are_renewed_in_time(second: Files) -> None:
    assert renew_online(second, ONLINE_KEY, NOW) == {}
    assert renew_online(second, ONLINE_KEY, NOW + 2 * DAY)


def test_keys_are_rotated(second: Files) -> None:
    new_root, new_targets = generate(), generate()
    new = OfflineKeys([new_root], [new_targets])
    with pytest.raises(TrustError):
        rotate(second, [STRANGER], NOW, new)
    files = {**second, **rotate(second, [ROOT_KEY], NOW, new)}
    # the old targets were signed by a key that counts no more
    assert refused(agent(second), files) == "unsigned"
    files = add(files, key=new_targets)
    trusted = agent(second)
    kept = look(trusted, files)
    assert trusted.root.version == 2
    assert kept["root.json"] == newest_root_bytes(files)
    assert key_ids(files, "targets") == [new_targets.key_id]
    with pytest.raises(Exception, match="targets"):
        add(files, key=TARGETS_KEY)


def test_a_root_by_a_stranger_is_refused(second: Files) -> None:
    theirs = begin(OfflineKeys([STRANGER], [STRANGER]), STRANGER, NOW)
    body = json.loads(theirs["1.root.json"])
    body["signed"]["version"] = 2
    files = {**second, "2.root.json": json.dumps(body).encode()}
    assert refused(agent(second), files) == "unsigned"


def test_thresholds_count_people() -> None:
    other = generate()
    offline = OfflineKeys([ROOT_KEY], [TARGETS_KEY, other], targets_threshold=2)
    files = begin(offline, ONLINE_KEY, NOW)
    once = sign_targets(draft(files, [ARTIFACT], NOW), [TARGETS_KEY])
    with pytest.raises(Exception, match="targets"):
        publish(files, once, ONLINE_KEY, NOW)
    from tuf.api.metadata import Metadata, Targets

    both = sign_targets(Metadata[Targets].from_bytes(once), [other])
    files.update(publish(files, both, ONLINE_KEY, NOW))
    assert check(files, NOW).artifact(NAME) == ARTIFACT


def test_a_version_cannot_change_its_content(second: Files) -> None:
    with pytest.raises(TrustError, match="new version"):
        draft(second, [artifact_from(NAME, b"other", {})], NOW)
    without = draft(second, [], NOW, withdrawn=[NAME])
    assert not without.signed.targets
    assert newest_targets(second).signed.version == 2


def test_directive_and_targets_must_agree() -> None:
    good = Directive("config", 3, NAME, ARTIFACT.sha256, ARTIFACT.length)
    agree(good, ARTIFACT)
    for wrong in (
        Directive("release", 3, NAME, ARTIFACT.sha256, ARTIFACT.length),
        Directive("config", 3, NAME.replace("1", "2"), ARTIFACT.sha256, ARTIFACT.length),
        Directive("config", 3, NAME, "0" * 64, ARTIFACT.length),
        Directive("config", 3, NAME, ARTIFACT.sha256, 1),
    ):
        with pytest.raises(Refused) as caught:
            agree(wrong, ARTIFACT)
        assert caught.value.code == "disagrees"
    check_generation(good, 3, ARTIFACT.sha256)
    check_generation(good, 2, "0" * 64)
    for last, sha256 in ((4, ARTIFACT.sha256), (3, "0" * 64)):
        with pytest.raises(Refused) as caught:
            check_generation(good, last, sha256)
        assert caught.value.code == "older_generation"


@pytest.mark.parametrize(
    "target",
    [
        "agent.pyz",
        "rogue/a/1/f",
        "config/../1/f",
        "config/a/1/../f",
        "/config/a/1/f",
        "config/a/1/.f",
    ],
)
def test_names_that_are_none(target: str) -> None:
    with pytest.raises(Refused, match="kind"):
        artifact_of(target, "0" * 64, 1, {})


def test_keys_are_kept_encrypted_and_never_shown() -> None:
    key = generate()
    pem = key.pem("tower")
    assert load(pem, "tower").key_id == key.key_id
    assert "PRIVATE" not in repr(key)
    with pytest.raises(TrustError, match="encrypted"):
        load(pem)
    with pytest.raises(TrustError, match="wrong"):
        load(pem, "moat")
    assert load(key.pem(""), "needless").key_id == key.key_id


def test_what_canonical_json_has_not_is_said_plainly(first: Files) -> None:
    with pytest.raises(TrustError, match="whole numbers"):
        add(first, artifact_from(NAME, CONTENT, {"share": 0.5}))
