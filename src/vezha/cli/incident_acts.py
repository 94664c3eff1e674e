"""More verbs of `vezha incident`: snooze, merge, split, undo, assign, export."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import orjson
import typer
from sqlalchemy import Connection

from vezha.access import Action
from vezha.alerting.durations import parse_duration
from vezha.api.incident_views import detail_of
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
from vezha.cli.table import show_json, show_table
from vezha.incidents.assign import assign_in
from vezha.incidents.errors import OperatorError
from vezha.incidents.export import as_markdown
from vezha.incidents.loop import act_in
from vezha.incidents.merge import merge_in, split_in
from vezha.incidents.snooze import snooze_in
from vezha.incidents.state import Act
from vezha.incidents.undo import UNDO, undo_in
from vezha.incidents.views import get_incident, get_members, get_timeline

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

NumberArgument = Annotated[int, typer.Argument(help="The incident's number.", metavar="NUMBER")]
NoteOption = Annotated[str, typer.Option("--note", "-m", help="A note for the timeline.")]


def _do(state: str, action: Action, target: int, change: Callable[[Connection], str]) -> None:
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            said = change(connection)
            audit(connection, action, str(target), {"did": said})
        nudge(settings, "incidents")
    typer.echo(said)


def _by_state(state: str, number: int, act: Act, action: Action, note: str) -> None:
    def change(connection: Connection) -> str:
        case = act_in(connection, number, act, person(), note, now_ms())
        return f"Incident {number} ({case.title}) is {case.state.value}."

    _do(state, action, number, change)


@app.command(help="Put an incident off; it asks again when the time is over.")
def snooze(
    number: NumberArgument,
    for_: Annotated[str, typer.Option("--for", help="For how long.")] = "1h",
    note: NoteOption = "",
    state: StateOption = "state",
) -> None:
    """Put off."""
    try:
        for_ms = parse_duration(for_)
    except ValueError as fault:
        raise OperatorError(f"--for: {fault}") from None

    def change(connection: Connection) -> str:
        case = snooze_in(connection, number, for_ms, person(), note, now_ms())
        return f"Incident {number} ({case.title}) asks again at {show_ms(case.snoozed_until_ms)}."

    _do(state, Action.INCIDENT_SNOOZE, number, change)


@app.command(help="End a snooze now.")
def wake(number: NumberArgument, note: NoteOption = "", state: StateOption = "state") -> None:
    """Ask again."""
    _by_state(state, number, Act.WAKE, Action.INCIDENT_SNOOZE, note)


@app.command(help="Give an incident that was taken back to those on call.")
def unacknowledge(
    number: NumberArgument, note: NoteOption = "", state: StateOption = "state"
) -> None:
    """Give back."""
    _by_state(state, number, Act.UNACKNOWLEDGE, Action.INCIDENT_ACKNOWLEDGE, note)


@app.command(help="Say that the harm is over, if not its cause.")
def mitigate(number: NumberArgument, note: NoteOption = "", state: StateOption = "state") -> None:
    """Mitigated."""
    _by_state(state, number, Act.MITIGATE, Action.INCIDENT_MITIGATE, note)


@app.command(help="Make other incidents part of the first: vezha incident merge 7 8 9.")
def merge(
    number: NumberArgument,
    others: Annotated[list[int], typer.Argument(help="What becomes part of it.", metavar="OTHER")],
    note: NoteOption = "",
    state: StateOption = "state",
) -> None:
    """Merge."""

    def change(connection: Connection) -> str:
        case = merge_in(connection, number, others, person(), note, now_ms())
        named = ", ".join(f"#{other}" for other in others)
        return f"Incident {number} ({case.title}) has the alerts of {named} now."

    _do(state, Action.INCIDENT_MERGE, number, change)


@app.command(help="Make a new incident of some alerts of an incident.")
def split(
    number: NumberArgument,
    host: Annotated[list[str] | None, typer.Option(help="All alerts of this host.")] = None,
    name: Annotated[list[str] | None, typer.Option(help="All alerts of this name.")] = None,
    note: NoteOption = "",
    state: StateOption = "state",
) -> None:
    """Split."""
    hosts, names = set(host or ()), set(name or ())
    if not hosts and not names:
        raise OperatorError(
            "say which alerts: --host HOST or --name ALERT, each as often as needed"
        )

    def change(connection: Connection) -> str:
        wanted = [
            m.fingerprint
            for m in get_members(connection, number)
            if m.host in hosts or m.alert_name in names
        ]
        _, made = split_in(connection, number, wanted, person(), note, now_ms())
        return f"Incident {made.id} ({made.title}) is new, from incident {number}."

    _do(state, Action.INCIDENT_SPLIT, number, change)


@app.command(help="The lines of an incident's timeline, numbered, and which can be undone.")
def timeline(
    number: NumberArgument, state: StateOption = "state", json: JsonOption = False
) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        get_incident(connection, number)
        lines = get_timeline(connection, number)
    undone = {line.data.get("event") for line in lines if line.kind == "undone"}
    can = {line.id: line.kind in UNDO and line.id not in undone for line in lines}
    if json:
        show_json(
            [
                {
                    "id": line.id, "at": line.at_ms / 1000, "kind": line.kind,
                    "actor": line.actor, "text": line.text, "data": line.data,
                    "undoable": can[line.id],
                }
                for line in lines
            ]
        )  # fmt: skip
        return
    rows = [
        (str(e.id), show_ms(e.at_ms), e.kind, e.actor, "yes" if can[e.id] else "", e.text)
        for e in lines
    ]
    show_table(("#", "When", "What", "Who", "Undo", ""), rows)


@app.command(help="Take back a line of the timeline, whoever wrote it (see `timeline`).")
def undo(
    number: NumberArgument,
    line: Annotated[int, typer.Argument(help="The line's number.", metavar="LINE")],
    state: StateOption = "state",
) -> None:
    """Undo."""

    def change(connection: Connection) -> str:
        kind = undo_in(connection, number, line, person(), now_ms())
        return f'Line {line} ("{kind}") of incident {number} is undone.'

    _do(state, Action.INCIDENT_UNDO, number, change)


@app.command(help="Give an incident to a team.")
def assign(
    number: NumberArgument,
    team: Annotated[str, typer.Argument(help='The team; "" for nobody.', metavar="TEAM")],
    state: StateOption = "state",
) -> None:
    """Assign."""

    def change(connection: Connection) -> str:
        case = assign_in(connection, number, team, person(), now_ms())
        return f"Incident {number} ({case.title}) belongs to {case.team or 'nobody'}."

    _do(state, Action.INCIDENT_ASSIGN, number, change)


@app.command(help="The whole story of an incident, as Markdown or (with --json) as JSON.")
def export(number: NumberArgument, state: StateOption = "state", json: JsonOption = False) -> None:
    """A document."""
    with opened_ledger(state) as (_, ledger):
        with ledger.read() as connection:
            view = get_incident(connection, number)
            lines = get_timeline(connection, number)
            members = get_members(connection, number)
        if json:
            document = detail_of(ledger, number)
            typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
            return
    typer.echo(as_markdown(view, lines, members, show_ms), nl=False)
