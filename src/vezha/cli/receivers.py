"""`vezha notify set`, `remove`, `routes`: receivers and routes that are saved in the ledger."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from sqlalchemy import Connection

from vezha.access import Action
from vezha.cli.errors import CommandError
from vezha.cli.opened import (
    StateOption,
    audit,
    now_ms,
    nudge,
    opened_ledger,
    person,
    settings_of,
)
from vezha.notify.errors import NoSuchReceiver, NotifySettingsError
from vezha.notify.in_force import InForce, Standing
from vezha.notify.option import COMMON
from vezha.notify.provider import load_provider, provider_names
from vezha.notify.saved import (
    SavedRoute,
    get_receiver,
    read_routes,
    remove_receiver,
    revision_of,
    save_receiver,
    save_routes,
    seal_anew,
)
from vezha.notify.settings import load_settings
from vezha.notify.vault import Vault
from vezha.server.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
NameArgument = Annotated[str, typer.Argument(help="The receiver's name.", metavar="RECEIVER")]


def standing_of(state: str) -> tuple[Standing, str]:
    """What is in force, and the file's path; before there is a ledger, what the file says.

    Raises NotifySettingsError for a file with a fault.
    """
    settings = settings_of(state)
    if not settings.ledger.url and not settings.state.ledger_file.exists():
        plan = load_settings(settings.notify_file, os.environ)
        return Standing(plan, plan, "", {}), settings.notify_file
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        standing = _look(settings, connection)
    return standing, settings.notify_file


def _look(settings: Settings, connection: Connection) -> Standing:
    standing = InForce(settings.notify_file, os.environ, Vault(settings.notify_key)).look(
        connection
    )
    if standing.problem:
        raise NotifySettingsError(standing.problem)
    return standing


def _read(type_: str, words: list[str]) -> dict[str, object]:
    """Options from NAME=VALUE, each of its kind; an empty value takes one away."""
    if type_ not in provider_names():
        known = ", ".join(provider_names())
        raise NotifySettingsError(f'type "{type_}" is not known; known are {known}')
    kinds = {o.name: o.kind for o in (*COMMON, *load_provider(type_).options)}
    out: dict[str, object] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise CommandError(f"{word}: write NAME=VALUE")
        if kinds.get(name) == "secret":
            # what stands on a command line can be read by everybody on this machine
            raise CommandError(f"{name} is a secret: use --secret {name}, which asks for it")
        out[name] = _value(kinds.get(name, "text"), text)
    return out


def _value(kind: str, text: str) -> object:
    if not text:
        return None
    if kind == "number" and text.isascii() and text.isdigit():
        return int(text)
    if kind == "flag" and text in ("true", "false"):
        return text == "true"
    if kind == "texts":
        return [one.strip() for one in text.split(",") if one.strip()]
    return text


def _ask(name: str) -> str:
    """A secret from the terminal, unseen, or one line of what is piped in."""
    if sys.stdin.isatty():
        return str(typer.prompt(name, hide_input=True))
    return sys.stdin.readline().rstrip("\n")


@app.command("set", help="Save a receiver: vezha notify set mail smtp host=… --secret password.")
def set_(
    name: NameArgument,
    type_: Annotated[
        str, typer.Argument(help="smtp, telegram, webhook, apprise, webpush.", metavar="TYPE")
    ],
    options: Annotated[
        list[str] | None,
        typer.Argument(help="Such as host=mail.example.org.", metavar="NAME=VALUE"),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", help="Ask for this secret (or read a line of the input)."),
    ] = None,
    state: StateOption = "state",
) -> None:
    """Saved, if it can be used; what is not named stays as it was."""
    given = _read(type_, options or [])
    secrets: dict[str, str | None] = {one: _ask(one) for one in secret or []}
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            of_file = _look(settings, connection).of_file.receivers
            try:
                old = get_receiver(connection, name)
                was, before = dict(old.options), old.revision
            except NoSuchReceiver:
                was, before = {}, ""
            save_receiver(
                connection, Vault(settings.notify_key), name, type_, {**was, **given}, secrets,
                before, person(), now_ms(), of_file,
            )  # fmt: skip
            detail = {"type": type_, "options": ", ".join(given), "secrets": ", ".join(secrets)}
            audit(connection, Action.RECEIVER_CHANGE, name, detail)
        nudge(settings, "outbox")
    typer.echo(f"{name} is in force; try vezha notify test {name}.")


@app.command(help="Make a new key for the secrets of saved receivers, and seal them with it.")
def rekey(state: StateOption = "state") -> None:
    """Every secret opens with the new key, and the old one opens none."""
    with opened_ledger(state) as (settings, ledger):
        vault = Vault(settings.notify_key)
        vault.begin_change()
        with ledger.begin() as connection:
            done, lost = seal_anew(connection, vault)
            audit(connection, Action.RECEIVER_CHANGE, "", {"sealed anew": str(done)})
        vault.end_change()
        nudge(settings, "outbox")
    for one in lost:
        typer.echo(one, err=True)
    typer.echo(f"Secrets sealed with a new key: {done}. The key from before opens none of them.")


@app.command(help="Remove a receiver that was saved.")
def remove(name: NameArgument, state: StateOption = "state") -> None:
    """Removed, unless something still names it."""
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            remove_receiver(connection, name, get_receiver(connection, name).revision)
            audit(connection, Action.RECEIVER_CHANGE, name, {"removed": name})
        nudge(settings, "outbox")
    typer.echo(f"{name} is told nothing any more.")


@app.command(help="Save a route: vezha notify route mail --severity critical; --remove one.")
def route(
    receivers: Annotated[
        list[str] | None, typer.Argument(help="Who is told.", metavar="RECEIVER")
    ] = None,
    match: Annotated[
        list[str] | None, typer.Option("--match", help="""Such as 'site="kyiv"'; all must fit.""")
    ] = None,
    severity: Annotated[str, typer.Option(help="At least: critical, warning or info.")] = "warning",
    go_on: Annotated[bool, typer.Option("--continue", help="Ask the next route, too.")] = False,
    at: Annotated[int, typer.Option(help="Its place among the saved ones; 0: the last.")] = 0,
    drop: Annotated[int, typer.Option("--remove", help="Take the route of this number away.")] = 0,
    state: StateOption = "state",
) -> None:
    """One route more, or one less."""
    if bool(drop) == bool(receivers):
        raise CommandError("name receivers for a new route, or --remove NUMBER")
    with opened_ledger(state) as (settings, ledger):
        with ledger.begin() as connection:
            saved = read_routes(connection)
            routes = list(saved)
            if drop:
                if not 1 <= drop <= len(routes):
                    raise CommandError(f"there is no saved route {drop}; there are {len(routes)}")
                routes.pop(drop - 1)
            else:
                made = SavedRoute(tuple(receivers or ()), tuple(match or ()), severity, go_on)
                routes.insert(at - 1 if at else len(routes), made)
            known = _look(settings, connection).plan.receivers
            save_routes(connection, routes, revision_of(saved), known)
            audit(connection, Action.RECEIVER_CHANGE, "", {"routes": str(len(routes))})
        nudge(settings, "outbox")
    typer.echo(f"There are {len(routes)} saved routes now; see vezha notify list.")
