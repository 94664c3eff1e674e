"""People who may sign in: list, add, give a new password, disable, enable, remove.

Works on the state folder's ledger, also while the server is running or stopped: who can read
that folder is trusted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vezha.access import Role, Subject, SubjectKind
from vezha.access.user import add_user, change_user, list_users, remove_user, reset_password
from vezha.cli.opened import JsonOption, StateOption, now_ms, opened_ledger, person, show_ms
from vezha.cli.table import show_json, show_table

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
NameArgument = Annotated[str, typer.Argument(help="The person's name.", metavar="NAME")]
StdinOption = Annotated[
    bool, typer.Option("--stdin", help="Read the password from standard input.")
]


def actor() -> Subject:
    """Whoever is at this machine's command line."""
    return Subject(SubjectKind.SYSTEM, person(), Role.ADMIN)


@app.command("list", help="All people.")
def list_(state: StateOption = "state", json: JsonOption = False) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger):
        people = list_users(ledger)
    if json:
        show_json(
            [
                {
                    "name": p.name,
                    "role": p.role,
                    "disabled": bool(p.disabled),
                    "must_change_password": bool(p.must_change_password),
                    "last_sign_in_at": p.last_sign_in_ms and p.last_sign_in_ms / 1000,
                }
                for p in people
            ]
        )
        return
    rows = []
    for p in people:
        note = "disabled" if p.disabled else ("one-time password" if p.must_change_password else "")
        rows.append((p.name, p.role, show_ms(p.last_sign_in_ms), note))
    show_table(("Name", "Role", "Last sign-in", ""), rows)


@app.command(help="Add a person; prints a one-time password to hand over.")
def add(
    name: NameArgument,
    role: Annotated[Role, typer.Option(help="How far to trust this person.")] = Role.VIEWER,
    stdin: StdinOption = False,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Added."""
    password = _from_stdin() if stdin else None
    with opened_ledger(state) as (_, ledger):
        one_time = add_user(ledger, actor(), name, role, now_ms(), password=password)
    if json:
        show_json({"name": name, "role": role.value, "one_time_password": one_time})
        return
    typer.echo(f"{name} may sign in as {role.value}.")
    if one_time:
        typer.echo(f"One-time password (shown this once): {one_time}")


@app.command(help="Give a person a new one-time password; open sessions and waiting times end.")
def password(
    name: NameArgument,
    stdin: StdinOption = False,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """Reset."""
    given = _from_stdin() if stdin else None
    with opened_ledger(state) as (_, ledger):
        fresh = reset_password(ledger, actor(), name, now_ms(), password=given)
    if json:
        show_json({"name": name, "one_time_password": None if stdin else fresh})
        return
    typer.echo(f"{name} must choose an own password at the next sign-in.")
    if not stdin:
        typer.echo(f"One-time password (shown this once): {fresh}")


@app.command(help="Change a person's role; it counts at once.")
def role(
    name: NameArgument,
    to: Annotated[Role, typer.Argument(help="The new role.")],
    state: StateOption = "state",
) -> None:
    """Changed."""
    with opened_ledger(state) as (_, ledger):
        change_user(ledger, actor(), name, now_ms(), role=to)
    typer.echo(f"{name} is {to.value} now.")


@app.command(help="Keep a person out; open sessions end.")
def disable(name: NameArgument, state: StateOption = "state") -> None:
    """Disabled."""
    with opened_ledger(state) as (_, ledger):
        change_user(ledger, actor(), name, now_ms(), disabled=True)
    typer.echo(f"{name} may not sign in any more.")


@app.command(help="Let a disabled person in again.")
def enable(name: NameArgument, state: StateOption = "state") -> None:
    """Enabled."""
    with opened_ledger(state) as (_, ledger):
        change_user(ledger, actor(), name, now_ms(), disabled=False)
    typer.echo(f"{name} may sign in again.")


@app.command(help="Remove a person; what the audit says of them stays.")
def remove(name: NameArgument, state: StateOption = "state") -> None:
    """Removed."""
    with opened_ledger(state) as (_, ledger):
        remove_user(ledger, actor(), name, now_ms())
    typer.echo(f"{name} is removed.")


def _from_stdin() -> str:
    return sys.stdin.readline().rstrip("\n")
