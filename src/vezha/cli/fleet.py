"""Hosts that this server knows: list, add, label, remove."""

from __future__ import annotations

from typing import Annotated

import typer

from vezha.access.enrolment import create_enrolment
from vezha.access.errors import AccessError
from vezha.access.host import label_host, list_hosts, remove_host
from vezha.access.limits import ENROLMENT_LIFETIME_S
from vezha.cli.opened import JsonOption, StateOption, now_ms, nudge, opened_ledger, show_ms
from vezha.cli.table import show_json, show_table
from vezha.cli.user import actor
from vezha.server.reading import parse_duration
from vezha.world import World

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
HostArgument = Annotated[str, typer.Argument(help="The host's name.", metavar="HOST")]


@app.command("list", help="All hosts.")
def list_(state: StateOption = "state", json: JsonOption = False) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger):
        hosts = list_hosts(ledger)
    if json:
        show_json(
            [
                {
                    "name": h.name,
                    "labels": h.labels,
                    "facts": h.facts,
                    "first_seen": h.first_seen_ms and h.first_seen_ms / 1000,
                    "last_seen": h.last_seen_ms and h.last_seen_ms / 1000,
                }
                for h in hosts
            ]
        )
        return
    if not hosts:
        typer.echo("No hosts yet. `vezha fleet add` prints the command that adds one.")
        return
    rows = [
        (
            h.name,
            show_ms(h.last_seen_ms),
            str(h.facts.get("os", "")),
            str(h.facts.get("agent_version", "")),
            " ".join(f"{k}={v}" for k, v in sorted(h.labels.items())),
        )
        for h in hosts
    ]
    show_table(("Host", "Last seen", "System", "Agent", "Labels"), rows)


@app.command(help="Invite a host: prints the command to run there. It works once.")
def add(
    label: Annotated[
        list[str], typer.Option(help="NAME=VALUE for the host, such as site=kyiv.")
    ] = [],  # noqa: B006 - Typer reads it and never changes it
    lifetime: Annotated[str, typer.Option(help="How long the invitation stays open.")] = "",
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Invited."""
    from vezha.api.enrolments import command_of
    from vezha.server.door import agent_door

    try:
        lifetime_s = parse_duration(lifetime) if lifetime else ENROLMENT_LIFETIME_S
    except ValueError as error:
        raise typer.BadParameter(f"give {error}", param_hint="--lifetime") from error
    with opened_ledger(state) as (settings, ledger):
        made = create_enrolment(
            ledger, actor(), now_ms(), labels=_labels(label), lifetime_s=lifetime_s
        )
        command = command_of(agent_door(settings, World()), made.token)
    if json:
        show_json({"id": made.id, "token": made.token, "command": command,
                   "expires_at": made.expires_ms / 1000})  # fmt: skip
        return
    typer.echo(
        f"Run this on the new host before {show_ms(made.expires_ms)}; it works once:", err=True
    )
    typer.echo(command)


@app.command(help="Set labels of a host: vezha fleet label db-1 site=kyiv role=; empty removes.")
def label(
    host: HostArgument,
    pairs: Annotated[list[str], typer.Argument(help="NAME=VALUE …", metavar="NAME=VALUE")],
    state: StateOption = "state",
) -> None:
    """Labelled."""
    with opened_ledger(state) as (settings, ledger):
        kept = label_host(ledger, actor(), host, _labels(pairs), now_ms())
        nudge(settings, "hosts")
    typer.echo(f"{host}: " + (" ".join(f"{k}={v}" for k, v in sorted(kept.items())) or "no labels"))


@app.command(help="Forget a host and refuse its agent from now on; its samples stay.")
def remove(
    host: HostArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    state: StateOption = "state",
) -> None:
    """Removed."""
    with opened_ledger(state) as (settings, ledger):
        if not yes:
            typer.confirm(f"Forget {host} and refuse its agent?", abort=True)
        remove_host(ledger, actor(), host, now_ms())
        nudge(settings, "hosts")
    typer.echo(f"{host} is removed; its agent is refused from now on.")


def _labels(pairs: list[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise AccessError(f"{pair!r} must be NAME=VALUE, such as site=kyiv")
        labels[name] = value
    return labels
