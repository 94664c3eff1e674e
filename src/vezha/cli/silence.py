"""`vezha silence`: list, add, end; maintenance windows are silences that come back."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from vezha.access import Action
from vezha.alerting.durations import parse_duration
from vezha.api.incidents import silence_view
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
from vezha.cli.table import show_table
from vezha.incidents.errors import SilenceError
from vezha.incidents.oncall.rows import read_teams
from vezha.incidents.silence import (
    add_silence,
    end_silence,
    make_recurrence,
    parse_matchers,
    read_silences,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_YEAR_MS = 365 * 86_400_000


@app.command("list", help="Silences that hold or are to come; with --all the ended ones, too.")
def list_(
    state: StateOption = "state",
    all_: Annotated[bool, typer.Option("--all", help="Ended ones, too.")] = False,
    json: JsonOption = False,
) -> None:
    """A table."""
    at_ms = now_ms()
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = read_silences(connection, 0 if all_ else at_ms)
    if json:
        document = [silence_view(s, at_ms) for s in found]
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    if not found:
        typer.echo("No silences.")
        return
    rows = [
        (str(one.id), one.state(at_ms), show_ms(one.ends_ms), one.author, one.team,
         ", ".join(str(m) for m in one.matchers), one.comment)
        for one in found
    ]  # fmt: skip
    show_table(("#", "State", "Until", "By", "Team", "Matchers", "Comment"), rows)


@app.command(help='Silence alerts: vezha silence add \'instance="db-1"\' --for 2h -m "new disks".')
def add(
    matchers: Annotated[
        str, typer.Argument(help='Such as instance="db-1", severity=~"info|warning"')
    ],
    for_: Annotated[str, typer.Option("--for", help="For how long.")] = "1h",
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why.")] = "",
    weekly: Annotated[
        str,
        typer.Option(
            help="A window that comes back: DAYS@HH:MM, such as sat,sun@02:00 (with --for)."
        ),
    ] = "",
    time_zone: Annotated[str, typer.Option(help="The zone of --weekly.")] = "UTC",
    team: Annotated[str, typer.Option(help="Whose it is: only that team's incidents.")] = "",
    state: StateOption = "state",
) -> None:
    """A silence from now on, or a window each week for a year."""
    try:
        length_ms = parse_duration(for_)
    except ValueError as fault:
        raise SilenceError(f"--for: {fault}") from None
    found = parse_matchers(matchers)
    at_ms = now_ms()
    recurs, ends_ms = None, at_ms + length_ms
    if weekly:
        days, _, start = weekly.partition("@")
        recurs = make_recurrence(days.split(","), start, length_ms // 60_000, time_zone)
        ends_ms = at_ms + _YEAR_MS
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            if team and team not in {one.name for one in read_teams(connection)}:
                raise SilenceError(f"there is no team {team}")
            made = add_silence(
                connection, found, at_ms, ends_ms, person(), comment, at_ms, recurs, team
            )
            shown = ", ".join(str(m) for m in found)
            audit(connection, Action.SILENCE_CHANGE, str(made.id), {"matchers": shown})
        nudge(settings, "incidents")
    typer.echo(f"Silence {made.id} holds until {show_ms(ends_ms)}.")


@app.command(help="End a silence now.")
def end(
    number: Annotated[int, typer.Argument(help="The silence's number.", metavar="NUMBER")],
    state: StateOption = "state",
) -> None:
    """End."""
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            if not end_silence(connection, number, person(), now_ms()):
                raise SilenceError(f"there is no silence {number} that still runs")
            audit(connection, Action.SILENCE_CHANGE, str(number), {})
        nudge(settings, "incidents")
    typer.echo(f"Silence {number} has ended.")
