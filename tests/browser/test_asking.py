"""The pages that ask and keep quiet: silences, rules, Explore, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Visitor
from tests.running import RunningVezha

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]

Visit = Callable[..., Visitor]
SOON_MS = 20_000
RULE = """
groups:
  - name: asking
    rules:
      - alert: AskingTest
        expr: node_load1 >= 0
        labels: {severity: warning}
        annotations: {vezha_title: somebody asks}
"""


@pytest.fixture
def firing(server: RunningVezha, admin: str) -> Iterator[None]:
    """A rule that fires at once, and no longer afterwards."""
    rule = server.state / "rules" / "asking.yml"
    rule.parent.mkdir(exist_ok=True)
    rule.write_text(RULE)
    yield
    rule.unlink()


def test_an_incident_is_silenced_and_heard_again(at_work: Visit, firing: None) -> None:
    person = at_work()
    page = person.open("/incidents")
    page.get_by_role("link", name=re.compile("somebody asks")).first.click(timeout=SOON_MS)
    page.get_by_role("button", name="Silence …").click(timeout=SOON_MS)
    form = page.get_by_role("dialog", name="New silence")
    expect(form.get_by_label("Which alerts")).to_have_value(
        re.compile(r'^alertname="AskingTest", instance="[^"]+"$')
    )
    form.get_by_role("button", name="1 h", exact=True).click()
    form.get_by_label("Why").fill("the browser test is at work")
    form.get_by_role("button", name="Begin").click()
    expect(form).to_have_count(0)
    made = person.call("GET", "/silences")
    assert isinstance(made, dict)
    assert made["silences"][0]["ends_at"] - made["silences"][0]["starts_at"] == 3600

    page.keyboard.press("g")
    page.keyboard.press("s")
    expect(page.get_by_role("heading", level=1)).to_have_text("1 silence is running.")
    row = page.locator(".item").filter(has_text="the browser test is at work")
    expect(row).to_contain_text('alertname="AskingTest"')
    row.get_by_role("button", name="End now").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is silenced.")
    expect(row).to_contain_text("ended by admin")

    page.get_by_role("button", name="New silence").click()
    form.get_by_label("Which alerts").fill("this is no matcher")
    form.get_by_label("Why").fill("to see what is said")
    form.get_by_role("button", name="Begin").click()
    expect(form.get_by_role("alert")).to_contain_text("is not a matcher")
    # The browser tells of each refusal; that is not a fault of the page.
    person.complaints[:] = [c for c in person.complaints if "400" not in c]


def test_a_query_is_written_asked_and_mended(at_work: Visit) -> None:
    person = at_work()
    page = person.open("/explore")
    field = page.get_by_label("PromQL expression")
    field.press_sequentially("node_memory_MemAv")
    expect(page.get_by_role("option").first).to_have_text("node_memory_MemAvailable_bytes")
    field.press("Tab")
    expect(field).to_have_value("node_memory_MemAvailable_bytes")
    field.press("Enter")
    expect(page.get_by_role("table")).to_contain_text("node_memory_MemAvailable_bytes")
    expect(page.locator(".result .now b")).to_have_text(re.compile(r"^\d"), timeout=SOON_MS)
    expect(page).to_have_url(re.compile(r"q=node_memory_MemAvailable_bytes"))

    field.fill("sum(up up)")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_contain_text("parse error")
    expect(page.locator(".fault mark")).to_have_text("up")
    expect(page.get_by_role("table")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("table")).to_be_visible()
    expect(field).to_have_value("node_memory_MemAvailable_bytes")
    person.complaints[:] = [c for c in person.complaints if "400" not in c]


def test_a_rule_leads_to_its_expression(at_work: Visit, firing: None) -> None:
    person = at_work()
    page = person.open("/rules")
    rule = page.locator(".item").filter(has_text="AskingTest")
    expect(rule).to_contain_text("1 fires", timeout=SOON_MS)
    rule.locator("summary").click()
    expect(rule.locator("code")).to_have_text("node_load1 >= 0")
    rule.get_by_role("link", name="Open in Explore").click()
    expect(page.get_by_label("PromQL expression")).to_have_value("node_load1 >= 0")
    expect(page.get_by_role("table")).to_contain_text("node_load1")
