"""What is a team's own, on the pages: its members change it there, others are not offered to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import PASSWORD, PHONE, Visitor, sound

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Visit = Callable[..., Visitor]
CHECKLIST = "---\ntitle: Restart the web\nversion: 1\n---\n\n- [ ] Restart it\n"


@pytest.fixture
def people(at_work: Visit, visit: Visit) -> Iterator[dict[str, Callable[..., Visitor]]]:
    """Olena is in the team web, petro in none; both are operators."""
    boss = at_work()
    made = {
        name: cast("Any", boss.call("POST", "/users", {"name": name, "role": "operator"}))
        for name in ("olena", "petro")
    }

    boss.call("PUT", "/teams/web", {"members": ["olena"], "match": ['team="web"']})

    def come(name: str) -> Callable[..., Visitor]:
        first = visit(boss.base)
        first.enter(name, made[name]["one_time_password"])
        first.call(
            "POST", "/session/password", {"old": made[name]["one_time_password"], "new": PASSWORD}
        )

        def enter(**wish: Any) -> Visitor:
            person = visit(boss.base, **wish)
            person.enter(name, PASSWORD)
            return person

        return enter

    yield {name: come(name) for name in made}
    for path in ("/teams/web", "/users/olena", "/users/petro"):
        boss.call("DELETE", path)


def test_a_teams_silence_stays_its_own(people: dict[str, Visit], axe: str) -> None:
    olena = people["olena"]()
    page = olena.open("/silences")
    page.get_by_role("button", name="New silence").click()
    box = page.get_by_role("dialog")
    box.get_by_label("Which alerts").fill('alertname="Own"')
    box.get_by_label("Why").fill("The web is being moved")
    expect(box.get_by_text("every operator may end it")).to_be_visible()
    box.get_by_label("Whose").select_option("web")
    expect(box.get_by_text("for this team’s incidents alone")).to_be_visible()
    sound(page, axe)
    box.get_by_role("button", name="Begin").click()
    row = page.locator("li.item").filter(has_text="The web is being moved")
    expect(row).to_contain_text("team web")

    # changed, it is still the team's
    row.get_by_role("button", name="Edit").click()
    expect(box.get_by_label("Whose")).to_have_value("web")
    box.get_by_label("Why").fill("The web moves slowly")
    box.get_by_role("button", name="Begin").click()
    row = page.locator("li.item").filter(has_text="The web moves slowly")
    expect(row).to_contain_text("team web")
    kept = cast("Any", olena.call("GET", "/silences"))["silences"]
    assert [s["team"] for s in kept if s["state"] == "active"] == ["web"]

    other = people["petro"](size=PHONE, language="uk")
    seen = other.open("/silences")
    theirs = seen.locator("li.item").filter(has_text="The web moves slowly")
    expect(theirs).to_contain_text("команда web")
    expect(theirs.get_by_role("button")).to_have_count(0)
    sound(seen, axe)

    row.get_by_role("button", name="End now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is silenced.")


def test_a_teams_receiver_is_added_and_changed_by_its_members(
    people: dict[str, Visit], axe: str
) -> None:
    olena = people["olena"]()
    olena.refused.add("403")
    page = olena.open("/settings/receivers")
    page.get_by_role("button", name="Add a receiver").click()
    box = page.get_by_role("dialog")
    expect(box.get_by_text("Your team’s receivers begin with its name")).to_be_visible()
    box.get_by_label("Short name").fill("all-hook")
    box.get_by_label("Way").select_option("webhook")
    box.get_by_label("Address").fill("http://127.0.0.1:9/told")
    box.get_by_role("button", name="Save").click()
    expect(box.get_by_role("alert").first).to_contain_text("all-hook is no team's own")
    sound(page, axe)
    box.get_by_label("Short name").fill("web-hook")
    box.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Edit: web-hook")).to_be_visible()
    page.get_by_role("button", name="Edit: web-hook").click()
    # the address of a web hook is a secret: set, and not shown
    expect(box.get_by_label("Address")).to_have_attribute("placeholder", "••••••••")
    box.get_by_label("Address").fill("http://127.0.0.1:9/told-anew")
    box.get_by_role("button", name="Save").click()
    expect(box).to_have_count(0)

    other = people["petro"]().open("/settings/receivers")
    expect(other.get_by_text("web-hook")).to_be_visible()
    for name in ("Add a receiver", "Edit: web-hook", "Remove: web-hook"):
        expect(other.get_by_role("button", name=name)).to_have_count(0)

    page.get_by_role("button", name="Remove: web-hook").click()
    page.get_by_role("group", name="Nobody is told by it any more.").get_by_role(
        "button", name="Remove"
    ).click()
    expect(page.get_by_role("button", name="Edit: web-hook")).to_have_count(0)


def test_a_teams_checklist_is_done_by_all_and_changed_by_its_members(
    people: dict[str, Visit],
) -> None:
    olena = people["olena"]()
    page = olena.open("/checklists")
    saved = olena.call("PUT", "/checklists/web-restart", {"text": CHECKLIST})
    assert saved == {"problems": []}
    page.goto(olena.base + "/checklists")
    expect(page.locator("li.item").filter(has_text="Restart the web")).to_contain_text("team web")
    page.goto(olena.base + "/checklists/web-restart")
    expect(page.get_by_role("button", name="Edit")).to_be_visible()

    other = people["petro"]().open("/checklists/web-restart")
    expect(other.get_by_role("button", name="Begin")).to_be_visible()
    expect(other.get_by_role("button", name="Edit")).to_have_count(0)
    expect(other.get_by_role("button", name="Remove")).to_have_count(0)
    olena.call("DELETE", "/checklists/web-restart")
