"""Load: how well it can be foreseen, what comes, what fills up when, when a change disturbs least."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

import typer

from vezha.access.host import list_hosts
from vezha.api.unusual import NOW_SPAN_S, span_of, view_of
from vezha.cli.opened import JsonOption, StateOption, now_ms, opened_ledger
from vezha.cli.table import show_json, show_table
from vezha.forecast import views
from vezha.forecast.book import Book
from vezha.forecast.errors import WrongWindow
from vezha.forecast.unusual import unusual
from vezha.incidents.errors import NoSuchIncident
from vezha.query import Engine
from vezha.server.forecasting import FOLDER
from vezha.server.reading import parse_duration
from vezha.server.state import StateFolder
from vezha.store.reader import StoreReader
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
NOTHING_YET = (
    "Nothing is known of loads yet: the forecast needs a running server and three days of samples."
)


def _book(state: str) -> Book:
    return Book(World(), str(StateFolder.at(state).path / FOLDER), readonly=True)


def _number(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _amount(value: float | None, unit: str) -> str:
    return "-" if value is None else views.amount(value, unit)


def _band(row: views.LoadRow) -> str:
    if row.low is None or row.high is None:
        return "-"
    return f"{views.amount(row.low, row.unit)} to {views.amount(row.high, row.unit)}"


def _when(time_s: float) -> str:
    return datetime.fromtimestamp(time_s).astimezone().strftime("%a %Y-%m-%d %H:%M")


@app.command("list", help="How well the load of each host and group can be foreseen.")
def list_(
    kind: Annotated[str, typer.Option(help="host or group; default: both.")] = "",
    name: Annotated[str, typer.Option(help="One host, or one group such as site=kyiv.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The least predictable so many.")] = 40,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """The least predictable first; those without history last."""
    rows = views.overview(_book(state), kind, [name] if name else [])
    rows.sort(key=lambda r: (r.predictability is None, r.predictability or 0.0))
    if json:
        show_json([asdict(row) for row in rows[:limit]])
        return
    if not rows:
        typer.echo(NOTHING_YET)
        return
    shown = [
        (
            row.name, row.resource, _number(row.predictability), _amount(row.now, row.unit),
            _band(row), row.basis or row.state,
        )
        for row in rows[:limit]
    ]  # fmt: skip
    show_table(("Name", "Load", "Foreseen", "Now", "Forecast", "By"), shown)
    if len(rows) > limit:
        typer.echo(f"{len(rows) - limit} more; see them with --limit {len(rows)}.")


@app.command(help="The forecast of one load: vezha load forecast db-1 --resource cpu --days 7.")
def forecast(
    name: Annotated[str, typer.Argument(help="A host, or a group such as site=kyiv.")],
    resource: Annotated[str, typer.Option(help="cpu, memory, network or disk.")] = "cpu",
    days: Annotated[int, typer.Option(min=1, max=30, help="How far ahead.")] = 7,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """By the hour; --json has each quarter of one."""
    kind = "group" if "=" in name else "host"
    told = views.outlook(_book(state), kind, name, resource, days)
    if json:
        show_json(asdict(told))
        return
    if told.state != "ok":
        typer.echo(f"{resource} of {name}: {told.state}.")
        return
    rows = [
        (_when(told.start + at * told.step_s), _amount(told.mean[at], told.unit),
         _amount(told.low[at], told.unit), _amount(told.high[at], told.unit))
        for at in range(0, len(told.mean), 4)
    ]  # fmt: skip
    show_table(("From", "Expected", "At least", "At most"), rows)


@app.command(help="Which file systems fill up, when, and how sure that is.")
def fills(
    host: Annotated[str, typer.Option(help="One host.")] = "",
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """The first to be full first."""
    found = views.fills(_book(state), [host] if host else [])
    if json:
        show_json([asdict(one) for one in found])
        return
    if not found:
        typer.echo("No file system is forecast to be full within 30 days.")
        return
    show_table(
        ("Host", "File system", "Free", "Full in", "Between", "Within a day", "Within a week"),
        [
            (one.instance, one.mountpoint, f"{one.free_bytes / 1e9:.1f} GB", _span(one.seconds),
             f"{_span(one.soonest_s)} and {_span(one.latest_s)}", f"{one.within_24h:.0%}",
             f"{one.within_7d:.0%}")
            for one in found
        ],
    )  # fmt: skip


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "over 30 d"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} d"


@app.command(help="The next windows in which a change disturbs least.")
def calm(
    hosts: Annotated[list[str] | None, typer.Argument(help="Hosts; default: all.")] = None,
    group: Annotated[str, typer.Option(help="A group instead, such as site=kyiv.")] = "",
    length: Annotated[str, typer.Option(help="How long, such as 30m or 2h.")] = "1h",
    count: Annotated[int, typer.Option(min=1, max=20, help="How many proposals.")] = 3,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """In the next seven days, the calmest first."""
    try:
        length_s = parse_duration(length)
    except ValueError as error:
        raise typer.BadParameter(f"give {error}", param_hint="--length") from error
    book = _book(state)
    names = list(hosts or []) or sorted({key[1] for key in book.known("host")})
    if group:
        label, _, value = group.partition("=")
        with opened_ledger(state) as (_, ledger):
            names = [h.name for h in list_hosts(ledger) if h.labels.get(label) == value]
        if not names:
            raise WrongWindow(f"No host has the label {group}: give NAME=VALUE of some hosts.")
    found = views.calm(book, names, length_s, now_ms() / 1000, count)
    if json:
        show_json(asdict(found))
        return
    if not found.windows:
        typer.echo(NOTHING_YET)
        return
    show_table(
        ("From", "To", "At most", ""),
        [(_when(w.start), _when(w.end), f"{w.load:.0%}", w.why) for w in found.windows],
    )
    if found.without_forecast:
        typer.echo(f"Without a forecast: {len(found.without_forecast)} hosts.")


@app.command(help="Loads that are off their forecast, the strangest first. They page nobody.")
def anomalies(
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Each with a sentence."""
    rows = views.strangest(views.overview(_book(state)), limit)
    if json:
        show_json([{**asdict(row), "why": views.explained(row)} for row in rows])
        return
    if not rows:
        typer.echo("Every load lies within its forecast.")
        return
    show_table(("Score", "Why"), [(_number(row.anomaly, 1), views.explained(row)) for row in rows])


