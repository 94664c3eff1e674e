"""Forms: signing in, times by the clock of 24 hours, what the server refuses, rules as they are written."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import DESKTOP, PHONE, Visitor, sound
from tests.running import RunningVezha

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Visit = Callable[..., Visitor]
REHEARSED_MS = 30_000
RULES = """groups:
  - name: forms
    rules:
      - alert: FormsTest
        expr: node_load1 {op} 0
        labels:
          severity: warning
"""


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_signing_in_is_accessible(
    visit: Visit, server: RunningVezha, admin: str, axe: str, size: tuple[int, int]
) -> None:
    for theme, language in (("dark", "en"), ("light", "uk")):
        page = visit(server.url, size, language, theme).open("/sign-in")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        sound(page, axe)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize(("language", "new", "exact", "begin", "why", "which", "wrong"), [
    ("en", "New silence", "From … to …", "Begin", "Why", "Which alerts", "A day and a time"),
    ("uk", "Нова тиша", "Від … до …", "Почати", "Чому", "Які сигнали", "День і час"),
])  # fmt: skip
def test_a_time_is_written_in_24_hours(
    at_work: Visit,
    language: str,
    new: str,
    exact: str,
    begin: str,
    why: str,
    which: str,
    wrong: str,
) -> None:
    person = at_work(language=language)
    person.refused.add("400")
    page = person.open("/silences")
    page.get_by_role("button", name=new).click()
    form = page.get_by_role("dialog")
    form.get_by_label(which).fill('site="nowhere"')
    form.get_by_label(why).fill("forms")
    form.get_by_role("button", name=exact).click()
    begins = form.locator('[data-field="starts_at"]')
    expect(begins).to_have_value(re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d$"))
    begins.fill("11/23/2026, 11:00 PM")
    form.get_by_role("button", name=begin).click()
    expect(form.get_by_role("alert")).to_contain_text(wrong)
    begins.fill("2026-11-23 905")
    begins.blur()
    expect(begins).to_have_value("2026-11-23 09:05")
    # what the server refuses is said in the page's language
    form.locator('[data-field="ends_at"]').fill("2026-11-22 09:00")
    form.get_by_role("button", name=begin).click()
    said = "A silence must end" if language == "en" else "Тиша має скінчитися"
    expect(form.get_by_role("alert")).to_contain_text(said)


def test_a_rule_file_is_linted_rehearsed_and_saved(at_work: Visit, axe: str) -> None:
    person = at_work()
    page = person.open("/rules/new")
    page.get_by_label("Name of the file").fill("forms.yml")
    text = page.get_by_label("Rules, as Prometheus writes them")
    text.fill(RULES.format(op=">="))
    save = page.get_by_role("button", name="Save")
    expect(page.locator(".lint .muted")).to_be_visible()
    expect(save).to_be_disabled()
    text.fill(RULES.format(op=">=>"))
    expect(page.locator(".lint .wrong")).to_contain_text("forms.yml")
    expect(page.get_by_role("button", name="Rehearse")).to_be_disabled()
    sound(page, axe)
    text.fill(RULES.format(op=">="))
    expect(page.locator(".lint .wrong")).to_have_count(0)
    page.get_by_role("button", name="Rehearse").click()
    expect(page.get_by_role("heading", name="It would have fired")).to_be_visible(
        timeout=REHEARSED_MS
    )
    expect(page.get_by_role("cell", name=re.compile("FormsTest"))).to_be_visible()
    sound(page, axe)
    page.get_by_label("What was changed, and why").fill("the forms' test")
    save.click()
    expect(page).to_have_url(re.compile(r"/rules/forms\.yml$"), timeout=REHEARSED_MS)
    expect(page.get_by_text("the forms' test")).to_be_visible()
    found = person.call("GET", "/rule-files/forms.yml")
    assert isinstance(found, dict)
    person.call("DELETE", f"/rule-files/forms.yml?before={found['hash']}")
