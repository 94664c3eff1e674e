"""`vezha dependency`: list, add, remove, suggest, accept, dismiss, lint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from sqlalchemy import Connection

from vezha.access import Action
from vezha.api.dependencies import row_view, suggestion_view
from vezha.cli.opened import JsonOption, StateOption, audit, now_ms, nudge, opened_ledger, person
from vezha.cli.table import show_table
from vezha.incidents.dependency import LABEL, Target, of_label
from vezha.incidents.dependency_file import DependencyFile, parse_dependencies
from vezha.incidents.dependency_rows import (
    DISMISSED,
    add_dependency,
    list_rows,
    read_dependencies,
    remove_dependency,
)
from vezha.incidents.dependency_rows import (
    dismiss as dismiss_row,
)
from vezha.incidents.errors import DependencyError
from vezha.incidents.rows import read_place
from vezha.incidents.suggestion import Learned, learn, read_failures
from vezha.server.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

ChildArgument = Annotated[
    str, typer.Argument(help="A host, or matchers: 'site=\"kyiv\"'.", metavar="CHILD")
]
WhyOption = Annotated[str, typer.Option("--why", "-m", help="Why.")]


def _file(settings: Settings) -> DependencyFile:
    file = DependencyFile(str(settings.state.dependencies))
    file.refresh()
    return file


@app.command("list", help="What depends on what: kept, from dependencies.toml, from labels.")
def list_(json: JsonOption = False, state: StateOption = "state") -> None:
    """A table."""
    with opened_ledger(state) as (settings, ledger), ledger.read() as connection:
        rows = [row_view(r) for r in list_rows(connection)]
        place = read_place(connection)
    file = _file(settings)
    others = list(file.dependencies)
    for host, labels in sorted(place.labels.items()):
        others += of_label(Target(host=host), labels.get(LABEL, ""))
    rows += [
        {"id": None, "child": str(d.child), "parents": [str(p) for p in d.parents], "why": d.why,
         "source": d.source, "author": ""}
        for d in others
    ]  # fmt: skip
    if json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
    elif rows:
        lines = [
            ("–" if row["id"] is None else str(row["id"]), row["child"],
             " or ".join(row["parents"]), row["source"], row["why"])
            for row in rows
        ]  # fmt: skip
        show_table(("#", "What", "Depends on", "From", "Why"), lines)
    else:
        typer.echo("No dependencies are known.")
    if file.problem:
        typer.echo(file.problem, err=True)


@app.command(help="Say that CHILD cannot work without PARENT; several parents are redundant.")
def add(
    child: ChildArgument,
    parents: Annotated[list[str], typer.Argument(help="Hosts, or matchers.", metavar="PARENT")],
    why: WhyOption = "",
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The number of the new one."""
    with opened_ledger(state) as (settings, ledger):
        known = _file(settings).dependencies
        with ledger.begin() as connection:
            made = add_dependency(connection, child, parents, why, person(), now_ms(), known=known)
            _audit(connection, made.id, {"child": child})
        nudge(settings, "incidents")
    _told(row_view(made), json)


@app.command(help="Take a dependency out of force.")
def remove(
    number: Annotated[int, typer.Argument(help="Its number.")], state: StateOption = "state"
) -> None:
    """Nothing but an error where there is none."""
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            if not remove_dependency(connection, number, now_ms()):
                raise DependencyError(f"there is no dependency {number} in force")
            _audit(connection, number, {"act": "remove"})
        nudge(settings, "incidents")


def _learned(connection: Connection, settings: Settings) -> Learned:
    known = [
        (str(d.child), str(p))
        for d in [*read_dependencies(connection), *_file(settings).dependencies]
        for p in d.parents
    ]
    known += [(r.child, p) for r in list_rows(connection, DISMISSED) for p in r.parents]
    return learn(read_failures(connection, now_ms()), known=known)


@app.command(help="Dependencies that history suggests, with the evidence.")
def suggest(json: JsonOption = False, state: StateOption = "state") -> None:
    """One sentence each."""
    with opened_ledger(state) as (settings, ledger), ledger.read() as connection:
        found = _learned(connection, settings)
    if json:
        document = {
            "suggestions": [suggestion_view(s) for s in found.suggestions],
            "groups": found.groups,
        }
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    for one in found.suggestions:
        typer.echo(f"{one.child} depends on {one.parent}: {one.sentence}.")
    for group in found.groups:
        named = ", ".join(group.hosts[:8]) + (" …" if len(group.hosts) > 8 else "")
        typer.echo(
            f"{len(group.hosts)} hosts failed together {group.outages} times and share something "
            f"that is not watched: {named}."
        )
    if not found.suggestions and not found.groups:
        typer.echo("History suggests nothing.")


@app.command(help="Put a suggestion in force.")
def accept(
    child: ChildArgument,
    parent: Annotated[str, typer.Argument(help="What it depends on.", metavar="PARENT")],
    why: WhyOption = "",
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The evidence of now is kept with it."""
    _judge(state, child, parent, why, json, accepted=True)


@app.command(help="Never suggest that again.")
def dismiss(
    child: ChildArgument,
    parent: Annotated[str, typer.Argument(help="What it depends on.", metavar="PARENT")],
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """The evidence of now is kept with it."""
    _judge(state, child, parent, "", json, accepted=False)


def _judge(state: str, child: str, parent: str, why: str, json: bool, *, accepted: bool) -> None:
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            found = [
                s
                for s in _learned(connection, settings).suggestions
                if (s.child, s.parent) == (child, parent)
            ]
            if not found:
                raise DependencyError(f"it is not suggested that {child} depends on {parent}")
            evidence = suggestion_view(found[0])
            if accepted:
                made = add_dependency(
                    connection, child, [parent], why or found[0].sentence, person(), now_ms(),
                    source="learned", evidence=evidence, known=_file(settings).dependencies,
                )  # fmt: skip
            else:
                made = dismiss_row(connection, child, parent, person(), now_ms(), evidence)
            _audit(connection, made.id, {"child": child, "parent": parent})
        nudge(settings, "incidents")
    _told(row_view(made), json)


@app.command(help="Look a dependencies.toml over.")
def lint(file: Annotated[Path, typer.Argument(help="The file.")]) -> None:
    """Exit code 2 where there is a fault."""
    try:
        data = file.read_bytes()
    except OSError as fault:
        raise DependencyError(f"{file}: cannot be read: {fault.strerror}") from None
    dependencies, inhibitions = parse_dependencies(data, file.name)
    typer.echo(f"{len(dependencies)} dependencies, {len(inhibitions)} inhibition rules, no faults.")


def _told(row: dict[str, Any], json: bool) -> None:
    if json:
        typer.echo(orjson.dumps(row, option=orjson.OPT_INDENT_2))
    else:
        typer.echo(f"{row['id']}: {row['child']} depends on {' or '.join(row['parents'])}.")


def _audit(connection: Connection, id_: int, detail: dict[str, str]) -> None:
    audit(connection, Action.DEPENDENCY_CHANGE, str(id_), detail)