@app.command(
    "unusual", help="What is unusual now, or was while an incident lasted, farthest first."
)
def unusual_(
    host: Annotated[str, typer.Option(help="Of this host alone.")] = "",
    incident: Annotated[int, typer.Option(help="On the hosts of this incident.")] = 0,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Half-widths of the usual range beyond 3, negative below it. Nobody is paged for them."""
    with opened_ledger(state) as (settings, ledger):
        end_ms = now_ms()
        hosts, start_ms = [host] if host else [], end_ms - int(NOW_SPAN_S * 1000)
        if incident:
            span = span_of(ledger, incident, end_ms)
            if span is None:
                raise NoSuchIncident(f"there is no incident {incident}")
            hosts, start_ms, end_ms = span
    if not settings.state.store.exists() or (incident and not hosts):
        rows = []
    else:
        source = StoreReader.open(str(settings.state.store))
        try:
            rows = unusual(Engine(source), hosts, start_ms, end_ms)
        finally:
            source.close()
    if json:
        show_json([view_of(one, "en") for one in rows])
        return
    if not rows:
        typer.echo("Nothing is unusual." if not incident else "Nothing was unusual.")
        return
    show_table(
        ["SCORE", "SINCE", "STATE", "WHAT"],
        [
            [f"{r.score:+.1f}", _when(r.since), "over" if r.is_over else "still", r.why("en")]
            for r in rows
        ],
    )
