"""What changed stands on the charts; what a host runs and stands on is told in tables."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Visitor, sound

Visit = Callable[..., Visitor]
pytestmark = [pytest.mark.browser, pytest.mark.slow]
SOON_MS = 30_000

HAS_POINTS = """async () => {
  const answer = await fetch("/api/v1/query?query=" + encodeURIComponent("node_load1 offset 10s"));
  return (await answer.json()).data.result.length > 0;
}"""


def test_a_change_is_marked_on_charts_and_leads_to_itself(at_work: Visit, axe: str) -> None:
    person = at_work()
    name = person.open("/fleet").locator(".rows a").first.inner_text()
    began_at = time.time() - 120
    # both lie in one mark, which leads to the later
    for title in ("shop 4.1", "shop 4.2"):
        told = {"title": title, "key": title, "hosts": [name], "began_at": began_at,
                "ended_at": began_at + 20}  # fmt: skip
        person.call("POST", "/changes/report", told)
    page = person.open(f"/host/{name}")
    marks = page.get_by_role("list", name="What changed in this time")
    link = marks.get_by_role("link", name=re.compile(r"shop 4\.2"))
    expect(link).to_have_count(1, timeout=SOON_MS)
    link.focus()
    expect(link.locator(".mark-label")).to_be_visible()
    expect(link.locator(".mark-label")).to_contain_text("shop 4.1: done;")
    sound(page, axe)
    link.click()
    expect(page.get_by_role("heading", name="shop 4.2")).to_be_visible(timeout=SOON_MS)
    # a chart of an hour has a point each five seconds: a server that just began has none yet
    page.wait_for_function(HAS_POINTS, timeout=SOON_MS)
    page.goto(person.base + "/explore?q=node_load1&range=1h")
    expect(page.get_by_role("link", name=re.compile(r"shop 4\.2")).first).to_be_attached(
        timeout=SOON_MS
    )


def test_a_host_tells_what_it_runs_and_stands_on(at_work: Visit, axe: str) -> None:
    person = at_work()
    name = person.open("/fleet").locator(".rows a").first.inner_text()
    page = person.open(f"/host/{name}")
    parts = page.get_by_role("navigation", name="Parts of the host")
    parts.get_by_role("link", name="Processes").click()
    expect(page.get_by_role("region", name="Processes by name")).to_contain_text(
        "python", timeout=SOON_MS
    )
    sound(page, axe)
    parts.get_by_role("link", name="Disks").click()
    expect(
        page.get_by_role("heading", name=re.compile("Devices|File systems")).first
    ).to_be_visible()
    parts.get_by_role("link", name="Network").click()
    expect(page.get_by_role("region", name="Interfaces")).to_contain_text("lo", timeout=SOON_MS)
    parts.get_by_role("link", name="Agent").click()
    expect(page.get_by_text("Samples that arrived, last hour")).to_be_visible(timeout=SOON_MS)
    expect(page.get_by_role("region", name="What it reads")).to_contain_text("meminfo")
    page.go_back()
    expect(page.get_by_role("region", name="Interfaces")).to_be_visible(timeout=SOON_MS)
    parts.get_by_role("link", name="Charts").click()
    expect(page.locator("[data-chart=load] .now b")).to_have_text(
        re.compile(r"^\d"), timeout=SOON_MS
    )
