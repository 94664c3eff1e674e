"""Real agents under the real launcher, and agent files that misbehave, for tests of change."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select

import vezha
from vezha.access import SYSTEM, Role, Subject, SubjectKind
from vezha.access.certificate import fingerprint
from vezha.access.enrolment import create_enrolment
from vezha.agent.build import of_file
from vezha.agent.enrol import enrol
from vezha.agent.launcher_file import launcher_bytes
from vezha.agent.zipapp import build_bytes
from vezha.ledger import Ledger
from vezha.ledger.tables import directive, host, progress, running
from vezha.server.releases import TARGETS_KEY, publish_targets
from vezha.server.state import StateFolder
from vezha.trust.artifact import Artifact, artifact_from
from vezha.trust.folder import ReleaseFolder
from vezha.trust.keys import load
from vezha.trust.repository import draft, sign_targets
from vezha.world import World

CRASH = {"agent/run.py": ("    world = world or World()\n", '    raise SystemExit("broken")\n')}
MUTE = {
    "agent/link.py": (
        "            found = session.next_frame(spool)\n",
        "            found = None\n",
    )
}
BUSY = {
    "agent/run.py": (
        "    agent.run()\n",
        "    spin = lambda: all(True for _ in iter(int, 1))\n"
        "    threading.Thread(target=spin, daemon=True).start()\n    agent.run()\n",
    )
}
GOOD = {"agent/run.py": ("    agent.run()\n", "    agent.run()  # another build\n")}
"""What to change in the sources, by file: what stands there, and what shall."""


def variant(folder: Path, changes: Mapping[str, tuple[str, str]]) -> bytes:
    """The agent's file, built from changed sources."""
    copy = folder / "vezha"
    shutil.rmtree(copy, ignore_errors=True)
    parts = ("agent", "checks", "model", "trust", "wire", "world")
    source = Path(vezha.__file__).parent
    copy.mkdir(parents=True)
    shutil.copy(source / "__init__.py", copy)
    for part in parts:
        shutil.copytree(source / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (old, new) in changes.items():
        text = (copy / name).read_text()
        assert old in text, f"{name} has no {old!r}"
        (copy / name).write_text(text.replace(old, new))
    return build_bytes(copy)


@dataclass
class Publisher:
    """The people with the offline keys (here: those for trying out), and the ledger's rows."""

    state: Path
    generation: int = 0
    world: World = field(default_factory=World)

    def ledger(self) -> Ledger:
        return Ledger.open(f"sqlite:///{self.state / 'ledger.db'}")

    def sign(self, contents: Mapping[str, tuple[bytes, dict[str, Any]]]) -> dict[str, Artifact]:
        """Sign and publish files by target."""
        state = StateFolder.at(self.state)
        folder = ReleaseFolder(self.world, str(state.releases))
        artifacts = {t: artifact_from(t, c, custom) for t, (c, custom) in contents.items()}
        key = load((state.development_keys / TARGETS_KEY).read_bytes())
        now_s = self.world.clock.now()
        targets = sign_targets(draft(folder.files(), artifacts.values(), now_s), [key])
        ledger = self.ledger()
        try:
            actor = Subject(SubjectKind.SYSTEM, "test", Role.ADMIN)
            files = {t: c for t, (c, _) in contents.items()}
            publish_targets(ledger, folder, targets, files, actor, now_s)
        finally:
            ledger.close()
        return artifacts

    def direct(
        self, name: str, artifact: Artifact | None, kind: str = "", run: str = "", **detail: Any
    ) -> int:
        """Have a host run that; the generation, which is newer than every rollout's."""
        self.generation = max(self.generation + 1, int(self.world.clock.now() * 1000))
        kind = kind or {"agent": "release"}.get(artifact.kind, artifact.kind) if artifact else kind
        ledger = self.ledger()
        try:
            with ledger.begin() as connection:
                host_id = connection.execute(
                    select(host.c.id).where(host.c.name == name)
                ).scalar_one()
                connection.execute(
                    directive.delete().where(
                        directive.c.host_id == host_id,
                        directive.c.kind == kind,
                        directive.c.run == run,
                    )
                )
                connection.execute(
                    directive.insert().values(
                        host_id=host_id,
                        kind=kind,
                        run=run,
                        generation=self.generation,
                        target=artifact.target if artifact else "",
                        sha256=artifact.sha256 if artifact else "",
                        length=artifact.length if artifact else 0,
                        detail=detail,
                        rollout_id=None,
                        updated_ms=int(self.world.clock.now() * 1000),
                    )
                )
        finally:
            ledger.close()
        return self.generation

    def told(self, name: str, generation: int = 0) -> list[tuple[str, str]]:
        """Steps and reasons that a host told."""
        return [(row.step, row.reason) for row in self.rows(name, generation)]

    def rows(self, name: str, generation: int = 0) -> list[Any]:
        """What a host told."""
        ledger = self.ledger()
        try:
            with ledger.read() as connection:
                wanted = (
                    select(progress)
                    .join(host, host.c.id == progress.c.host_id)
                    .where(host.c.name == name)
                    .order_by(progress.c.number)
                )
                if generation:
                    wanted = wanted.where(progress.c.generation == generation)
                return list(connection.execute(wanted).all())
        finally:
            ledger.close()

    def running(self, name: str) -> Any:
        """What a host said that it runs; None where it has said nothing."""
        ledger = self.ledger()
        try:
            with ledger.read() as connection:
                return connection.execute(
                    select(running)
                    .join(host, host.c.id == running.c.host_id)
                    .where(host.c.name == name)
                ).first()
        finally:
            ledger.close()


@dataclass
class LaunchedAgent:
    """One agent, installed in a folder as `install` lays it out, under its launcher."""

    folder: Path
    name: str
    process: subprocess.Popen[bytes] | None = None

    def install(self, state: Path, port: int, content: bytes, settings: str = "") -> None:
        """Enrol it with the server of that state folder, and lay out its files."""
        ledger = Ledger.open(f"sqlite:///{state / 'ledger.db'}")
        invitation = create_enrolment(ledger, SYSTEM, int(time.time() * 1000))
        ledger.close()
        world = World()
        print_ = fingerprint(world, str(state / "tls" / "server.pem"))
        server = f"127.0.0.1:{port}"
        enrol(world, str(self.folder), server, invitation.token, print_, self.name)
        (self.folder / "agent.toml").write_text(settings)
        (self.folder / "vezha-agent.pyz").write_bytes(content)
        with zipfile.ZipFile(self.folder / "vezha-agent.pyz") as archive:
            launcher = launcher_bytes((n, archive.read(n)) for n in archive.namelist())
        assert launcher is not None
        (self.folder / "vezha-launcher.pyz").write_bytes(launcher)

    def start(self) -> None:
        log = (self.folder / "agent.log").open("ab")
        words = ["--state", str(self.folder), "--factory", str(self.folder / "vezha-agent.pyz")]
        launcher = str(self.folder / "vezha-launcher.pyz")
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", launcher, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)

    def kill(self) -> None:
        """kill -9 of the launcher; its agent ends by itself."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def agents(self) -> list[int]:
        """Process ids of the agents that run in the folder."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_text().split("\0")
            except OSError:
                continue
            if "run" in words and str(self.folder) in words and words[1:2] == ["-I"]:
                found.append(int(entry.name))
        return found

    def kill_agents(self) -> None:
        for pid in self.agents():
            os.kill(pid, signal.SIGKILL)

    def launcher_state(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / "launcher/state.json").read_text())
        except (OSError, ValueError):
            return {}
        return found

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()


def release(publisher: Publisher, version: str, content: bytes) -> Artifact:
    """Sign and publish an agent's file."""
    build = of_file(content)
    target = f"agent/vezha-agent/{version}/vezha-agent.pyz"
    custom = {"build": build.build, "version": version, "launcher": 1}
    return publisher.sign({target: (content, custom)})[target]


def wait_until(condition: Callable[[], object], seconds: float, told: Callable[[], str]) -> None:
    """Wait for *condition*; *told* says in the failed test what was instead."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, told()
        time.sleep(0.1)
