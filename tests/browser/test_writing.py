"""Pages that write: a change, a window, who is on call, a checklist, what depends on what."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import PHONE, Visitor
from tests.launched import Publisher, wait_until
from tests.running import RunningVezha

Visit = Callable[..., Visitor]
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


def sound(page: Page, axe: str) -> None:
    """axe finds nothing on the page as it is."""
    page.evaluate(axe)
    answer = page.evaluate("axe.run(document)")
    found = [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in answer["violations"]]
    assert found == []


def refused(person: Visitor) -> None:
    """The browser tells of an answer 400 in its console; here that is what is looked for."""
    person.complaints[:] = [c for c in person.complaints if "400" not in c]


def test_a_change_is_written_planned_and_started(
    at_work: Visit, server: RunningVezha, axe: str
) -> None:
    publisher = Publisher(server.state)
    target = "config/written/1/agent.toml"
    publisher.sign({target: (b"[collectors.hwmon]\nenabled = true\n", {})})
    person = at_work()

    def running() -> list[str]:
        hosts = cast("Any", person.call("GET", "/hosts"))["hosts"]
        return [one["name"] for one in hosts if publisher.running(one["name"])]

    wait_until(lambda: bool(running()), 60.0, server.told)
    name = running()[0]
    person.call("PATCH", f"/hosts/{name}", {"labels": {"role": "first"}})
    page = person.open(f"/draft/new?kind=config&target={target}")
    expect(page.get_by_label("Which configuration")).to_have_value(target)
    sound(page, axe)
    # the browser's own rules: nothing is sent
    page.get_by_label("Wave 2").fill("Big Wave")
    page.get_by_role("button", name="Save and plan").click()
    expect(page.get_by_label("Wave 2")).to_be_focused()
    expect(page.get_by_text("no spaces")).to_be_visible()
    page.get_by_label("Wave 2").fill("tenth")
    # the server's: the selector is not one, and the words stand beside it
    hosts = page.get_by_label("For which hosts")
    hosts.fill('role="fir')
    expect(page.get_by_text("These are no matchers yet.")).to_be_visible()
    page.get_by_role("button", name="Save and plan").click()
    expect(hosts).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_contain_text("is not a selector")
    refused(person)
    hosts.fill("")
    page.get_by_role("group", name="role").get_by_role("button", name="first").click()
    expect(page.get_by_text("1 host now")).to_be_visible()
    page.get_by_label("Why it is useful").fill("what it measures is needed")
    page.get_by_label("Checklist that supports it").select_option("disk-full")
    for wave in ("half", "tenth"):
        page.get_by_role("button", name=f"Leave wave {wave} out").click()
    for left in page.get_by_label("Watched, min").all():
        left.fill("0")
    page.get_by_role("button", name="Save and plan").click()
    expect(page.get_by_text("It can be started.")).to_be_visible()
    expect(page.locator(".plan-lines .add")).to_contain_text("+ 1")
    sound(page, axe)
    page.get_by_role("button", name="Start …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("canary (1)")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text=re.compile("Under way|Done"))).to_be_visible()
    # it can no longer be written anew
    page.goto(page.url.replace("/change/", "/draft/"))
    expect(page.get_by_role("heading", name="This change was started")).to_be_visible()


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
    page = person.open("/silences")
    page.get_by_role("button", name="New window").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Name").fill("Feast of the shop")
    dialog.get_by_role("button", name="Each week").click()
    dialog.get_by_role("button", name="Sat").click()
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("day")
    refused(person)
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
    page = person.open("/oncall")
    page.get_by_role("button", name="New schedule").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Short name").fill("core")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_role("alert")).to_contain_text("at least one person")
    refused(person)
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
    page = person.open("/dependencies")
    page.get_by_role("button", name="New dependency").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("What depends").fill('site="lviv"')
    dialog.get_by_label("On what").fill("site=")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_label("On what")).to_have_attribute("aria-invalid", "true")
    refused(person)
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
        expect(page.get_by_role("heading", level=1)).not_to_have_text("Loading")
        expect(page.get_by_role("button", name=re.compile("^New|^Edit|^Delete"))).to_have_count(0)
    admin.call("DELETE", "/users/reader")
