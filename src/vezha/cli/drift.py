"""`vezha change drift`, `mend`, `accept`: hosts that do not run what was delivered to them."""

from __future__ import annotations

from typing import Annotated

import typer

from vezha.access import Action
from vezha.cli.opened import (
    JsonOption,
    StateOption,
    audit,
    now_ms,
    nudge,
    opened_ledger,
    person,
)
from vezha.cli.stored import signals_of
from vezha.cli.table import show_json, show_table
from vezha.delivery import mend as mending
from vezha.delivery.change import TOPIC
from vezha.delivery.drift import Drift, accept_edited, drift_view
from vezha.delivery.plan import plan_text

DRIFT_HELP = "Hosts that do not run what was delivered to them (exit 1: there are some)."
MEND_HELP = (
    "Show what would give drifted hosts again what was delivered to them; --yes starts it, as a "
    "change like any other. Of one change, a host, a selector, or all."
)
ACCEPT_HELP = "Take what agent.toml on a host says now for meant, so that it is no drift."

HostOption = Annotated[str, typer.Option("--host", help="Only this host.")]
_NAMED_MAX = 5
SelectorOption = Annotated[str, typer.Option(help='Only hosts that fit: role="db".')]


def drift(
    number: Annotated[
        int, typer.Argument(help="Only what this change delivered.", metavar="[NUMBER]")
    ] = 0,
    host: HostOption = "",
    selector: SelectorOption = "",
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        found = mending.chosen(connection, mending.Which(number, host, selector))
    if json:
        show_json([drift_view(d) for d in found])
    elif not found:
        typer.echo("All hosts that told what they run, run what was delivered to them.")
    else:
        _show(found)
        if any(d.can_be_mended for d in found):
            typer.echo("Mend it: vezha change mend" + (f" {number}" if number else ""))
    if found:
        raise typer.Exit(1)


def _show(found: list[Drift]) -> None:
    rows = [
        [d.host, d.kind.value, d.code, d.delivered.shown,
         "–" if d.change_id is None else str(d.change_id), d.sentence]
        for d in found
    ]  # fmt: skip
    show_table(("Host", "Kind", "Drift", "Delivered", "Change", "What"), rows)


def mend(
    number: Annotated[
        int, typer.Argument(help="Only what this change delivered.", metavar="[NUMBER]")
    ] = 0,
    host: HostOption = "",
    selector: SelectorOption = "",
    why: Annotated[str, typer.Option("--why", "-m", help="Why, instead of the usual.")] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this it is only shown.")
    ] = False,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Plans; with --yes rollouts."""
    which = mending.Which(number, host, selector)
    with opened_ledger(state) as (settings, ledger), signals_of(settings) as signals:
        at_ms = now_ms()
        up = signals.up(at_ms)
        if yes:
            with ledger.begin() as connection:
                made = mending.mend(connection, which, up, person(), why, at_ms, dry_run=False)
                for one in made.mended:
                    detail = {"drift": one.target, "rollout": str(one.rollout_id)}
                    audit(connection, Action.DELIVERY_START, str(one.change_id), detail)
                if made.told_again:
                    names = ", ".join(d.host for d in made.told_again[:_NAMED_MAX])
                    audit(connection, Action.DELIVERY_START, names, {"told_again": "yes"})
            nudge(settings, TOPIC)
        else:
            with ledger.read() as connection:
                made = mending.mend(connection, which, up, person(), why, at_ms, dry_run=True)
    if json:
        show_json({**made.as_json(), "started": yes})
        return
    for one in made.mended:
        if yes:
            typer.echo(
                f"Change {one.change_id} mends {', '.join(one.hosts[:_NAMED_MAX])}"
                + (f" and {more} more" if (more := len(one.hosts) - _NAMED_MAX) > 0 else "")
                + ". Watch it: "
                f"vezha rollout show {one.rollout_id}"
            )
            continue
        typer.echo(plan_text(1, one.document), nl=False)
        for sentence in one.lacks:
            typer.echo(f"It cannot be started: {sentence}.")
    for back in made.told_again:
        said = "is told again to go back" if yes else "would be told again to go back"
        typer.echo(f"{back.host} {said}: {back.sentence}")
    for left in made.left:
        typer.echo(f"Not mended from here: {left.host}: {left.sentence}")
    if not yes:
        typer.echo("Nothing was started. Start it with --yes.")


def accept(
    host: Annotated[str, typer.Argument(help="The host.")],
    why: Annotated[str, typer.Option("--why", "-m", help="Why; must be given.")],
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Its settings are the standard from now on."""
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            found = accept_edited(connection, host, person(), why, now_ms())
            detail = {"why": why, "keys": ", ".join(found.keys)}
            audit(connection, Action.DRIFT_ACCEPT, host, detail)
        nudge(settings, TOPIC)
    if json:
        show_json(drift_view(found))
        return
    typer.echo(f"{host} is taken as it is: {', '.join(found.keys)}")
