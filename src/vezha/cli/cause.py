"""`vezha cause`: which change could explain an incident, and what people judge of it."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from vezha.access import Action
from vezha.api.causes import cause_view
from vezha.cli.opened import (
    JsonOption,
    StateOption,
    audit,
    now_ms,
    nudge,
    opened_ledger,
    person,
)
from vezha.cli.table import show_table
from vezha.incidents.cause import CAUSED, NOT_CAUSED, UNJUDGED, causes_of, judge, record_of

app = typer.Typer(help="Which change could explain an incident.", no_args_is_help=True)
IncidentArgument = Annotated[int, typer.Argument(metavar="INCIDENT", help="Its number.")]


@app.command("list", help="Changes that could explain an incident, the likeliest first.")
def list_(
    number: IncidentArgument,
    state: StateOption = "state",
    language: Annotated[str, typer.Option(help="en or uk.")] = "en",
    json: JsonOption = False,
) -> None:
    """A table with the reasons."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = causes_of(connection, number)
    if json:
        shown = [cause_view(one, language) for one in found]
        typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2))
        return
    if not found:
        typer.echo("No change could explain it.")
        return
    rows = [
        (str(one.change), f"{one.score:.0%}", f"{one.judged} ({one.judged_by})" if one.judged else "–",
         one.change_title, one.why(language))
        for one in found
    ]  # fmt: skip
    show_table(("Change", "Share", "Judged", "What", "Why"), rows)


@app.command("judge", help="Say whether a change caused an incident.")
def judge_(
    number: IncidentArgument,
    change: Annotated[int, typer.Argument(metavar="CHANGE", help="The change's number.")],
    caused: Annotated[
        bool | None, typer.Option("--caused/--not", help="Whether it was the cause.")
    ] = None,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Without --caused or --not a judgement is taken back."""
    judged = UNJUDGED if caused is None else CAUSED if caused else NOT_CAUSED
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            judge(connection, number, change, judged, person(), now_ms())
            detail = {"change": str(change), "judged": judged}
            audit(connection, Action.INCIDENT_JUDGE, str(number), detail)
        nudge(settings, "incidents")
    if json:
        typer.echo(orjson.dumps({"incident": number, "change": change, "judged": judged}))
        return
    words = {
        CAUSED: "was caused by",
        NOT_CAUSED: "was not caused by",
        UNJUDGED: "is open again with",
    }
    typer.echo(f"Incident {number} {words[judged]} change {change}.")


@app.command(help="How often the likeliest change was the cause, by what people judged.")
def record(state: StateOption = "state", json: JsonOption = False) -> None:
    """Counts."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = record_of(connection)
    if json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    typer.echo(
        f"{found.judged} judged, {found.caused} of them a cause; of the likeliest ones "
        f"{found.first_caused} of {found.first_judged}."
    )
