"""A page as Markdown, as HTML for a mail, as plain text. Pure.

Every sentence is followed by what it was made from, as links where a page exists.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from vezha.diary.entry import Entry, is_empty, sections_of
from vezha.diary.facts import WeekFacts
from vezha.diary.words import heading, sentence

_PATHS = {
    "change": "/change/{id}",
    "incident": "/incident/{id}",
    "host": "/host/{id}",
    "rule": "/rules?q={id}",
    "scenario": "/scenarios?q={id}",
    "week": "/diary/{id}",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence as it is read: its text and what it cites, with paths of pages (or empty)."""

    code: str
    text: str
    cites: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A section as it is read."""

    name: str
    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page as it is read. `lead` is what stands above the sections."""

    title: str
    span: str
    lead: tuple[str, ...]
    parts: tuple[Part, ...]


def page_of(facts: WeekFacts, language: str) -> Page:
    """The page in `en` or `uk`."""
    zone = ZoneInfo(facts.time_zone)
    first = datetime.fromtimestamp(facts.begin_ms / 1000, zone)
    last = datetime.fromtimestamp((facts.end_ms - 1) / 1000, zone)
    lead = []
    if not facts.is_over:
        lead.append(heading(language, "so_far"))
    if is_empty(facts):
        lead.append(heading(language, "empty"))
    parts = tuple(
        Part(
            section.name,
            heading(language, section.name),
            tuple(_line(entry, language) for entry in section.entries),
        )
        for section in sections_of(facts)
    )
    span = heading(language, "span", from_=first.strftime("%d.%m.%Y"), to=last.strftime("%d.%m.%Y"))
    return Page(heading(language, "title", week=facts.week), span, tuple(lead), parts)


def _line(entry: Entry, language: str) -> Line:
    cites = tuple((cite, path_of(cite)) for cite in entry.cites)
    return Line(entry.code, sentence(entry, language), cites)


def path_of(cite: str) -> str:
    """The path of the page on which a cited row is shown; empty where there is none."""
    kind, _, id_ = cite.partition(":")
    pattern = _PATHS.get(kind)
    return pattern.format(id=quote(id_, safe="")) if pattern else ""


def as_markdown(page: Page, public_url: str = "") -> str:
    """The page as Markdown; links are whole addresses where *public_url* is known."""

    def link(cite: str, path: str) -> str:
        if not path or not public_url:
            return f"`{cite}`"
        return f"[{cite}]({public_url}{path})"

    lines = [f"# {page.title}", "", page.span, ""]
    for text in page.lead:
        lines += [text, ""]
    for part in page.parts:
        lines += [f"## {part.heading}", ""]
        lines += [f"- {_escaped(line.text)} ({_joined(line.cites, link)})" for line in part.lines]
        lines.append("")
    return "\n".join(lines)


def as_text(page: Page) -> str:
    """The page for a terminal or a plain mail."""
    lines = [page.title, page.span, ""]
    for text in page.lead:
        lines += [text, ""]
    for part in page.parts:
        lines.append(part.heading)
        lines += [f"  - {li.text} [{', '.join(c for c, _ in li.cites)}]" for li in part.lines]
        lines.append("")
    return "\n".join(lines)


def as_html(page: Page, public_url: str = "") -> str:
    """The page as a whole HTML document without scripts, as mail programs show it."""

    def link(cite: str, path: str) -> str:
        shown = html.escape(cite)
        if not path or not public_url:
            return shown
        address = html.escape(f"{public_url}{path}", quote=True)
        return f'<a href="{address}" style="color:#1e65aa">{shown}</a>'

    parts = []
    for part in page.parts:
        rows = "".join(
            f"<li>{html.escape(line.text)} "
            f'<span style="color:#656b73;font-size:12px">{_joined(line.cites, link)}</span></li>'
            for line in part.lines
        )
        parts.append(f"<h2>{html.escape(part.heading)}</h2><ul>{rows}</ul>")
    lead = "".join(f"<p>{html.escape(text)}</p>" for text in page.lead)
    return (
        '<!doctype html><html><head><meta charset="utf-8">'
        f"<title>{html.escape(page.title)}</title></head>"
        '<body style="font-family:sans-serif;max-width:44em;color:#1d2229">'
        f"<h1>{html.escape(page.title)}</h1><p>{html.escape(page.span)}</p>{lead}"
        f"{''.join(parts)}</body></html>\n"
    )


def _joined(cites: Sequence[tuple[str, str]], link: Callable[[str, str], str]) -> str:
    return ", ".join(link(cite, path) for cite, path in cites)


def _escaped(text: str) -> str:
    """Text in which nothing is taken for Markdown: titles come from outside."""
    for sign in "\\`*_[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return text
