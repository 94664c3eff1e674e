"""Run one contour by itself, as the supervisor does."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from vezha.cli.app import EXIT_WRONG, is_for_operator
from vezha.server import lifeline
from vezha.server.contour import CONTOURS, StopSignal, load_contour
from vezha.server.logs import configure_logs
from vezha.server.settings import load_settings
from vezha.server.state import StateFolder
from vezha.server.trimming import keep_trimmed
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

StateOption = Annotated[
    str, typer.Option("--state", help="The state folder.", envvar="VEZHA_STATE", metavar="FOLDER")
]
SetOption = Annotated[
    list[str],
    typer.Option("--set", help="A setting for this run.", metavar="SECTION.KEY=VALUE"),
]


def _command(contour: str, what: str) -> None:
    def command(state: StateOption = "state", set_: SetOption = []) -> None:  # noqa: B006
        raise typer.Exit(run_contour(contour, state, set_))

    app.command(contour, help=f"Run the contour that {what}.")(command)


for _name, _what in CONTOURS.items():
    _command(_name, _what)


@app.command("prepare", hidden=True)
def prepare_command(state: StateOption = "state", set_: SetOption = []) -> None:  # noqa: B006
    """Make what must be there before the contours start; prints what the supervisor must know."""
    from vezha.agent.zipapp import build
    from vezha.server.preparation import prepare

    folder = StateFolder.at(state)
    folder.make()
    build(folder.agent_file)
    print(prepare(load_settings(folder, os.environ, set_), World()).to_json())


def run_contour(contour: str, state: str, assignments: list[str]) -> int:
    """Run *contour* until it is asked to stop; its exit code."""
    held = lifeline.held()
    stop = StopSignal()
    stop.on_signals()
    try:
        folder = StateFolder.at(state)
        folder.make()
        settings = load_settings(folder, os.environ, assignments)
        configure_logs(settings.log, contour)
        keep_trimmed(stop)
        return load_contour(contour).run(settings, held.ready if held else _nothing, stop)
    except Exception as error:
        if not is_for_operator(error):
            raise
        if held:
            held.failed(str(error))
        typer.echo(f"vezha: {error}", err=True)
        return EXIT_WRONG


def _nothing() -> None:
    """Nobody waits for this contour to be ready."""
