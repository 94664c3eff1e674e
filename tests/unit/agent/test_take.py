"""What a child process takes: good changes staged, and every attack refused with a reason that is told.

A server in memory gives whatever pieces it likes; the keys are real.
"""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vezha.agent.change import take
from vezha.agent.change.take import Broken, Parent, Taker
from vezha.agent.remote_config import path_of
from vezha.agent.zipapp import build_bytes
from vezha.trust.artifact import Artifact, artifact_from
from vezha.trust.keys import generate
from vezha.trust.repository import (
    Files,
    OfflineKeys,
    _publish,
    begin,
    draft,
    publish,
    sign_targets,
)
from vezha.wire import message as m
from vezha.wire.directive import Directive
from vezha.wire.limits import CHUNK_BYTES_MAX
from vezha.world import World

ROOT, TARGETS, ONLINE = generate(), generate(), generate()
NOW = time.time()
CONFIG = b"[collectors.processes]\nenabled = true\n"
SCRIPT = b'echo "$1 $VEZHA_PARAM_WHAT $VEZHA_RUN"\n'
SCRIPT_CUSTOM: dict[str, Any] = {
    "parameters": [{"name": "what", "type": "text", "pattern": "[a-z ;$()]+", "default": "x"}],
    "arguments": ["what"],
    "timeout_s": 20,
}
OPTED_IN = "[scripts]\nenabled = true\n"


class Server:
    """A repository, and the pieces of it that an agent is given. `meddle` may change any."""

    def __init__(self) -> None:
        self.files: Files = begin(OfflineKeys([ROOT], [TARGETS]), ONLINE, NOW)
        self.contents: dict[str, bytes] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.asked: list[tuple[str, int]] = []
        self.meddle: Callable[[str, int, m.Chunk], m.Chunk] = lambda path, offset, chunk: chunk

    def add(self, target: str, content: bytes, custom: dict[str, Any] | None = None) -> Artifact:
        made = artifact_from(target, content, custom or {})
        signed = sign_targets(draft(self.files, [made], NOW), [TARGETS])
        self.files.update(publish(self.files, signed, ONLINE, NOW))
        self.contents[f"targets/{made.path}"] = content
        self.artifacts[target] = made
        return made

    def fetch(self, path: str, offset: int, length: int) -> m.Chunk:
        self.asked.append((path, offset))
        content = self.contents.get(path, self.files.get(path.removeprefix("metadata/")))
        if content is None:
            chunk = m.Chunk(0, m.CHUNK_ABSENT, 0, 0, b"")
        else:
            piece = content[offset : offset + length]
            chunk = m.Chunk(0, m.CHUNK_HERE, offset, len(content), piece)
        return self.meddle(path, offset, chunk)


class Told(Parent):
    """The parent, without a pipe."""

    def __init__(self, server: Server) -> None:
        super().__init__(io.BytesIO(), io.BytesIO())
        self.server = server
        self.progresses: list[tuple[str, str, dict[str, Any]]] = []

    def progress(self, directive: Directive, step: str, reason: str = "", **detail: Any) -> None:
        self.progresses.append((step, reason, detail))

    def fetch(self, path: str, offset: int, length: int) -> m.Chunk:
        return self.server.fetch(path, offset, length)


class Host:
    def __init__(self, folder: Path, server: Server) -> None:
        self.state = folder
        self.server = server
        (folder / "trust").mkdir(parents=True)
        (folder / "trust/root.json").write_bytes(server.files["1.root.json"])

    def take(self, *directives: Directive) -> tuple[dict[str, Any], Told]:
        told = Told(self.server)
        job = {
            "state": str(self.state),
            "config": "",
            "slot": "b",
            "own_config": "",
            "directives": [d.as_json() for d in directives],
        }
        return Taker(World(), told, job).work(), told

    def refused(self, directive: Directive) -> tuple[str, str]:
        """Reason and sentence of a refusal; nothing else may have been told after it."""
        staged, told = self.take(directive)
        assert staged == {}
        step, reason, detail = told.progresses[-1]
        assert step == "refused"
        return reason, detail["text"]


def direct(artifact: Artifact, kind: str, run: str = "", **detail: Any) -> Directive:
    return Directive(kind, 7, artifact.target, artifact.sha256, artifact.length, run, detail)


@pytest.fixture
def server() -> Server:
    made = Server()
    made.add("config/base/1/agent.toml", CONFIG)
    made.add("script/say/1/say.sh", SCRIPT, SCRIPT_CUSTOM)
    return made


