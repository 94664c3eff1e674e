"""What a young server has not to show: drift, and what history suggests. The server's answers are made up
here, as its description has them; what the page asks for is looked at."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page, Route, expect
from tests.browser.conftest import Visitor, sound

from vezha.api.dependencies import SuggestionsView
from vezha.api.drift import DriftsView, MendingView

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Visit = Callable[..., Visitor]


def play(page: Page, path: str, shape: Any, answer: dict[str, Any], asked: list[Any]) -> None:
    """Answer *path* with *answer*, which must be what the server describes; what is sent goes to *asked*."""
    msgspec.convert(answer, shape)

    def reply(route: Route) -> None:
        if route.request.post_data:
            asked.append(json.loads(route.request.post_data))
        route.fulfill(json=answer)

    page.route(f"**/api/v1/{path}", reply)


DRIFT = {
    "host": "web-1", "kind": "config", "code": "edited", "sentence": "edited by hand",
    "delivered": "c1", "target": "agent.toml", "sha256": "0" * 64, "runs": "c2", "runs_sha256": "1" * 64, "keys": ["[watch]"],
    "change_id": None, "can_be_mended": True,
}  # fmt: skip


def test_drift_is_shown_taken_for_meant_and_mended(at_work: Visit, axe: str) -> None:
    person = at_work()
    page = person.page
    asked: list[Any] = []
    play(page, "drift", DriftsView, {"drift": [DRIFT]}, asked)
    play(page, "drift?*", DriftsView, {"drift": [DRIFT]}, asked)
    play(page, "drift/accept", dict[str, Any], {}, asked)
    mending = {
        "mended": [{"target": "agent.toml", "hosts": ["web-1"], "lacks": [], "change_id": None,
                    "rollout_id": None, "document": {}, "text": "one wave"}],
        "left": [], "told_again": [], "started": False,
    }  # fmt: skip
    play(page, "drift/mend", MendingView, mending, asked)
    person.open("/changes")
    row = page.get_by_role("listitem").filter(has_text="agent.toml on that host was changed")
    expect(row.get_by_role("link", name="web-1")).to_be_visible()
    sound(page, axe)
    row.get_by_role("button", name="It is meant").click()
    box = page.get_by_role("dialog")
    expect(box).to_contain_text("[watch]")
    box.get_by_role("textbox").fill("it watches a new disk")
    sound(page, axe)
    box.get_by_role("button", name="It is meant").click()
    expect(box).to_be_hidden()
    assert asked[-1] == {"host": "web-1", "why": "it watches a new disk"}
    page.get_by_role("button", name="Mend …").click()
    expect(box).to_contain_text("Nothing is started yet")
    box.get_by_role("textbox").fill("back to what was delivered")
    sound(page, axe)
    box.get_by_role("button", name="Mend them").click()
    expect(box).to_be_hidden()
    assert asked[-1]["why"] == "back to what was delivered"
    assert not asked[-1].get("dry_run")


def test_what_history_suggests_is_accepted(at_work: Visit, axe: str) -> None:
    person = at_work()
    page = person.page
    asked: list[Any] = []
    suggested = {
        "child": "web-1", "parent": "gw-1", "sentence": "down together 4 times", "together": 4,
        "parent_outages": 4, "child_outages": 5, "parent_first": 4, "median_lead_s": 3.0,
        "examples_at": [1_700_000_000.0],
    }  # fmt: skip
    answer = {"suggestions": [suggested], "groups": []}
    play(page, "dependency-suggestions", SuggestionsView, answer, asked)
    person.open("/dependencies")
    expect(page.get_by_role("heading", name="Learned from what failed together")).to_be_visible()
    sound(page, axe)
    page.get_by_role("button", name="Accept: web-1 – gw-1").click()
    expect(page.get_by_role("status").filter(has_text="The dependency is kept.")).to_be_visible()
    assert asked[-1] == {"child": "web-1", "parent": "gw-1", "accept": True}
