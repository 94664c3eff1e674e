"""API tokens, by which programs use the API: list, create, revoke."""

from __future__ import annotations

from typing import Annotated

import typer

from vezha.access import Role
from vezha.access.errors import UnknownError
from vezha.access.token import create_token, list_tokens, revoke_token
from vezha.cli.opened import JsonOption, StateOption, now_ms, opened_ledger, show_ms
from vezha.cli.table import show_json, show_table
from vezha.cli.user import actor
from vezha.server.reading import parse_duration

_A = {Role.VIEWER: "a viewer", Role.OPERATOR: "an operator", Role.ADMIN: "an admin"}

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command("list", help="All tokens, without their secrets.")
def list_(state: StateOption = "state", json: JsonOption = False) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger):
        tokens = list_tokens(ledger)
    if json:
        show_json(
            [
                {
                    "id": t.id,
                    "name": t.name,
                    "role": t.role,
                    "created_by": t.created_by,
                    "expires_at": t.expires_ms and t.expires_ms / 1000,
                    "used_at": t.used_ms and t.used_ms / 1000,
                }
                for t in tokens
            ]
        )
        return
    if not tokens:
        typer.echo("No API tokens.")
        return
    rows = [
        (str(t.id), t.name, t.role, t.created_by, show_ms(t.expires_ms), show_ms(t.used_ms))
        for t in tokens
    ]
    show_table(("#", "Name", "Role", "Made by", "Ends", "Last used"), rows)


@app.command(help="Make a token; its secret is printed this once.")
def create(
    name: Annotated[str, typer.Argument(help="What it is for, such as grafana.")],
    role: Annotated[Role, typer.Option(help="How far to trust it.")] = Role.VIEWER,
    lifetime: Annotated[
        str, typer.Option(help="How long it lives, such as 90d; default: until revoked.")
    ] = "",
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Made."""
    try:
        lifetime_s = parse_duration(lifetime) if lifetime else None
    except ValueError as error:
        raise typer.BadParameter(f"give {error}", param_hint="--lifetime") from error
    with opened_ledger(state) as (_, ledger):
        number, secret = create_token(ledger, actor(), name, role, now_ms(), lifetime_s=lifetime_s)
    if json:
        show_json({"id": number, "name": name, "role": role.value, "token": secret})
        return
    # The secret alone on standard output, so that a script can keep it.
    typer.echo(f"Token {number}, {name}, may what {_A[role]} may. Shown this once:", err=True)
    typer.echo(secret)


@app.command(help="Make a token worthless at once.")
def revoke(
    which: Annotated[str, typer.Argument(help="Its number or its name.", metavar="TOKEN")],
    state: StateOption = "state",
) -> None:
    """Revoked."""
    with opened_ledger(state) as (_, ledger):
        found = [t for t in list_tokens(ledger) if which in (str(t.id), t.name)]
        if not found:
            raise UnknownError(f"there is no API token {which!r}; `vezha token list` shows all")
        name = revoke_token(ledger, actor(), found[0].id, now_ms())
    typer.echo(f"{name} is revoked.")
