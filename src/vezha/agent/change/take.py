"""The child process that takes a change: it verifies, stages, or runs a script, and ends.

It has no connection of its own: its parent, the resident agent, brings it pieces of files. Both speak
over its standard input and output: a line of JSON, then, in answers, as many bytes as the line says.
Whatever breaks here breaks nothing that measures.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import IO, Any

from vezha.agent.build import of_file
from vezha.agent.change.script_run import finished_again, record_of, run_script
from vezha.agent.config import AgentConfig
from vezha.agent.errors import AgentError
from vezha.agent.identity import load_identity
from vezha.agent.limits import FETCH_LATER_MAX, FETCH_LATER_S, STAGE_FREE_BYTES_MIN
from vezha.agent.remote_config import FOLDER as CONFIGS
from vezha.agent.remote_config import check_whole, load_effective, path_of
from vezha.trust.agreement import agree
from vezha.trust.artifact import Artifact
from vezha.trust.errors import Refused
from vezha.trust.verify import Trusted, refresh
from vezha.wire import message as m
from vezha.wire.directive import DOWNLOADED, FINISHED, REFUSED, STAGED, Directive, directive_of
from vezha.wire.limits import CHUNK_BYTES_MAX
from vezha.world import World

TRUST = "trust"
KEPT = ("root.json", "timestamp.json", "snapshot.json", "targets.json")
LAUNCHER_PROTOCOL = 1


class Broken(Exception):
    """The connection, or the disk, broke: nothing was decided, and it is tried again later."""


class Parent:
    """The resident agent, at the other end of standard input and output."""

    def __init__(self, source: IO[bytes], sink: IO[bytes]) -> None:
        self._source = source
        self._sink = sink

    def say(self, **told: Any) -> None:
        """One line."""
        self._sink.write(json.dumps(told).encode() + b"\n")
        self._sink.flush()

    def progress(self, directive: Directive, step: str, reason: str = "", **detail: Any) -> None:
        """Something became of a directive."""
        self.say(
            progress=[directive.kind, directive.generation, directive.sha256, step, directive.run],
            reason=reason,
            detail=detail,
        )

    def fetch(self, path: str, offset: int, length: int) -> m.Chunk:
        """A piece of a file. Raises Broken."""
        self.say(fetch=[path, offset, length])
        line = self._source.readline()
        if not line:
            raise Broken("the agent is gone")
        told = json.loads(line)
        if "broken" in told:
            raise Broken(told["broken"])
        data = self._source.read(told["bytes"])
        return m.Chunk(0, told["status"], told["offset"], told["total"], data)


class Taker:
    """One job."""

    def __init__(self, world: World, parent: Parent, job: Mapping[str, Any]) -> None:
        self._world = world
        self._parent = parent
        self._state = str(job["state"])
        self._config = str(job["config"])
        self._slot = str(job["slot"])
        self._own_config = str(job["own_config"])
        self._directives = [directive_of(entry) for entry in job["directives"]]

    def work(self) -> dict[str, Any]:
        """Take the directives; what was staged, by kind. Raises Broken."""
        staged: dict[str, Any] = {}
        doing = self._directives[0]
        try:
            for doing in self._directives:
                kept = record_of(self._world, self._state, doing.run) if doing.run else None
                if kept is not None:
                    reason, detail = finished_again(kept)
                    self._parent.progress(doing, FINISHED, reason, **detail)
                    return staged
            settings = load_effective(
                self._world, self._state, self._config, self._own_config
            ).config
            trusted = self._trusted()
            for doing in self._directives:
                if doing.is_own:
                    staged[doing.kind] = {}
                    continue
                artifact = trusted.artifact(doing.target)
                agree(doing, artifact)
                self._check_first(doing, artifact, settings)
                content = self._download(artifact)
                self._parent.progress(doing, DOWNLOADED)
                staged[doing.kind] = self._stage(doing, artifact, content, settings)
        except Refused as refused:
            self._refuse(doing, refused.code, refused.text)
            return {}
        except AgentError as error:
            self._refuse(doing, "bad_config", str(error))
            return {}
        except OSError as error:
            raise Broken(str(error)) from None
        return staged

    def _refuse(self, doing: Directive, code: str, text: str) -> None:
        """One of a pair is refused: so is the other, since they belong together."""
        for directive in self._directives:
            if directive is doing or not directive.run:
                self._parent.progress(directive, REFUSED, code, text=text[:500])

    # what is authentic ------------------------------------------------------------------------------

    def _trusted(self) -> Trusted:
        folder, disk = f"{self._state}/{TRUST}", self._world.disk
        try:
            trusted = Trusted(disk.read(f"{folder}/root.json"))
        except FileNotFoundError:
            raise Refused(
                "unpinned",
                "this agent was enrolled without the keys' metadata: enrol it anew, or run "
                "`vezha-agent trust`",
            ) from None
        with contextlib.suppress(FileNotFoundError):
            trusted.remember(
                disk.read(f"{folder}/timestamp.json"), disk.read(f"{folder}/snapshot.json")
            )
        kept = refresh(trusted, self._metadata, self._world.clock.now())
        for name in KEPT:
            if name in kept:
                disk.write_whole(f"{folder}/{name}", kept[name])
        return trusted

    def _metadata(self, name: str, bytes_max: int) -> bytes | None:
        found = b""
        while True:
            chunk = self._piece(f"metadata/{name}", len(found))
            if chunk is None:
                return None
            if chunk.total > bytes_max:
                raise Refused("wrong_length", f"metadata/{name} would have {chunk.total} bytes")
            found += self._grown(f"metadata/{name}", found, chunk, chunk.total)
            if len(found) >= chunk.total:
                return found

    def _download(self, artifact: Artifact) -> bytes:
        """The file, resumed where an earlier download was broken off. Raises Refused, Broken."""
        folder = f"{self._state}/{TRUST}/partial"
        path = f"{folder}/{artifact.sha256}"
        self._world.disk.make_folder(folder)
        for name in self._world.disk.list_names(folder):
            if name != artifact.sha256:
                self._world.disk.remove(f"{folder}/{name}")
        file = self._world.disk.open_append(path)
        try:
            if file.size > artifact.length:
                file.truncate(0)
            while file.size < artifact.length:
                chunk = self._piece(f"targets/{artifact.path}", file.size)
                if chunk is None:
                    raise Refused("missing", f"the server does not have {artifact.target}")
                if chunk.total != artifact.length:
                    raise Refused(
                        "wrong_length",
                        f"{artifact.target} would have {chunk.total} bytes, {artifact.length} are "
                        "signed",
                    )
                file.write(self._grown(artifact.target, b"", chunk, artifact.length, file.size))
            file.sync()
        finally:
            file.close()
        content = self._world.disk.read(path, size=artifact.length + 1)
        try:
            artifact.check(content)
        except Refused:
            self._world.disk.remove(path)
            raise
        return content

    def _piece(self, path: str, offset: int) -> m.Chunk | None:
        for _ in range(FETCH_LATER_MAX):
            chunk = self._parent.fetch(path, offset, CHUNK_BYTES_MAX)
            if chunk.status != m.CHUNK_LATER:
                return chunk if chunk.status == m.CHUNK_HERE else None
            self._world.clock.sleep(FETCH_LATER_S)
        raise Broken(f"the server has no time for {path}")

    def _grown(
        self, name: str, found: bytes, chunk: m.Chunk, total: int, at: int | None = None
    ) -> bytes:
        """The bytes of a piece, which must be the next ones, and some."""
        if chunk.offset != (len(found) if at is None else at):
            raise Refused("wrong_length", f"another piece of {name} came than was asked for")
        if not chunk.data and total:
            raise Refused("wrong_length", f"{name} ends before its {total} bytes")
        return chunk.data

    # what becomes of it --------------------------------------------------------------------------------

    def _check_first(self, directive: Directive, artifact: Artifact, settings: AgentConfig) -> None:
        """What needs no download. Raises Refused."""
        if directive.kind == "script":
            from vezha.agent.change.script_run import check_allowed

            check_allowed(settings.scripts, artifact.name)
        if directive.kind == "release":
            if artifact.custom.get("launcher", 1) != LAUNCHER_PROTOCOL:
                raise Refused("bad_build", "that build needs another launcher: install it by hand")
            wanted = str(artifact.custom.get("python", "3.10")).split(".")
            if tuple(map(int, wanted)) > sys.version_info[: len(wanted)]:
                raise Refused("bad_build", f"that build needs Python {'.'.join(wanted)}")
        free = self._world.disk.free_bytes(self._state)
        if free < STAGE_FREE_BYTES_MIN + 3 * artifact.length:
            raise Refused("no_space", f"{free >> 20} MiB are free in {self._state}")

    def _stage(
        self, directive: Directive, artifact: Artifact, content: bytes, settings: AgentConfig
    ) -> dict[str, Any]:
        disk = self._world.disk
        if directive.kind == "script":
            told = run_script(
                self._world, self._state, directive, artifact, content, settings.scripts
            )
            reason = "timed_out" if told.get("timed_out") else ""
            self._parent.progress(directive, FINISHED, reason, **told)
            return {}
        if directive.kind == "config":
            check_whole(content)
            disk.make_folder(f"{self._state}/{CONFIGS}")
            disk.write_whole(path_of(self._state, artifact.sha256), content)
            # also over what this host has of its own
            effective = load_effective(self._world, self._state, self._config, artifact.sha256)
            if effective.trouble:
                raise Refused("bad_config", effective.trouble)
            self._look_at_checks(effective.config)
            self._parent.progress(directive, STAGED)
            return {"sha256": artifact.sha256}
        build = of_file(content)
        if build.build != artifact.custom.get("build"):
            raise Refused("bad_build", f"the file is build {build.build}, another one was signed")
        disk.make_folder(f"{self._state}/launcher/slots")
        disk.write_whole(f"{self._state}/launcher/slots/{self._slot}.pyz", content, 0o700)
        self._parent.progress(directive, STAGED)
        return {"sha256": artifact.sha256, "build": build.build, "slot": self._slot}

    def _look_at_checks(self, config: AgentConfig) -> None:
        """Whether this host can run the checks meant for it: its files, the programs it allows.
        Raises ConfigError."""
        if config.checks:
            from vezha.agent.checking import checks_for

            host = load_identity(self._world, self._state).host
            checks_for(config.checks, host, config.plugins, self._world, self._state)


def main() -> int:
    """Read one job from standard input, take it, end."""
    os.nice(10)
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # nothing else may write there
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    parent = Parent(sys.stdin.buffer, sink)
    job = json.loads(sys.stdin.buffer.readline())
    try:
        parent.say(staged=Taker(World(), parent, job).work())
    except Broken as error:
        parent.say(broken=str(error))
    return 0
