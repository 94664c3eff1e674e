"""Scenarios: list, show, lint; the rounds in which they were walked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from vezha.alerting.ask import check_expression
from vezha.cli.opened import JsonOption, StateOption, now_ms, opened_ledger, settings_of, show_ms
from vezha.cli.table import print_table
from vezha.scenario.book import ScenarioBook, Shelf
from vezha.scenario.errors import ScenarioError
from vezha.scenario.file import parse_scenario
from vezha.scenario.limits import ROUNDS_LISTED_MAX
from vezha.scenario.round import Use, read_round, read_rounds, read_uses

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
NameArgument = Annotated[str, typer.Argument(help="The scenario's name.", metavar="NAME")]


def _shelf(state: str) -> Shelf:
    shelf = ScenarioBook(str(settings_of(state).state.scenarios)).shelf()
    for file, problems in shelf.problems.items():
        for problem in problems:
            typer.echo(f"{file}: {problem}", err=True)
    return shelf


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name)
    return table


@app.command("list", help="All scenarios, and how often each was used within 30 days.")
def list_(state: StateOption = "state", json: JsonOption = False) -> None:
    """A table."""
    found = _shelf(state).scenarios
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        uses = read_uses(connection, now_ms())
    if json:
        document = [
            {**one.document(), "version": one.version, "unused": name not in uses}
            for name, one in sorted(found.items())
        ]
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    table = _table("Name", "Title", "Views", "Every", "Run", "Watched", "Played", "Last")
    for name, one in sorted(found.items()):
        use = uses.get(name, Use())
        every = f"{one.every_ms // 60_000} min" if one.every_ms else "–"
        table.add_row(
            name, escape(one.title), str(len(one.views)), every, str(use.run), str(use.watch),
            str(use.play), show_ms(use.last_ms) if use.last_ms else "unused",
        )  # fmt: skip
    print_table(table)


@app.command(help="A scenario as it is written.")
def show(name: NameArgument, state: StateOption = "state") -> None:
    """Its text."""
    typer.echo(_shelf(state).find(name).text, nl=False)


@app.command(help="Check scenario files without a server; exit code 1 if one is wrong.")
def lint(
    files: Annotated[list[Path], typer.Argument(help="Files.", metavar="FILE…")],
) -> None:
    """A sentence for each fault."""
    bad = False
    for path in files:
        try:
            parse_scenario(path.read_text("utf-8"), check_expression)
            typer.echo(f"{path}: good")
        except ScenarioError as fault:
            bad = True
            for problem in fault.problems:
                typer.echo(f"{path}: {problem}")
        except (OSError, UnicodeDecodeError) as fault:
            bad = True
            typer.echo(f"{path}: cannot be read: {fault}")
    if bad:
        raise typer.Exit(1)


@app.command(help="Rounds, the newest first; with a number one of them, view by view.")
def rounds(
    number: Annotated[int, typer.Argument(help="A round's number.", metavar="[NUMBER]")] = 0,
    scenario: Annotated[str, typer.Option(help="Of this scenario only.", metavar="NAME")] = "",
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        if number:
            row, then, looks = read_round(connection, number)
            document = dict(row._mapping) | {
                "looks": [
                    {"title": view.title, "at": view.at, **dict(look._mapping)}
                    for view, look in zip(then.views, looks, strict=True)
                ]
            }
            if json:
                typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
                return
            table = _table("View", "State", "By", "What was said")
            for one in document["looks"]:
                table.add_row(one["title"], one["state"], one["by"], one["said"])
        else:
            found = read_rounds(connection, scenario, ROUNDS_LISTED_MAX)
            if json:
                document_ = [dict(one._mapping) for one in found]
                typer.echo(orjson.dumps(document_, option=orjson.OPT_INDENT_2))
                return
            if not found:
                typer.echo("No rounds.")
                return
            table = _table("#", "Scenario", "Kind", "State", "Began", "By", "Odd")
            for one in found:
                table.add_row(
                    str(one.id), one.name, one.kind, one.state, show_ms(one.began_ms), one.by,
                    str(one.odd),
                )  # fmt: skip
    print_table(table)
