"""`vezha freeze`: times in which nothing changes, and times in which alone something does."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from vezha.access import Action
from vezha.alerting.durations import parse_duration
from vezha.api.change_views import WindowRecursView
from vezha.api.freezes import recurrence_of
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
from vezha.delivery.change import TOPIC
from vezha.delivery.errors import NoSuchChange, SpecError
from vezha.delivery.freeze import add_window, check_window, end_window, read_windows
from vezha.delivery.views import window_view

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
_YEAR_MS = 365 * 86_400_000


@app.command("list", help="Windows that hold or are to come; with --all the ended ones, too.")
def list_(
    state: StateOption = "state",
    all_: Annotated[bool, typer.Option("--all", help="Ended ones, too.")] = False,
    json: JsonOption = False,
) -> None:
    """A table."""
    at_ms = now_ms()
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = read_windows(connection, 0 if all_ else at_ms)
    if json:
        show_json([window_view(w, at_ms) for w in found])
        return
    if not found:
        typer.echo("No windows.")
        return
    rows = [
        [str(w.id), w.kind, w.state(at_ms), show_ms(w.next_ms(at_ms)), show_ms(w.ends_ms),
         w.selector.text, w.overrun, w.name or w.comment]
        for w in found
    ]  # fmt: skip
    show_table(("#", "Kind", "State", "Opens", "Until", "Hosts", "Overrun", "What"), rows)


@app.command(help='Begin a freeze: vezha freeze add --name sale --until "2026-11-30 08:00" --yes.')
def add(
    selector: Annotated[str, typer.Argument(help="Which hosts; none: all.")] = "",
    name: Annotated[str, typer.Option(help="How it is called.")] = "",
    maintenance: Annotated[
        bool, typer.Option("--maintenance", help="Its hosts change only inside of it.")
    ] = False,
    start: Annotated[
        str, typer.Option("--from", help="YYYY-MM-DD HH:MM; now where not given.")
    ] = "",
    until: Annotated[str, typer.Option(help="YYYY-MM-DD HH:MM.")] = "",
    for_: Annotated[str, typer.Option("--for", help="Or for how long.")] = "",
    weekly: Annotated[
        str, typer.Option(help="It comes back: DAYS@HH:MM, such as sat,sun@02:00 (with --for).")
    ] = "",
    time_zone: Annotated[str, typer.Option(help="The zone of these times.")] = "UTC",
    overrun: Annotated[str, typer.Option(help="A wave that has begun: finish or hold.")] = "finish",
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this it is only said.")
    ] = False,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A window."""
    at_ms = now_ms()
    kind = "maintenance" if maintenance else "freeze"
    # the zone is checked before times are read in it
    check_window(kind, selector, at_ms, at_ms + 1, time_zone, overrun, comment, at_ms)
    starts_ms = _moment(start, time_zone, "--from") if start else at_ms
    try:
        length_ms = parse_duration(for_) if for_ else 0
    except ValueError as fault:
        raise SpecError(f"--for: {fault}") from None
    if bool(until) == bool(for_) and not weekly:
        raise SpecError("say how long: either --until or --for")
    recurs = None
    ends_ms = _moment(until, time_zone, "--until") if until else starts_ms + length_ms
    if weekly:
        if not for_:
            raise SpecError("--weekly needs --for, the length of each window")
        days, _, time_of_day = weekly.partition("@")
        given = WindowRecursView(days.split(","), time_of_day, length_ms // 60_000)
        recurs = recurrence_of(given, time_zone)
        ends_ms = _moment(until, time_zone, "--until") if until else starts_ms + _YEAR_MS
    hosts = selector or "all hosts"
    said = f"{kind} of {hosts} until {show_ms(ends_ms)}" + (
        f", {weekly} for {for_}" if weekly else ""
    )
    if not yes:
        check_window(kind, selector, starts_ms, ends_ms, time_zone, overrun, comment, at_ms)
        if json:
            show_json({"id": None, "said": said})
            return
        typer.echo(f"It would be a {said}. Nothing was done. Do it with --yes.")
        return
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            id_ = add_window(
                connection, kind=kind, name=name, selector=selector, starts_ms=starts_ms,
                ends_ms=ends_ms, recurs=recurs, time_zone=time_zone, overrun=overrun,
                comment=comment, author=person(), now_ms=at_ms,
            )  # fmt: skip
            audit(connection, Action.FREEZE_CHANGE, str(id_), {"kind": kind, "selector": selector})
        nudge(settings, TOPIC)
    if json:
        show_json({"id": id_, "said": said})
        return
    typer.echo(f"Window {id_}: {said}.")


def _moment(text: str, time_zone: str, option: str) -> int:
    for shape in ("%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M", "%Y-%m-%d"):
        try:
            found = datetime.strptime(text, shape).replace(tzinfo=ZoneInfo(time_zone))
        except ValueError:
            continue
        return int(found.timestamp() * 1000)
    raise SpecError(f'{option}: "{text}" is not a time; write YYYY-MM-DD HH:MM')


@app.command(help="End a window now.")
def end(
    number: Annotated[int, typer.Argument(help="The window's number.", metavar="NUMBER")],
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """End."""
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            if not end_window(connection, number, person(), now_ms()):
                raise NoSuchChange(f"there is no window {number} that still runs")
            audit(connection, Action.FREEZE_CHANGE, str(number), {})
        nudge(settings, TOPIC)
    if json:
        show_json({"ended": number})
        return
    typer.echo(f"Window {number} has ended.")
