"""`vezha alert`: list, history."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vezha.alerting.durations import parse_duration
from vezha.cli.opened import JsonOption, StateOption, now_ms, opened_ledger, show_ms
from vezha.cli.table import show_json, show_table
from vezha.incidents.alerts import AlertView, list_alerts, list_turns
from vezha.incidents.errors import OperatorError

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

HostOption = Annotated[str, typer.Option("--host", help="Only of this host.")]
NameOption = Annotated[str, typer.Option("--name", help="Only alerts of this name.")]


@app.command("list", help="Alerts as they are now: pending, firing, flapping, unknown.")
def list_(
    state: StateOption = "state",
    host: HostOption = "",
    name: NameOption = "",
    json: JsonOption = False,
) -> None:
    """A table, the worst first."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = list_alerts(connection, host, name)
    if json:
        show_json([asdict(view) for view in found])
        return
    if not found:
        typer.echo("No alerts.")
        return
    columns = ("Severity", "State", "Since", "Host", "Alert", "Incident", "What")
    show_table(columns, [_row(view) for view in found])


def _row(view: AlertView) -> tuple[str, ...]:
    what = view.summary
    if view.silent_because:
        what = f"{what} (silent because {view.silent_because})"
    number = f"#{view.incident}" if view.incident else "–"
    since = show_ms(view.fired_ms or view.active_ms)
    return view.severity, view.state, since, view.host, view.name, number, what


@app.command(help="What became of alerts, the newest change first.")
def history(
    state: StateOption = "state",
    host: HostOption = "",
    name: NameOption = "",
    last: Annotated[str, typer.Option("--last", help="So far back, such as 2h or 7d.")] = "1d",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 100,
    json: JsonOption = False,
) -> None:
    """A table."""
    try:
        since_ms = now_ms() - parse_duration(last)
    except ValueError as fault:
        raise OperatorError(f"--last: {fault}") from None
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = list_turns(connection, limit, host, name, since_ms)
    if json:
        show_json([asdict(turn) for turn in found])
        return
    if not found:
        typer.echo("Nothing happened.")
        return
    rows = [
        (show_ms(turn.at_ms), turn.severity, turn.host, turn.name, turn.event, _took(turn.at_ms, turn.sampled_ms))
        for turn in found
    ]  # fmt: skip
    show_table(("At", "Severity", "Host", "Alert", "Became", "After its sample"), rows)


def _took(at_ms: int, sampled_ms: int | None) -> str:
    return "–" if sampled_ms is None else f"{(at_ms - sampled_ms) / 1000:.2f} s"
