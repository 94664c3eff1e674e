"""`vezha incident`: list, show, acknowledge, snooze, resolve, merge, split, undo, times."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from vezha.access import Action
from vezha.api.incident_views import incident_view
from vezha.cli import incident_acts
from vezha.cli.opened import (
    JsonOption,
    StateOption,
    audit,
    now_ms,
    nudge,
    opened_ledger,
    person,
    show_ms,
)
from vezha.cli.table import print_table
from vezha.incidents.export import as_markdown
from vezha.incidents.limits import TIMES_DAYS_MAX
from vezha.incidents.loop import act_in
from vezha.incidents.state import Act
from vezha.incidents.times import BY_DEFAULT, Spread, read_incidents, summarise
from vezha.incidents.views import get_incident, get_members, get_timeline, list_incidents

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.registered_commands += incident_acts.app.registered_commands

NumberArgument = Annotated[int, typer.Argument(help="The incident's number.", metavar="NUMBER")]
NoteOption = Annotated[str, typer.Option("--note", "-m", help="A note for the timeline.")]
_STYLES = {"critical": "red", "warning": "yellow", "info": "dim"}


@app.command("list", help="Open incidents; with --all the resolved ones, too.")
def list_(
    state: StateOption = "state",
    all_: Annotated[bool, typer.Option("--all", help="Resolved ones, too.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many.")] = 50,
    json: JsonOption = False,
) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = list_incidents(connection, not all_, limit)
    if json:
        typer.echo(orjson.dumps([incident_view(v) for v in found], option=orjson.OPT_INDENT_2))
        return
    if not found:
        typer.echo("No open incidents." if not all_ else "No incidents yet.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("#", "Severity", "State", "Since", "What"):
        table.add_column(name)
    for view in found:
        silent = " (silent)" if view.silent_because else ""
        severity = f"[{_STYLES[view.severity]}]{view.severity}[/]"
        since = show_ms(view.began_ms)
        table.add_row(str(view.id), severity, view.state + silent, since, escape(view.title))
    print_table(table)


@app.command(help="One incident with its alerts and timeline.")
def show(number: NumberArgument, state: StateOption = "state", json: JsonOption = False) -> None:
    """As Markdown, which reads well in a terminal, too."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        view = get_incident(connection, number)
        timeline = get_timeline(connection, number)
        members = get_members(connection, number)
    if json:
        document = {
            **incident_view(view),
            "timeline": [
                {"at": e.at_ms / 1000, "kind": e.kind, "actor": e.actor, "text": e.text}
                for e in timeline
            ],
            "alerts": [{"labels": m.labels, "state": m.state} for m in members],
        }
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    typer.echo(as_markdown(view, timeline, members, show_ms), nl=False)


@app.command(help="Take an incident in hand.")
def acknowledge(
    number: NumberArgument, note: NoteOption = "", state: StateOption = "state"
) -> None:
    """Acknowledge."""
    _act(state, number, Act.ACKNOWLEDGE, Action.INCIDENT_ACKNOWLEDGE, note)


@app.command(help="Say that an incident is over.")
def resolve(number: NumberArgument, note: NoteOption = "", state: StateOption = "state") -> None:
    """Resolve."""
    _act(state, number, Act.RESOLVE, Action.INCIDENT_RESOLVE, note)


@app.command(help="Say that an incident is not over.")
def reopen(number: NumberArgument, note: NoteOption = "", state: StateOption = "state") -> None:
    """Open again."""
    _act(state, number, Act.REOPEN, Action.INCIDENT_RESOLVE, note)


@app.command(help="Write a note into an incident's timeline.")
def note(
    number: NumberArgument,
    text: Annotated[str, typer.Argument(help="The note.")],
    state: StateOption = "state",
) -> None:
    """A note."""
    _act(state, number, Act.NOTE, Action.INCIDENT_NOTE, text)


@app.command(help="How long detection, response and recovery take.")
def times(
    state: StateOption = "state",
    days: Annotated[int, typer.Option(help="So many days back.", min=1, max=TIMES_DAYS_MAX)] = 84,
    by: Annotated[str, typer.Option(help="Some of week,team,service,severity.")] = ",".join(
        BY_DEFAULT
    ),
    json: JsonOption = False,
) -> None:
    """A table, the newest week first: median / 95th percentile."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = read_incidents(connection, now_ms() - days * 86_400_000)
    names = [name for name in by.split(",") if name]
    rows = summarise(found, names)
    if json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    if not rows:
        typer.echo(f"No incidents within {days} days.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (*names, "incidents", "detection", "acknowledge", "mitigation", "recovery"):
        table.add_column(name.capitalize(), justify="left" if name in names else "right")
    for row in rows:
        spreads = (row.detection, row.acknowledge, row.mitigation, row.recovery)
        keys = [getattr(row, name) or "–" for name in names]
        table.add_row(*keys, str(row.incidents), *(_spread(s) for s in spreads))
    print_table(table)


def _spread(spread: Spread) -> str:
    if spread.median_s is None or spread.p95_s is None:
        return "–"
    return f"{_duration(spread.median_s)} / {_duration(spread.p95_s)}"


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.1f}{unit}"
    return f"{seconds:.1f}s"


def _act(state: str, number: int, act: Act, action: Action, text: str) -> None:
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            case = act_in(connection, number, act, person(), text, now_ms())
            audit(connection, action, str(number), {"note": text} if text else {})
        nudge(settings, "incidents")
    typer.echo(f"Incident {number} ({case.title}) is {case.state.value}.")
