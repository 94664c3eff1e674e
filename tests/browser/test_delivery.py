"""A change is written, planned, started, held at a gate, its evidence is looked at, it goes on, and is rolled back."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, cast

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import Visitor, sound
from tests.launched import Publisher, wait_until
from tests.running import RunningVezha

Visit = Callable[..., Visitor]
TARGET = "config/quiet/1/agent.toml"
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_change_is_held_looked_at_approved_and_rolled_back(
    at_work: Visit, server: RunningVezha, axe: str
) -> None:
    publisher = Publisher(server.state)
    publisher.sign({TARGET: (b"[collectors.hwmon]\nenabled = false\n", {})})
    person = at_work()

    def watched() -> list[str]:
        hosts = cast("Any", person.call("GET", "/hosts"))["hosts"]
        return [one["name"] for one in hosts]

    # the agent of this machine has said what it can before anything is planned for it
    wait_until(lambda: any(publisher.running(name) for name in watched()), 60.0, server.told)
    name = next(one for one in watched() if publisher.running(one))
    person.call("PATCH", f"/hosts/{name}", {"labels": {"role": "first"}})
    person.refused.add("400")
    page = person.open(f"/draft/new?kind=config&target={TARGET}")
    expect(page.get_by_label("Which configuration")).to_have_value(TARGET)
    sound(page, axe)
    write(page, name)
    expect(page.get_by_text("It can be started.")).to_be_visible()
    expect(page.locator(".plan-lines .add")).to_contain_text("+ 1")
    sound(page, axe)
    change = page.url.rsplit("/", 1)[1]
    page.get_by_role("button", name="Start …").click()
    expect(page.get_by_role("dialog")).to_contain_text("canary (1)")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Held at wave canary")).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Approve wave canary").click()
    expect(page.get_by_role("cell", name="proven")).to_be_visible(timeout=90_000)
    expect(page.get_by_text(re.compile("< 100000|100,000|100000"))).to_be_visible()
    page.get_by_role("button", name=re.compile("^Roll back")).click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 host")
    dialog.get_by_role("button", name=re.compile("^Roll back")).click()
    expect(page.get_by_role("cell", name="went back")).to_be_visible(timeout=90_000)
    wait_until(
        lambda: cast("Any", person.call("GET", f"/changes/{change}"))["state"] == "reverted",
        30.0,
        server.told,
    )
    # what was begun can no longer be written anew
    page.goto(f"{person.base}/draft/{change}")
    expect(page.get_by_role("heading", name="This change was started")).to_be_visible()


def write(page: Page, name: str) -> None:
    """A change with one wave and three gates, by way of two mistakes."""
    page.get_by_label("Title").fill("fewer sensors")
    page.get_by_label("Why it is useful").fill("nobody reads them")
    page.get_by_label("Checklist that supports it").select_option("disk-full")
    # against the browser's own rules: nothing is sent
    page.get_by_label("Wave 1").fill("Big Wave")
    page.get_by_role("button", name="Save and plan").click()
    expect(page.get_by_label("Wave 1")).to_be_focused()
    expect(page.get_by_text("no spaces")).to_be_visible()
    page.get_by_label("Wave 1").fill("canary")
    # against the server's: its words stand beside the field
    hosts = page.get_by_label("For which hosts")
    hosts.fill('role="fir')
    expect(page.get_by_text("These are no matchers yet.")).to_be_visible()
    page.get_by_role("button", name="Save and plan").click()
    expect(hosts).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("alert")).to_contain_text("is not a selector")
    hosts.fill("")
    page.get_by_role("group", name="role").get_by_role("button", name="first").click()
    expect(page.get_by_text("1 host now")).to_be_visible()
    for wave in ("all", "half", "tenth"):
        page.get_by_role("button", name=f"Leave wave {wave} out").click()
    page.get_by_label("Who", exact=True).select_option("hosts")
    page.get_by_label("Names").fill(name)
    page.get_by_label("Watched, min").fill("0.02")
    page.get_by_role("button", name="Leave gate Hosts stay healthy out").click()
    page.get_by_label("Another gate").select_option("approval")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("Another gate").select_option("promql")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("Expression").fill("node_load1")
    page.get_by_label("Threshold").fill("100000")
    page.get_by_role("button", name="Ask it of the last day").click()
    expect(page.get_by_text(re.compile("could not tell|passed")).first).to_be_visible()
    page.get_by_text("How it is delivered").click()
    page.get_by_label("Spread over, s").fill("0")
    page.get_by_label("Watched on the host, s").fill("3")
    page.get_by_label("Go slower").uncheck()
    page.get_by_role("button", name="Save and plan").click()
