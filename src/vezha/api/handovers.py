"""Hand-overs: the page of the shift that runs, and those of the past."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from vezha.access import Action
from vezha.api.duty_rows import read
from vezha.api.route import Call, Route, seconds
from vezha.incidents.oncall.handover import Item, Page, current_page, list_handovers
from vezha.incidents.oncall.limits import HANDOVERS_LISTED_MAX


class HandoverQuery(msgspec.Struct):
    """Which hand-overs."""

    schedule: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=HANDOVERS_LISTED_MAX)] = 20
    language: Literal["en", "uk"] = "en"


class HandoverPageQuery(msgspec.Struct):
    """In which language titles and next steps are."""

    language: Literal["en", "uk"] = "en"


class HandoverItemView(msgspec.Struct):
    """One line of a hand-over page; `id` is the incident's, or the silence's, or 0."""

    kind: str
    id: int
    title: str
    severity: str
    state: str
    by: str
    since_at: float | None
    until_at: float | None
    next: str


class HandoverView(msgspec.Struct):
    """A hand-over page: what is open, silenced, changed, fragile, and what to look at first."""

    schedule: str
    from_person: str
    to_person: str
    at: float | None
    since_at: float | None
    resolved_count: int
    look_at: list[HandoverItemView]
    open: list[HandoverItemView]
    silenced: list[HandoverItemView]
    changed: list[HandoverItemView]
    fragile: list[HandoverItemView]


class HandoversView(msgspec.Struct):
    """Past hand-overs, the newest first."""

    handovers: list[HandoverView]


def item_view(item: Item, language: str) -> HandoverItemView:
    """A line of a hand-over page as the API shows it."""
    return HandoverItemView(
        item.kind, item.id, item.titled(language), item.severity, item.state,
        item.because(language),
        seconds(item.since_ms) if item.since_ms else None, seconds(item.until_ms),
        item.advised(language),
    )  # fmt: skip


def page_view(page: Page, language: str = "en") -> HandoverView:
    """A hand-over page as the API shows it."""
    lists = {
        name: [item_view(item, language) for item in getattr(page, name)]
        for name in ("look_at", "open", "silenced", "changed", "fragile")
    }
    return HandoverView(
        page.schedule, page.from_person, page.to_person, seconds(page.at_ms),
        seconds(page.since_ms), page.resolved_count, **lists,
    )  # fmt: skip


def handover(call: Call) -> HandoverView:
    """The page of the shift that runs."""
    name = call.path["name"]
    page = read(call, lambda c: current_page(c, name, call.services.now_ms()))
    return page_view(page, call.query.language)


def handovers(call: Call) -> HandoversView:
    """Past hand-overs."""
    query: HandoverQuery = call.query
    found = read(call, lambda c: list_handovers(c, query.schedule, query.limit))
    pages = [page_view(Page.from_json(row.page), query.language) for row in found]
    return HandoversView(pages)


_SCHEDULE = "/api/v1/oncall/schedules/{name}"
ROUTES = (
    Route("GET", f"{_SCHEDULE}/handover", Action.ONCALL_READ, handover,
          "What would be handed over now.", query=HandoverPageQuery, result=HandoverView),
    Route("GET", "/api/v1/oncall/handovers", Action.ONCALL_READ, handovers,
          "Past hand-overs.", query=HandoverQuery, result=HandoversView),
)  # fmt: skip
