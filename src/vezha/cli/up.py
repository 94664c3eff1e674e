"""`vezha up`: start everything on this machine: three contours and an agent."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated

import typer

from vezha import __version__
from vezha.cli.app import EXIT_BROKEN
from vezha.cli.app import run as dispatch
from vezha.cli.own_agent import enrol_and_become, enrol_patiently, identity_now
from vezha.server import image, lifeline, worker_process
from vezha.server.children import Plan
from vezha.server.contour import CONTOURS
from vezha.server.errors import ContourError
from vezha.server.forked import can_fork, open_streams, output_of
from vezha.server.limits import PREPARE_TIMEOUT_S
from vezha.server.ports import claim_port
from vezha.server.prepared import Prepared
from vezha.server.settings import Settings, load_settings
from vezha.server.state import StateFolder, StateLock
from vezha.server.supervisor import Supervisor
from vezha.world import World

app = typer.Typer(add_completion=False)

_VEZHA = (sys.executable, "-P", "-m", "vezha")
_COMMANDS = ("vezha.cli.server", "vezha.agent.zipapp")
"""Loaded for the children, too."""
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
    open_streams()
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
    forks: bool = field(default_factory=can_fork)

    def run(self) -> None:
        """Until Ctrl-C. Raises `ContourError` where a contour gave up at the first start."""
        if self.forks:
            image.load(os.environ, _COMMANDS)
        prepared = self._prepare()
        held = lifeline.held()
        supervisor = Supervisor(
            settings=self.settings,
            plans=[self._plan(name) for name in CONTOURS],
            world=World(),
            forks=self.forks,
            workers={name: partial(_work, name) for name in worker_process.NAMES},
            own_lifeline=held.connection if held else None,
            tell=lambda name, text: _say(f"{name} {text}"),
            hear=self._hear,
            on_ready=lambda: self._greet(supervisor, prepared),
            on_stopping=lambda: _say("Stopping ..."),
        )
        supervisor.run()
        _say(f"Stopped. All state is in {self.settings.state.path}.")

    def _plan(self, contour: str) -> Plan:
        return Plan(contour, (*_VEZHA, *self._words(contour)), main=partial(self._be, contour))

    def _words(self, verb: str) -> list[str]:
        """A command of ours, for the same state folder and settings."""
        options = [o for a in self._assigned for o in ("--set", a)]
        return ["server", verb, "--state", str(self.settings.state.path), *options]

    @property
    def _assigned(self) -> list[str]:
        settings = self.settings
        chosen = [f"web.listen={settings.web.listen}", f"channel.listen={settings.channel.listen}"]
        return [*self.assignments, *chosen]

    def _be(self, contour: str) -> int:
        """The forked child."""
        from vezha.cli.server import run_contour

        return run_contour(contour, str(self.settings.state.path), self._assigned)

    def _prepare(self) -> Prepared:
        """Migrations and the like, in a process of their own. Ends the program where they fail."""
        words = self._words("prepare")
        try:
            if self.forks:
                code, told = output_of(
                    partial(dispatch, words), PREPARE_TIMEOUT_S, ("vezha", *words[:2])
                )
            else:
                done = subprocess.run(
                    [*_VEZHA, *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    timeout=PREPARE_TIMEOUT_S,
                    check=False,
                )
                code, told = done.returncode, done.stdout
        except (subprocess.TimeoutExpired, TimeoutError) as error:
            raise ContourError(
                f"the preparation took longer than {PREPARE_TIMEOUT_S:g} s: see whether the "
                "database that ledger.url names answers"
            ) from error
        if code:
            # It has said why on standard error, which is ours too.
            raise typer.Exit(code if code > 0 else EXIT_BROKEN)
        return Prepared.from_json(told.decode())

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
            self._watch_this_machine(supervisor, prepared)

    def _watch_this_machine(self, supervisor: Supervisor, prepared: Prepared) -> None:
        """Enrol the agent, then run it: in the process that it will be, or on a thread of this."""
        state = self.settings.state
        words = ("--state", str(state.agent), "--factory", str(state.agent_file))
        command = (sys.executable, "-P", "-m", "vezha.cli.launcher_process", *_SHOWN, *words)
        plan = Plan("agent", command, announces=False)
        world = World()
        before = identity_now(self.settings, world)
        why_not = partial(enrol_patiently, self.settings, prepared, world, before)
        if self.forks:
            supervisor.add(replace(plan, main=partial(enrol_and_become, why_not, command)))
            return

        def watch() -> None:
            if reason := why_not():
                _say(f"This machine is not watched: {reason}. Start again to try again.")
            else:
                supervisor.add(plan)

        threading.Thread(target=watch, daemon=True).start()


def _work(name: str, arguments: Sequence[str]) -> None:
    """The forked worker."""
    worker_process.main([name, *arguments])


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
    with contextlib.suppress(OSError, AttributeError):  # it may have been closed at our start
        # One write, since two threads speak here.
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
