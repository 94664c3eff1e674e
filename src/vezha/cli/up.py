"""`vezha up`: start everything on this machine: three contours and an agent."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from vezha import __version__
from vezha.agent.enrol import enrol, pin
from vezha.agent.errors import AgentError
from vezha.agent.identity import load_identity, save_identity
from vezha.cli.app import EXIT_BROKEN
from vezha.server.children import Plan
from vezha.server.contour import CONTOURS
from vezha.server.errors import ContourError
from vezha.server.limits import ENROL_RETRY_WAITS_S, PREPARE_TIMEOUT_S
from vezha.server.ports import claim_port
from vezha.server.prepared import Prepared
from vezha.server.reading import Address
from vezha.server.settings import Settings, load_settings
from vezha.server.state import StateFolder, StateLock
from vezha.server.supervisor import Supervisor
from vezha.world import World

app = typer.Typer(add_completion=False)

_VEZHA = (sys.executable, "-P", "-m", "vezha")
_SHOWN = ("vezha", "agent")
"""Stands in the launcher's command line for whoever looks for it there."""


@app.command(help="Start everything on this machine: three contours and an agent. Ctrl-C stops it.")
def up(
    state: Annotated[
        str, typer.Option(help="The state folder.", envvar="VEZHA_STATE", metavar="FOLDER")
    ] = "state",
    set_: Annotated[
        list[str],
        typer.Option("--set", help="A setting for this run.", metavar="SECTION.KEY=VALUE"),
    ] = [],  # noqa: B006 - Typer reads it and never changes it
    agent: Annotated[bool, typer.Option(help="Whether to watch this machine itself.")] = True,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show here what goes to the logs.")
    ] = False,
) -> None:
    """Prepare, supervise, say good-bye."""
    folder = StateFolder.at(state)
    folder.make()
    lock = StateLock(folder)
    try:
        settings = _with_ports(load_settings(folder, os.environ, set_))
        _Up(settings, set_, with_agent=agent, verbose=verbose).run()
    finally:
        lock.release()