@pytest.fixture
def host(tmp_path: Path, server: Server) -> Host:
    return Host(tmp_path / "agent", server)


def config_of(server: Server) -> Directive:
    return direct(server.artifacts["config/base/1/agent.toml"], "config")


def script_of(server: Server, run: str = "r1", **detail: Any) -> Directive:
    return direct(server.artifacts["script/say/1/say.sh"], "script", run, **detail)


# what is good ------------------------------------------------------------------------------------


def test_a_configuration_is_staged(host: Host, server: Server) -> None:
    staged, told = host.take(config_of(server))
    sha256 = server.artifacts["config/base/1/agent.toml"].sha256
    assert staged == {"config": {"sha256": sha256}}
    assert [step for step, _, _ in told.progresses] == ["downloaded", "staged"]
    assert Path(path_of(str(host.state), sha256)).read_bytes() == CONFIG
    assert (host.state / "trust/timestamp.json").exists()


def test_a_release_is_staged_by_pieces_and_resumed(host: Host, server: Server) -> None:
    content = build_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        text = archive.read("vezha/_build.py").decode()
    build = text.split('"')[1]
    made = server.add("agent/vezha-agent/2/vezha-agent.pyz", content, {"build": build})
    served = 0

    def cut(path: str, offset: int, chunk: m.Chunk) -> m.Chunk:
        nonlocal served
        served += path.startswith("targets/")
        if served == 3:
            raise Broken("the connection ended")
        return chunk

    server.meddle = cut
    with pytest.raises(Broken):
        host.take(direct(made, "release"))
    server.meddle = lambda path, offset, chunk: chunk
    server.asked.clear()
    staged, _ = host.take(direct(made, "release"))
    assert staged["release"] == {"sha256": made.sha256, "build": build, "slot": "b"}
    first = next(offset for path, offset in server.asked if path.startswith("targets/"))
    assert first == 2 * CHUNK_BYTES_MAX
    assert (host.state / "launcher/slots/b.pyz").read_bytes() == content


def test_a_busy_server_is_asked_again(
    host: Host, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take, "FETCH_LATER_S", 0.0)
    laters = iter([True, True, False] * 100)
    later = m.Chunk(0, m.CHUNK_LATER, 0, 0, b"")
    server.meddle = lambda path, offset, chunk: later if next(laters) else chunk
    assert host.take(config_of(server))[0]
    server.meddle = lambda path, offset, chunk: later
    with pytest.raises(Broken, match="no time"):
        host.take(config_of(server))


# attacks as stories ------------------------------------------------------------------------------


def test_story_replayed_old_metadata(host: Host, server: Server) -> None:
    old = dict(server.files)
    server.add("config/base/2/agent.toml", b"# safer\n")
    host.take(config_of(server))
    server.files = old  # a server that was taken over offers what was, to bring back an old hole
    reason, text = host.refused(config_of(server))
    assert reason == "rolled_back"
    assert "older than" in text


def test_story_mix_and_match(host: Host, server: Server) -> None:
    old = dict(server.files)
    server.add("config/base/2/agent.toml", b"# 2\n")
    server.files["4.targets.json"] = old["3.targets.json"]
    assert host.refused(config_of(server))[0] == "mix_and_match"


def test_story_a_server_that_offers_what_nobody_signed(host: Host, server: Server) -> None:
    rogue = artifact_from("config/base/9/agent.toml", b"[collectors.cpu]\nenabled = false\n", {})
    server.contents[f"targets/{rogue.path}"] = b"[collectors.cpu]\nenabled = false\n"
    assert host.refused(direct(rogue, "config"))[0] == "not_listed"
    # with its own online key it can write targets, but not sign them
    forged = sign_targets(draft(server.files, [rogue], NOW), [ONLINE])
    server.files["4.targets.json"] = forged
    server.files.update(_publish(server.files, forged, ONLINE, NOW))
    assert host.refused(direct(rogue, "config"))[0] == "unsigned"
    # nor can it make itself the root
    server.files.update(
        {"2.root.json": begin(OfflineKeys([ONLINE], [ONLINE]), ONLINE, NOW)["1.root.json"]}
    )
    assert host.refused(direct(rogue, "config"))[0] in ("unsigned", "rolled_back")


def test_story_a_directive_that_says_something_else(host: Host, server: Server) -> None:
    good = config_of(server)
    for wrong in (
        Directive("config", 7, good.target, "0" * 64, good.length),
        Directive("config", 7, good.target, good.sha256, good.length + 1),
        Directive("release", 7, good.target, good.sha256, good.length),
    ):
        assert host.refused(wrong)[0] == "disagrees"


