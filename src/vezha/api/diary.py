"""`/api/v1/diary`: the weekly pages, as data, Markdown or HTML, in English or Ukrainian.

A page is what the ops contour last kept; of a week without one the rows alone are asked, and the
page says that samples were not.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from vezha.access import Action
from vezha.api.errors import InvalidError
from vezha.api.route import Call, Route, seconds
from vezha.diary.errors import OperatorError
from vezha.diary.facts import WeekFacts
from vezha.diary.gather import gather
from vezha.diary.page import list_pages, read_page
from vezha.diary.render import as_html, as_markdown, page_of
from vezha.diary.week import week_named
from vezha.diary.words import LANGUAGES

TIME_ZONE = "diary_time_zone"
"""Under this name `Services.extra` holds the zone in which weeks begin; UTC where it does not."""
PUBLIC_URL = "public_url"
"""Under this name `Services.extra` holds the address of the pages, for links in documents."""
_LISTED_MAX = 520


class CiteView(msgspec.Struct):
    """A row that a sentence was made from, and the path of its page (empty: it has none)."""

    id: str
    path: str


class LineView(msgspec.Struct):
    """One sentence."""

    code: str
    text: str
    cites: list[CiteView]


class PartView(msgspec.Struct):
    """One section."""

    name: str
    heading: str
    lines: list[LineView]


class PageView(msgspec.Struct):
    """A week's page. `is_over`: the week had ended when it was made."""

    week: str
    title: str
    span: str
    is_over: bool
    made_at: float | None
    begins_at: float | None
    ends_at: float | None
    lead: list[str]
    parts: list[PartView]


class WeekView(msgspec.Struct):
    """A week that has a page."""

    week: str
    made_at: float | None
    is_over: bool


class WeeksView(msgspec.Struct):
    """Weeks that have a page, the newest first."""

    weeks: list[WeekView]


class WeeksQuery(msgspec.Struct):
    """How many."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=_LISTED_MAX)] = 60


class PageQuery(msgspec.Struct):
    """In which language: en or uk."""

    language: str = "en"


def list_weeks(call: Call) -> dict[str, Any]:
    """Weeks that have a page."""
    query: WeeksQuery = call.query
    with call.services.ledger.read() as connection:
        pages = list_pages(connection, query.limit)
    return {
        "weeks": [
            {"week": p.week, "made_at": seconds(p.made_ms), "is_over": p.is_over} for p in pages
        ]
    }


def _facts(call: Call) -> tuple[WeekFacts, str]:
    query: PageQuery = call.query
    if query.language not in LANGUAGES:
        raise InvalidError(f"language is one of {', '.join(LANGUAGES)}.", "language")
    zone = call.services.extra.get(TIME_ZONE, "UTC")
    try:
        week = week_named(call.path["week"], zone)
    except OperatorError as fault:
        raise InvalidError(f"{fault}.", "week") from None
    now_ms = call.services.now_ms()
    if week.begin_ms > now_ms:
        raise InvalidError(f"The week {week.name} has not begun.", "week")
    with call.services.ledger.read() as connection:
        facts = read_page(connection, week.name)
        if facts is None:
            facts = gather(connection, None, week, now_ms, zone)
    return facts, query.language


def read(call: Call) -> dict[str, Any]:
    """One page as data."""
    facts, language = _facts(call)
    page = page_of(facts, language)
    return {
        "week": facts.week,
        "title": page.title,
        "span": page.span,
        "is_over": facts.is_over,
        "made_at": seconds(facts.made_ms),
        "begins_at": seconds(facts.begin_ms),
        "ends_at": seconds(facts.end_ms),
        "lead": list(page.lead),
        "parts": [
            {
                "name": part.name,
                "heading": part.heading,
                "lines": [
                    {
                        "code": line.code,
                        "text": line.text,
                        "cites": [{"id": cite, "path": path} for cite, path in line.cites],
                    }
                    for line in part.lines
                ],
            }
            for part in page.parts
        ],
    }


def read_markdown(call: Call) -> Response:
    """One page as Markdown."""
    facts, language = _facts(call)
    text = as_markdown(page_of(facts, language), call.services.extra.get(PUBLIC_URL, ""))
    return Response(text, media_type="text/markdown; charset=utf-8")


def read_html(call: Call) -> Response:
    """One page as a whole HTML document, to be sent or saved."""
    facts, language = _facts(call)
    text = as_html(page_of(facts, language), call.services.extra.get(PUBLIC_URL, ""))
    headers = {
        "Content-Disposition": f'attachment; filename="vezha-{facts.week.lower()}.html"',
        "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    }
    return Response(text, media_type="text/html; charset=utf-8", headers=headers)


_PAGE = "/api/v1/diary/{week}"
ROUTES: tuple[Route, ...] = (
    Route("GET", "/api/v1/diary", Action.DIARY_READ, list_weeks,
          "Weeks that have a page in the diary.", query=WeeksQuery, result=WeeksView),
    Route("GET", _PAGE, Action.DIARY_READ, read,
          "A week's page: what was delivered, what is stable, where the risk is.",
          query=PageQuery, result=PageView),
    Route("GET", f"{_PAGE}/markdown", Action.DIARY_READ, read_markdown,
          "A week's page as Markdown.", query=PageQuery),
    Route("GET", f"{_PAGE}/html", Action.DIARY_READ, read_html,
          "A week's page as an HTML document.", query=PageQuery),
)  # fmt: skip
