"""A real browser in front of a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from tests.peers import find_peer, why_absent
from tests.running import RunningVezha

from vezha.ui import NotBuiltError, load

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
DESKTOP = (1440, 900)
PHONE = (390, 844)
PASSWORD = "kalyna verba dub 71"
PATIENCE_MS = 20_000

_SIGN_IN = """async ([name, password]) => {
  const answer = await fetch("/api/v1/session", {
    method: "POST",
    headers: {"content-type": "application/json"},
    body: JSON.stringify({name, password}),
  });
  return answer.status;
}"""
CALL = """async ([method, path, body]) => {
  const answer = await fetch("/api/v1" + path, {
    method,
    headers: {"content-type": "application/json"},
    body: body === null ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  return [answer.status, text === "" ? null : JSON.parse(text)];
}"""


@dataclass
class Visitor:
    """A person at a browser. `complaints` is what the browser's console told of errors."""

    context: BrowserContext
    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=lambda: {"401"})
    """Answers that are looked for: the browser calls them errors."""

    def open(self, path: str) -> Page:
        """Go to a page of this server."""
        self.page.goto(self.base + path)
        return self.page

    def enter(self, name: str, password: str) -> None:
        """Sign in without the form."""
        self.page.goto(self.base + "/sign-in")
        assert self.page.evaluate(_SIGN_IN, [name, password]) == 200

    def call(self, method: str, path: str, body: object = None) -> object:
        """Ask the API as this person; the answer, which must be a success."""
        status, answer = self.page.evaluate(CALL, [method, path, body])
        assert status < 300, (method, path, status, answer)
        return answer


@pytest.fixture(scope="session")
def built_pages() -> None:
    """Skips where the pages were not built."""
    try:
        load()
    except NotBuiltError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def browser(built_pages: None) -> Iterator[Browser]:
    """One headless Chromium for all tests."""
    path = find_peer("chromium")
    if path is None:
        pytest.skip(why_absent("chromium"))
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, headless=True, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """`visit(base)`: a new person with an empty browser, who must see no error in the console."""
    people: list[Visitor] = []

    def come(
        base: str, size: tuple[int, int] = DESKTOP, language: str = "en", theme: str = "dark"
    ) -> Visitor:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]})
        context.set_default_timeout(PATIENCE_MS)
        context.add_cookies(
            [
                {"name": "vezha_lang", "value": language, "url": base},
                {"name": "vezha_theme", "value": theme, "url": base},
            ]
        )
        person = Visitor(context, context.new_page(), base)

        def hear(kind: str, text: str) -> None:
            # Whoever is not signed in is told so by 401.
            if kind == "error" and not any(code in text for code in person.refused):
                person.complaints.append(text)

        person.page.on("console", lambda m: hear(m.type, m.text))
        person.page.on("pageerror", lambda e: person.complaints.append(str(e)))
        person.page.on(
            "request",
            lambda r: None if r.url.startswith(base) else person.foreign.append(r.url),
        )
        people.append(person)
        return person

    yield come
    for person in people:
        person.context.close()
    told = [text for person in people for text in person.complaints]
    assert told == [], "the browser's console shows errors"
    assert [url for person in people for url in person.foreign] == [], "a page asked elsewhere"


@pytest.fixture(scope="session")
def server(vezha_up: Callable[..., RunningVezha], built_pages: None) -> RunningVezha:
    """A server that watches this machine, for all tests that do not need their own."""
    if find_peer("chromium") is None:
        pytest.skip(why_absent("chromium"))
    return vezha_up("rules.builtin=false")


@pytest.fixture(scope="session")
def admin(server: RunningVezha, browser: Browser) -> str:
    """The first admin's name, with `PASSWORD` set."""
    context = browser.new_context()
    person = Visitor(context, context.new_page(), server.url)
    person.enter("admin", server.password)
    person.call("POST", "/session/password", {"old": server.password, "new": PASSWORD})
    context.close()
    return "admin"


@pytest.fixture
def at_work(
    visit: Callable[..., Visitor], server: RunningVezha, admin: str
) -> Callable[..., Visitor]:
    """`at_work()`: a visitor of the shared server who is signed in as its admin."""

    def come(size: tuple[int, int] = DESKTOP, language: str = "en", theme: str = "dark") -> Visitor:
        person = visit(server.url, size, language, theme)
        person.enter(admin, PASSWORD)
        return person

    return come


LEAN = "resultTypes: ['violations'], selectors: false, elementRef: false, preload: false"
"""What axe need not do: describe what is right, name paths to it, fetch media (there are none)."""
ALL_RULES = f"axe.run(document, {{{LEAN}}})"
COLOUR_RULES = f"axe.run(document, {{{LEAN}, runOnly: ['color-contrast', 'link-in-text-block']}})"
"""What another theme of the same page can break; all other rules ask what does not change with it."""


@pytest.fixture(scope="session")
def axe() -> str:
    """axe-core's source, a development library of the pages."""
    path = Path(__file__).parents[2] / "frontend/node_modules/axe-core/axe.min.js"
    if not path.is_file():
        pytest.skip("axe-core is not installed (npm ci in frontend/ installs it)")
    return path.read_text("utf-8")


def sound(page: Page, axe: str) -> None:
    """axe finds nothing on the page as it is."""
    page.evaluate(axe)
    answer = page.evaluate(ALL_RULES)
    found = [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in answer["violations"]]
    assert found == []