def test_story_a_tampered_download(host: Host, server: Server) -> None:
    def tamper(path: str, offset: int, chunk: m.Chunk) -> m.Chunk:
        if not path.startswith("targets/"):
            return chunk
        return m.Chunk(0, 0, chunk.offset, chunk.total, chunk.data.replace(b"true", b"TRUE"))

    server.meddle = tamper
    assert host.refused(config_of(server))[0] == "wrong_hash"
    assert not (host.state / "configs").exists()
    # what was bad is not kept: the next download begins anew
    server.meddle = lambda path, offset, chunk: chunk
    assert host.take(config_of(server))[0]


@pytest.mark.parametrize("path", ["targets/", "metadata/timestamp", "metadata/3.targets"])
def test_story_endless_data(host: Host, server: Server, path: str) -> None:
    def endless(asked: str, offset: int, chunk: m.Chunk) -> m.Chunk:
        if not asked.startswith(path):
            return chunk
        return m.Chunk(0, 0, offset, 1 << 50, bytes(CHUNK_BYTES_MAX))

    server.meddle = endless
    reason, text = host.refused(config_of(server))
    assert reason == "wrong_length"
    assert "would have" in text
    assert len(server.asked) < 10


def test_story_data_that_stops_or_jumps(host: Host, server: Server) -> None:
    for wrong in (
        lambda path, offset, chunk: m.Chunk(0, 0, offset, chunk.total, b""),
        lambda path, offset, chunk: m.Chunk(0, 0, offset + 1, chunk.total + 1, chunk.data),
    ):
        server.meddle = lambda path, offset, chunk, wrong=wrong: (  # type: ignore[misc]
            wrong(path, offset, chunk) if path.startswith("targets/") else chunk
        )
        assert host.refused(config_of(server))[0] == "wrong_length"


def test_story_expired_metadata_freezes_change(
    host: Host, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 8 * 86_400)
    reason, text = host.refused(config_of(server))
    assert reason == "expired"
    assert "expired on" in text


def test_story_an_agent_that_was_never_given_keys(host: Host, server: Server) -> None:
    (host.state / "trust/root.json").unlink()
    reason, text = host.refused(config_of(server))
    assert reason == "unpinned"
    assert "vezha-agent trust" in text


def test_story_a_script_to_a_host_that_did_not_opt_in(host: Host, server: Server) -> None:
    reason, text = host.refused(script_of(server))
    assert reason == "opted_out"
    assert "[scripts]" in text
    assert not any(path.startswith("targets/") for path, _ in server.asked)
    (host.state / "agent.toml").write_text('[scripts]\nenabled = true\nallowed = ["other"]\n')
    assert "does not allow the script say" in host.refused(script_of(server))[1]
    assert not (host.state / "runs").exists()


def test_story_a_configuration_that_opens_the_host(host: Host, server: Server) -> None:
    made = server.add("config/base/2/agent.toml", b"[scripts]\nenabled = true\n")
    reason, text = host.refused(direct(made, "config"))
    assert reason == "bad_config"
    assert "never from the server" in text


# what does not fit ---------------------------------------------------------------------------------


def test_a_configuration_that_the_agents_parser_refuses(host: Host, server: Server) -> None:
    made = server.add("config/base/2/agent.toml", b"colectors = 1\n")
    assert host.refused(direct(made, "config"))[0] == "bad_config"


def test_a_file_that_is_no_agent_is_not_staged(host: Host, server: Server) -> None:
    made = server.add("agent/vezha-agent/3/vezha-agent.pyz", b"#!/bin/sh\n", {"build": "x"})
    assert host.refused(direct(made, "release"))[0] == "bad_config"
    content = build_bytes()
    made = server.add("agent/vezha-agent/4/vezha-agent.pyz", content, {"build": "other"})
    assert host.refused(direct(made, "release"))[0] == "bad_build"
    made = server.add("agent/vezha-agent/5/vezha-agent.pyz", content, {"launcher": 2})
    assert "another launcher" in host.refused(direct(made, "release"))[1]
    made = server.add("agent/vezha-agent/6/vezha-agent.pyz", content, {"python": "9.1"})
    assert "Python 9.1" in host.refused(direct(made, "release"))[1]


