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
