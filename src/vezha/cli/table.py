"""Tables and JSON on the terminal: the same rows for people and for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show_json(document: Any) -> None:
    """JSON for programs."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


_WIDE = 4_000
"""Columns of a terminal that is none, so that lines stay whole."""


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns for people; one line for each row where a program reads."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # what is too long goes on below: nothing is left out
        table.add_column(column, overflow="fold")
    for row in rows:
        # Names are shown as they are: brackets in them are no markup.
        table.add_row(*(Text(cell) for cell in row))
    print_table(table)


def print_table(table: Table, *, markup: bool = True) -> None:
    """A table on the terminal; one line for each row where a program reads."""
    Console(width=None if sys.stdout.isatty() else _WIDE, markup=markup).print(table)
