"""`vezha diary`: the weekly page, on the terminal or as a file."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer

from vezha.cli.opened import (
    JsonOption,
    StateOption,
    now_ms,
    opened_ledger,
    public_url_of,
    show_ms,
)
from vezha.diary.facts import to_json
from vezha.diary.gather import gather
from vezha.diary.page import list_pages, read_page
from vezha.diary.render import as_html, as_markdown, as_text, page_of
from vezha.diary.week import week_at, week_named
from vezha.diary.words import LANGUAGES
from vezha.server.asking import Asking

app = typer.Typer()
FORMATS = {"text": as_text, "markdown": as_markdown, "html": as_html}


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    state: StateOption = "state",
    week: Annotated[str, typer.Option(help="Such as 2026-W47; this week by default.")] = "",
    language: Annotated[str, typer.Option(help="en or uk.")] = "en",
    format_: Annotated[str, typer.Option("--format", help="text, markdown or html.")] = "text",
    json: JsonOption = False,
) -> None:
    """The weekly page. A week that is over reads as it was kept; this week is gathered now."""
    if context.invoked_subcommand is not None:
        return
    if language not in LANGUAGES:
        raise typer.BadParameter(f"use one of {', '.join(LANGUAGES)}", param_hint="--language")
    if format_ not in FORMATS:
        raise typer.BadParameter(f"use one of {', '.join(FORMATS)}", param_hint="--format")
    with opened_ledger(state) as (settings, ledger):
        zone, now = settings.diary_time_zone, now_ms()
        wanted = week_named(week, zone) if week else week_at(now, zone)
        if wanted.begin_ms > now:
            raise typer.BadParameter(f"{wanted.name} has not begun", param_hint="--week")
        with ledger.read() as connection:
            facts = read_page(connection, wanted.name)
            if facts is None or not facts.is_over:
                asking = Asking(settings)
                try:
                    facts = gather(connection, asking.instant, wanted, now, zone)
                finally:
                    asking.close()
    if json:
        typer.echo(orjson.dumps(to_json(facts), option=orjson.OPT_INDENT_2))
        return
    page = page_of(facts, language)
    if format_ == "text":
        typer.echo(as_text(page), nl=False)
    elif format_ == "markdown":
        typer.echo(as_markdown(page, public_url_of(settings)), nl=False)
    else:
        typer.echo(as_html(page, public_url_of(settings)), nl=False)


@app.command("list", help="Weeks that have a page.")
def list_(state: StateOption = "state", json: JsonOption = False) -> None:
    """The newest first."""
    with opened_ledger(state) as (_, ledger), ledger.read() as connection:
        pages = list_pages(connection)
    if json:
        typer.echo(orjson.dumps(pages, option=orjson.OPT_INDENT_2))
        return
    if not pages:
        typer.echo("No page yet: the first is made within minutes of the server's start.")
    for page in pages:
        typer.echo(f"{page.week}  made {show_ms(page.made_ms)}{'' if page.is_over else ' (lasts)'}")
