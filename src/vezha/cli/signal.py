"""`vezha signal`: usage, rates."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.table import Table

from vezha.api.signals import signal_view
from vezha.cli.opened import JsonOption, StateOption, now_ms, opened_ledger
from vezha.cli.table import print_table
from vezha.incidents.limits import TIMES_DAYS_MAX
from vezha.incidents.usage import read_usage, unused
from vezha.notify.alarm_rate import read_rates
from vezha.notify.limits import ALARM_HOURS_MAX

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_DAY_MS = 86_400_000


def _table(columns: tuple[str, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name)
    return table


@app.command(help="Which signals are acted on, how fast, and which never.")
def usage(
    days: Annotated[int, typer.Option(help="So many days back.", min=1, max=TIMES_DAYS_MAX)] = 28,
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """A table, the most useful first; then the candidates for removal."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = read_usage(connection, now_ms(), days * _DAY_MS)
    if json:
        document = {
            "signals": [signal_view(u) for u in found],
            "unused": [signal_view(u) for u in unused(found)],
        }
        typer.echo(orjson.dumps(document, default=_plain, option=orjson.OPT_INDENT_2))
        return
    if not found:
        typer.echo("No incident has been told yet.")
        return
    table = _table(("Signal", "Told", "Acted on", "Score", "Evidence"))
    for one in found:
        score = f"{one.score:.2f}"
        table.add_row(one.alert, str(one.told), str(one.acted), score, one.evidence)
    print_table(table, markup=False)
    for one in unused(found):
        typer.echo(f"Consider removing {one.alert}: {one.evidence}.")


@app.command(help="How many alarms people get, as EEMUA 191 and ISA-18.2 count them.")
def rates(
    hours: Annotated[float, typer.Option(help="So many hours back.", max=ALARM_HOURS_MAX)] = 24.0,
    json: JsonOption = False,
    state: StateOption = "state",
) -> None:
    """A table by receiver, then the signals' own figures."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = read_rates(connection, now_ms(), hours)
    if json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    table = _table(("Receiver", "Rings", "Per 10 min", "Most in 10 min", "Floods", "Load"))
    for one in found.receivers:
        table.add_row(
            one.receiver, str(one.rings), f"{one.average:.2f}", str(one.peak),
            f"{one.flood_share:.1%}", one.load,
        )  # fmt: skip
    if found.receivers:
        print_table(table, markup=False)
    typer.echo(
        f"Standing: {found.standing} (stale: {found.stale}); chattering: {len(found.chattering)}; "
        f"fired {found.fires} times in {hours:g} h, the top {len(found.top_talkers)} of them "
        f"{found.top_share:.0%}."
    )
    for talker in found.top_talkers:
        typer.echo(f"  {talker.share:>4.0%} {talker.alert} {talker.host}".rstrip())


def _plain(value: object) -> object:
    import msgspec

    return msgspec.to_builtins(value)