def test_a_full_disk_is_told_before_the_download(
    host: Host, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vezha.world.disk.SystemDisk.free_bytes", lambda self, path: 1000)
    assert host.refused(config_of(server))[0] == "no_space"
    assert not any(path.startswith("targets/") for path, _ in server.asked)


def test_one_of_a_pair_is_refused_so_both_are(host: Host, server: Server) -> None:
    bad = server.add("config/base/2/agent.toml", b"colectors = 1\n")
    release = direct(server.add("agent/a/1/a.pyz", build_bytes(), {"build": "x"}), "release")
    staged, told = host.take(direct(bad, "config"), release)
    assert staged == {}
    assert [step for step, _, _ in told.progresses if step == "refused"] == ["refused"] * 2


# scripts ----------------------------------------------------------------------------------------------


@pytest.fixture
def opted(host: Host) -> Host:
    (host.state / "agent.toml").write_text(f'{OPTED_IN}user = "{_me()}"\n')
    return host


def _me() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def finished(told: Told) -> tuple[str, dict[str, Any]]:
    step, reason, detail = told.progresses[-1]
    assert step == "finished"
    return reason, detail


def test_parameters_never_meet_a_shells_line(opted: Host, server: Server) -> None:
    what = "a; $(id)"
    _, told = opted.take(script_of(server, params={"what": what}))
    reason, detail = finished(told)
    assert (reason, detail["exit_code"]) == ("", 0)
    assert detail["output"] == f"{what} {what} r1\n"
    assert list((opted.state / "runs").glob("r1")) == []


def test_each_runs_once(opted: Host, server: Server) -> None:
    opted.take(script_of(server))
    # told again, not run again
    _, told = opted.take(script_of(server))
    assert finished(told)[1]["output"] == "x x r1\n"
    # one that was broken off in the middle
    (opted.state / "runs/r2.json").write_text(json.dumps({"state": "started"}))
    _, told = opted.take(script_of(server, run="r2"))
    assert finished(told)[0] == "interrupted"


def test_a_dry_run_of_a_script_that_knows_none_only_tells(opted: Host, server: Server) -> None:
    _, told = opted.take(script_of(server, dry_run=True, params={"what": "abc"}))
    _, detail = finished(told)
    assert detail["dry_run"] is True
    assert detail["would_run"][-1] == "abc"
    assert "output" not in detail
    made = server.add("script/dry/1/dry.sh", b"echo dry $VEZHA_DRY_RUN\n", {"dry_run": True})
    _, told = opted.take(direct(made, "script", "r3", dry_run=True))
    assert finished(told)[1]["output"] == "dry 1\n"


def test_time_and_output_have_limits(opted: Host, server: Server) -> None:
    loop = b"trap '' TERM\nsleep 60 & while :; do echo aaaaaaaaaa; sleep 0.01; done\n"
    made = server.add("script/loop/1/loop.sh", loop, {"timeout_s": 1, "output_bytes_max": 50})
    began = time.monotonic()
    # the directive may ask for less than was signed, never for more
    _, told = opted.take(direct(made, "script", "r4", timeout_s=900, output_bytes_max=10**6))
    reason, detail = finished(told)
    assert (reason, detail["timed_out"]) == ("timed_out", True)
    assert detail["truncated"]
    assert len(detail["output"]) == 50
    assert detail["exit_code"] != 0
    assert time.monotonic() - began < 30


def test_what_it_leaves_in_the_background_ends_with_it(opted: Host, server: Server) -> None:
    made = server.add("script/bg/1/bg.sh", b"sleep 300 &\necho $!\n", {"timeout_s": 60})
    _, told = opted.take(direct(made, "script", "r5"))
    _, detail = finished(told)
    assert not detail["timed_out"]
    pid = int(detail["output"])
    until = time.monotonic() + 10
    while _lives(pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_as_root_it_runs_as_nobody_unless_the_host_says_otherwise(
    host: Host, server: Server
) -> None:
    (host.state / "agent.toml").write_text(OPTED_IN)
    made = server.add("script/who/1/who.sh", b"id -un; id -G | wc -w\n", {})
    _, told = host.take(direct(made, "script", "r6"))
    assert finished(told)[1]["output"].split() == ["nobody", "1"]
    made = server.add("script/root/1/root.sh", b"id -un\n", {"user": "root"})
    assert "does not allow scripts as root" in host.refused(direct(made, "script", "r7"))[1]
    (host.state / "agent.toml").write_text(f'{OPTED_IN}user = "root"\n')
    _, told = host.take(direct(made, "script", "r8"))
    assert finished(told)[1]["output"] == "root\n"
