"""Pages that write: a window, who is on call, a checklist, what depends on what. Changes: test_delivery."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import PHONE, Visitor, sound

Visit = Callable[..., Visitor]
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_change_made_elsewhere_is_told(at_work: Visit) -> None:
    page = at_work(language="uk").open("/draft/new")
    page.get_by_role("button", name="Зроблена деінде").click()
    page.get_by_role("button", name="Повідомити").click()
    expect(page.get_by_text("Це потрібно.")).to_be_visible()
    page.get_by_label("Що змінено, одним рядком").fill("Новий комутатор")
    page.get_by_label("Сервіс").fill("мережа")
    page.get_by_role("button", name="Повідомити").click()
    expect(page.get_by_role("heading", name="Новий комутатор")).to_be_visible()


def test_windows_are_made_changed_and_ended(at_work: Visit, axe: str) -> None:
    person = at_work()
    person.refused.add("400")
    page = person.open("/silences")
    page.get_by_role("button", name="New window").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Feast of the shop")
    dialog.get_by_role("button", name="Each week").click()
    dialog.get_by_role("button", name="Sat").click()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("day")
    sound(page, axe)
    dialog.get_by_role("button", name="Sun").click()
    dialog.get_by_label("Time zone").fill("Europe/Kyiv")
    dialog.get_by_role("button", name="Save").click()
    row = page.get_by_role("listitem").filter(has_text="Feast of the shop").last
    expect(row).to_contain_text("Sun from 02:00 for 2 h (Europe/Kyiv)")
    row.get_by_role("button", name="Edit").click()
    dialog.get_by_label("Hours").fill("3")
    dialog.get_by_role("button", name="is held").click()
    dialog.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("for 3 h")
    expect(row).to_contain_text("a begun wave is held")
    row.get_by_role("button", name="End now").click()
    row.get_by_role("group").get_by_role("button", name="End now").click()
    expect(page.get_by_text("Feast of the shop")).to_have_count(0)


def test_on_call_is_set_up_on_a_phone(at_work: Visit, axe: str) -> None:
    person = at_work(size=PHONE)
    person.refused.add("400")
    page = person.open("/oncall")
    page.get_by_role("button", name="New schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Short name").fill("core")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("at least one person")
    dialog.get_by_label("Name of a person").fill("admin")
    dialog.get_by_label("Name of a person").press("Enter")
    sound(page, axe)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="core", exact=True)).to_be_visible()
    page.goto(person.base + "/oncall/policies")
    page.get_by_role("button", name="New policy").click()
    dialog.get_by_label("Short name").fill("core")
    expect(dialog.get_by_text("Schedule core")).to_be_visible()
    dialog.get_by_label("Add somebody …").select_option("person:admin")
    dialog.get_by_label("Then waits, min").fill("2")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Schedule core, Person admin")).to_be_visible()
    page.get_by_role("button", name="New team").click()
    dialog.get_by_label("Short name").fill("core")
    dialog.get_by_label("Whose alerts").fill('team="core"')
    dialog.get_by_label("Woken by").select_option("core")
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_text('team="core"')).to_be_visible()
    # what is still named cannot be deleted; then all goes
    page.goto(person.base + "/oncall")
    for path in ("/teams/core", "/oncall/policies/core"):
        person.call("DELETE", path)
    page.get_by_role("button", name="Delete: core").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_role("heading", name="core", exact=True)).to_have_count(0)


def test_a_checklist_is_written(at_work: Visit, axe: str) -> None:
    page = at_work().open("/checklists/new")
    page.get_by_label("Short name").fill("night-watch")
    text = page.get_by_label("As it is written")
    text.fill("---\ntitle: Night watch\n---\n- [ ] Warm? {warmth}\n")
    expect(page.get_by_role("status").filter(has_text=":4:")).to_be_visible()
    expect(page.get_by_role("button", name="Save")).to_be_disabled()
    text.fill("---\ntitle: Night watch\n---\n- [ ] The lights are on\n")
    expect(page.get_by_text("Nothing is wrong with it.")).to_be_visible()
    sound(page, axe)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Night watch")).to_be_visible()
    page.get_by_role("button", name="Edit").click()
    page.locator("textarea").fill("---\ntitle: Light watch\n---\n- [ ] The lights are on\n")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Light watch")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("group").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("heading", name="Checklists", exact=True)).to_be_visible()


def test_what_depends_on_what_is_said_and_taken_back(at_work: Visit, axe: str) -> None:
    person = at_work()
    person.refused.add("400")
    page = person.open("/dependencies")
    page.get_by_role("button", name="New dependency").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("What depends").fill('site="lviv"')
    dialog.get_by_label("On what").fill("site=")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("On what")).to_have_attribute("aria-invalid", "true")
    dialog.get_by_label("On what").fill("gw-1\ngw-2")
    dialog.get_by_role("button", name="Save").click()
    row = page.get_by_role("listitem").filter(has_text='site="lviv"')
    expect(row).to_contain_text("gw-1 or gw-2")
    sound(page, axe)
    row.get_by_role("button", name="Remove").click()
    row.get_by_role("group").get_by_role("button", name="Remove").click()
    expect(row).to_have_count(0)


def test_a_viewer_reads_and_writes_nothing(at_work: Visit, visit: Visit) -> None:
    admin = at_work()
    made = cast("Any", admin.call("POST", "/users", {"name": "reader", "role": "viewer"}))
    person = visit(admin.base)
    person.enter("reader", made["one_time_password"])
    person.call(
        "POST",
        "/session/password",
        {"old": made["one_time_password"], "new": "verba kalyna dub 17"},
    )
    page = person.open("/draft/new")
    expect(page.get_by_role("heading", name="You may not see this.")).to_be_visible()
    for path in ("/silences", "/oncall", "/oncall/policies", "/dependencies", "/checklists"):
        page.goto(person.base + path)
        expect(page.get_by_role("heading", level=1).first).to_be_visible()
        expect(page.locator("h1.ghost")).to_have_count(0, timeout=30_000)
        expect(page.get_by_role("button", name=re.compile("^New|^Edit|^Delete"))).to_have_count(0)
    admin.call("DELETE", "/users/reader")
