"""Who did what, when: list the audit, verify that nobody changed it."""

from __future__ import annotations

import json as json_text
from typing import Annotated

import typer

from vezha.access.audit import list_audit, verify_audit
from vezha.cli.app import EXIT_BROKEN
from vezha.cli.opened import JsonOption, StateOption, opened_ledger, show_ms
from vezha.cli.table import show_json, show_table

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command("list", help="The newest rows first.")
def list_(
    limit: Annotated[int, typer.Option(help="How many rows.", min=1, max=100_000)] = 50,
    state: StateOption = "state",
    json: JsonOption = False,
) -> None:
    """A table."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        rows = list_audit(connection, limit)
    if json:
        show_json(
            [
                {**{str(k): v for k, v in r.items()}, "detail": json_text.loads(r["detail"])}
                for r in rows
            ]
        )
        return
    shown = [
        (
            show_ms(r["at_ms"]),
            r["actor"] or "–",
            r["action"],
            r["target"],
            "" if r["outcome"] == "done" else r["outcome"],
            r["address"],
        )
        for r in rows
    ]
    show_table(("When", "Who", "What", "On what", "", "From"), shown)


@app.command(help="Recompute the hash chain; exit code 1 where it is broken.")
def verify(state: StateOption = "state", json: JsonOption = False) -> None:
    """Whole or not."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        check = verify_audit(connection)
    if json:
        show_json({"rows": check.rows, "whole": check.broken_at is None,
                   "broken_at": check.broken_at})  # fmt: skip
    else:
        typer.echo(check.sentence)
    if check.broken_at is not None:
        raise typer.Exit(EXIT_BROKEN)