@dataclass(slots=True)
class _Up:
    """One run of `vezha up`."""

    settings: Settings
    assignments: Sequence[str]
    with_agent: bool
    verbose: bool

    def run(self) -> None:
        """Until Ctrl-C. Raises `ContourError` where a contour gave up at the first start."""
        prepared = self._prepare()
        supervisor = Supervisor(
            settings=self.settings,
            plans=[Plan(name, self._argv("server", name)) for name in CONTOURS],
            world=World(),
            tell=lambda name, text: _say(f"{name} {text}"),
            hear=self._hear,
            on_ready=lambda: self._greet(supervisor, prepared),
            on_stopping=lambda: _say("Stopping ..."),
        )
        supervisor.run()
        _say(f"Stopped. All state is in {self.settings.state.path}.")

    def _argv(self, *words: str) -> tuple[str, ...]:
        """A command line of ours, for the same state folder and settings."""
        chosen = [f"web.listen={self.settings.web.listen}"]
        chosen += [f"channel.listen={self.settings.channel.listen}"]
        options = [o for a in (*self.assignments, *chosen) for o in ("--set", a)]
        return (*_VEZHA, *words, "--state", str(self.settings.state.path), *options)

    def _prepare(self) -> Prepared:
        """Migrations and the like, in a process of their own. Ends the program where they fail."""
        try:
            done = subprocess.run(
                self._argv("server", "prepare"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=PREPARE_TIMEOUT_S,
                check=False,
                text=True,
            )
        except subprocess.TimeoutExpired as error:
            raise ContourError(
                f"the preparation took longer than {PREPARE_TIMEOUT_S:g} s: see whether the "
                "database that ledger.url names answers"
            ) from error
        if done.returncode:
            # It has said why on standard error, which is ours too.
            raise typer.Exit(done.returncode if done.returncode > 0 else EXIT_BROKEN)
        return Prepared.from_json(done.stdout)

    def _hear(self, name: str, line: str) -> None:
        if self.verbose:
            _say(f"{name:>5} | {line}")

    def _greet(self, supervisor: Supervisor, prepared: Prepared) -> None:
        """All contours serve: say where, and begin to watch this machine."""
        settings, state = self.settings, self.settings.state
        rows = [("Open", settings.public_url)]
        with contextlib.suppress(
            OSError
        ):  # without it other commands name the address of the settings
            state.address_file.write_text(f"{settings.public_url}\n")
        if prepared.sign_in_password:
            rows += [
                (
                    "Sign in",
                    f"{prepared.sign_in_name} with the password "
                    f"{prepared.sign_in_password} (once; you then choose your own)",
                ),
            ]
        port = settings.channel.listen.port
        rows += [
            ("Agents", f"connect to port {port}, TLS; add hosts on the Fleet page"),
            ("State", f"{state.path} (all there is: keep this folder, and you keep everything)"),
            ("Logs", str(state.logs)),
        ]
        _say(f"Vezha {__version__} is watching.", "")
        _say(*(f"  {name:<8} {text}" for name, text in rows), "")
        if prepared.development_keys:
            _say(
                "Changes to agents are signed with keys that Vezha made for trying out "
                f"({state.development_keys}).",
                "They are not for production: see vezha release keygen --help.",
                "",
            )
        _say("Ctrl-C stops it; the same command continues.")
        if self.with_agent and prepared.agent_revoked:
            _say(
                "This machine's agent was revoked and stays off; remove it for good with "
                f"rm -r {state.agent}, or start with --no-agent."
            )
        elif self.with_agent:
            threading.Thread(
                target=self._watch_this_machine, args=(supervisor, prepared), daemon=True
            ).start()

    def _watch_this_machine(self, supervisor: Supervisor, prepared: Prepared) -> None:
        world = World()
        for wait_s in (*ENROL_RETRY_WAITS_S, None):
            try:
                enrol_local_agent(self.settings, prepared, world)
                break
            except AgentError as error:
                if wait_s is None:
                    _say(f"This machine is not watched: {error}. Start again to try again.")
                    return
            # The data contour may be on its way up again.
            world.clock.sleep(wait_s)
        state = self.settings.state
        words = ("--state", str(state.agent), "--factory", str(state.agent_file))
        command = (sys.executable, "-P", "-m", "vezha.cli.launcher_process", *_SHOWN, *words)
        supervisor.add(Plan("agent", command, announces=False))


def enrol_local_agent(settings: Settings, prepared: Prepared, world: World) -> None:
    """See to it that the agent of this machine has an identity that fits this server's settings.

    Raises `AgentError`.
    """
    folder = str(settings.state.agent)
    server = _reachable(settings)
    if prepared.agent_token:
        enrol(world, folder, server, prepared.agent_token, prepared.fingerprint)
        return
    _pin_keys(settings, world, folder)
    # The port or the authority may be others than at enrolment.
    ca = Path(settings.tls_files[0])
    identity = load_identity(world, folder)
    now = replace(identity, server=server, ca_pem=ca.read_text() if ca.exists() else "")
    if now != identity:
        save_identity(world, folder, now)


def _pin_keys(settings: Settings, world: World, folder: str) -> None:
    """An agent that was enrolled before there were keys pins them now: it is this very machine."""
    path = settings.state.releases / "metadata"
    roots = sorted(path.glob("*.root.json"), key=lambda p: int(p.name.partition(".")[0]))
    if roots and not world.disk.exists(f"{folder}/trust/root.json"):
        pin(world, folder, roots[-1].read_bytes())


def _reachable(settings: Settings) -> str:
    """`host:port` by which this machine's own agent reaches the channel, as certified."""
    listen = settings.channel.listen
    host = "127.0.0.1" if listen.host in ("0.0.0.0", "::", "") else listen.host  # noqa: S104
    if settings.tls.cert and settings.channel.public_names:
        host = settings.channel.public_names[0]
    return str(Address(host, listen.port))


def _with_ports(settings: Settings) -> Settings:
    """*settings* with listeners that are free, chosen where a port is 0."""
    web = claim_port("web.listen", settings.web.listen)
    channel = claim_port("channel.listen", settings.channel.listen)
    return replace(
        settings,
        web=replace(settings.web, listen=web),
        channel=replace(settings.channel, listen=channel),
    )


def _say(*lines: str) -> None:
    """Tell the operator. Nobody there to read, or no room for it, is no reason to stop watching."""
    with contextlib.suppress(OSError):
        # One write, since two threads speak here.
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
