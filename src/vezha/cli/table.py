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


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns for people; not wrapped where a program reads."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        # Names are shown as they are: brackets in them are no markup.
        table.add_row(*(Text(cell) for cell in row))
    Console(soft_wrap=not sys.stdout.isatty()).print(table)
