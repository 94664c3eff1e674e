"""`vezha`: one command, a noun, a verb.

Each noun is a module `vezha.cli.<noun>` with a Typer application called `app`, imported only
when its noun is asked for, so that `vezha agent run` never pays for numpy.
"""

from __future__ import annotations

import importlib
import sys

import typer
from typer.main import get_command

from vezha import __version__

NOUNS: dict[str, str] = {
    "up": "Start everything on this machine: three contours and an agent.",
    "server": "Run one contour by itself.",
    "agent": "The agent: run, build, enrol.",
    "demo": "A simulated fleet with a story, to see Vezha alive.",
    "fleet": "Hosts that this server knows.",
    "store": "Look at, check, mend, move the stored samples.",
    "promql": "Ask in PromQL; run PromQL test scripts.",
    "rule": "Alert and recording rules: check, test, rehearse.",
    "incident": "Incidents: list, show, acknowledge, resolve.",
    "silence": "Silences: list, add, end.",
    "notify": "Receivers and messages: list, test, outbox.",
    "user": "People who may sign in.",
    "token": "Tokens for the API and for enrolling agents.",
    "audit": "Who did what, when.",
}


def main() -> None:
    """Entry point of the `vezha` command."""
    args = sys.argv[1:]
    noun = next((a for a in args if not a.startswith("-")), None)
    if noun in NOUNS and args and args[0] == noun:
        module = importlib.import_module(f"vezha.cli.{noun}")
        get_command(module.app)(args=args[1:], prog_name=f"vezha {noun}")
        return
    root = typer.Typer(no_args_is_help=True, add_completion=False, help="Vezha, the watchtower.")

    @root.callback(invoke_without_command=True)
    def about(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
        if version:
            typer.echo(__version__)
            raise typer.Exit

    for name, text in NOUNS.items():
        root.command(name, help=text)(_nothing)
    get_command(root)(args=args, prog_name="vezha")


def _nothing() -> None:
    """Stands for a noun in the list of commands; `main` runs the noun's own application."""
