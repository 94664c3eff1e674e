"""Pictures of every page on a real server with a simulated fleet: themes, languages, desktop and phone.

    .venv/bin/python -m benchmarks.screenshots [--only fleet,change] [--hosts 200]
    .venv/bin/python -m benchmarks.screenshots --base http://127.0.0.1:8470 --password ...

Without `--base` it starts `vezha demo`, lets its story and its rollouts go until one is held, adds
what an operator would have made (`benchmarks.scene`), and then visits each page of
`benchmarks.views`: as an administrator, a viewer, a stranger, and on a server that has no host yet.

`SETS` and `MAIN_SETS` say which pictures are kept in `docs/screenshots` (with a palette, a few megabytes in all);
all others, in both languages and themes, go to the folder `--rest`, which git ignores. Each page's
console errors, and pages that are wider than the screen, are told, and make the exit code 1.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.picture import palette_png
from benchmarks.scene import VIEWER_NAME, prepare
from benchmarks.ui import ARGUMENTS, NEW_PASSWORD, PASSWORD, SIGN_IN, demo
from benchmarks.views import FIRST, STRANGER, VIEWER, VIEWS
from playwright.sync_api import Browser, Page, sync_playwright

from vezha.testing.fleet.ownserver import OwnServer

SETS: tuple[tuple[str, str, str], ...] = (("desktop", "light", "en"), ("phone", "dark", "uk"))
"""Size, theme and language of the pictures that are kept of every page."""
MAIN = ("fleet", "host", "incident", "change", "load", "run", "scenario", "oncall")
MAIN_SETS: tuple[tuple[str, str, str], ...] = (("desktop", "dark", "uk"), ("phone", "light", "en"))
"""Of these pages also those."""
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
SETTLE_MS = 1700
THEME_MS = 250
STORY_S = 900.0
"""So long the story goes before the pictures: charts of a quarter of an hour are full."""

FORECAST_S = 300.0
"""How long a forecast may take to be there."""

EXPECTED = {"missing": "404", "sign-in": "401"}
"""Answers that a page is there to show."""
LOADS = 'document.querySelector(".ghost, .waiting") !== null'
LOOK_MS = 150
CALM_LOOKS = 3
PATIENCE_S = 25.0
"""A page of a busy server comes to rest within this, or is taken as it is."""
SCHEME = "getComputedStyle(document.documentElement).colorScheme"
VIEWER_PASSWORD = "another long password for measuring"
README = (
    "Made by one command, `make screenshots`, from a real server that a simulated fleet feeds",
    "(`vezha demo`): desktop (1440 × 900) in English by day, phone (390 × 844) in Ukrainian by",
    "night, the main pages the other way round, too. The command makes all the others beside them.",
)
ASK = """async ([method, path, body]) => {
  const answer = await fetch("/api/v1" + path, {method,
    headers: {"content-type": "application/json"},
    body: body === null ? undefined : JSON.stringify(body)});
  const text = await answer.text();
  return answer.ok && text !== "" ? JSON.parse(text) : null;
}"""
PIXELS = """async (text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], {type: "image/png"}));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const pen = canvas.getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const { data } = pen.getImageData(0, 0, bitmap.width, bitmap.height);
  let out = "";
  for (let at = 0; at < data.length; at += 30000)
    out += String.fromCharCode(...data.subarray(at, at + 30000));
  return [bitmap.width, bitmap.height, btoa(out)];
}"""


def address(pattern: str, names: dict[str, str]) -> str | None:
    """The address with its names filled in; None where there is no such thing yet."""
    try:
        return pattern.format_map(names)
    except KeyError:
        return None


def listen(page: Page, told: list[str]) -> None:
    """Gather the errors that the page's console shows."""
    page.on("console", lambda m: told.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: told.append(str(e)))


class Traffic:
    """What a page has asked for and not had yet, by which one sees that it has come to rest."""

    def __init__(self, page: Page) -> None:
        self._open: set[Any] = set()
        page.on("request", lambda request: self._open.add(request))
        page.on("requestfinished", lambda request: self._open.discard(request))
        page.on("requestfailed", lambda request: self._open.discard(request))

    def settle(self, page: Page, least_ms: int) -> None:
        """Wait *least_ms*, and then until nothing is under way and nothing says that it loads."""
        page.wait_for_timeout(least_ms)
        ends = time.monotonic() + PATIENCE_S
        calm = 0
        while calm < CALM_LOOKS and time.monotonic() < ends:
            page.wait_for_timeout(LOOK_MS)
            calm = calm + 1 if not self._open and not page.evaluate(LOADS) else 0
        self._open.clear()


def take(page: Page, painter: Page, target: Path, full: bool = False) -> int:
    """Save a picture of *page* with a palette; its bytes."""
    shot = page.screenshot(full_page=full)
    width, height, text = painter.evaluate(PIXELS, base64.b64encode(shot).decode())
    pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]
    data = palette_png(np.ascontiguousarray(pixels))
    target.write_bytes(data)
    return len(data)


def wait_story(browser: Browser, base: str) -> None:
    """Until the story has gone on for a while, and something was forecast from the past that was
    made up, or patience has ended."""
    time.sleep(STORY_S)
    ends = time.monotonic() + FORECAST_S
    with signed_in(browser, base, "admin", PASSWORD) as context:
        while time.monotonic() < ends:
            found = context.pages[0].evaluate(ASK, ["GET", "/load", None]) or {}
            if found.get("loads"):
                return
            time.sleep(5)


@contextmanager
def signed_in(browser: Browser, base: str, name: str, password: str) -> Iterator[Any]:
    """The cookies of somebody who signed in at *base*."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(base + "/sign-in")
    if page.evaluate(SIGN_IN, [name, password]) != 200:
        raise SystemExit(f"signing in as {name} failed")
    yield context
    context.close()


@contextmanager
def empty_server() -> Iterator[tuple[str, str]]:
    """A server without any host: its address and the first password."""
    with tempfile.TemporaryDirectory(prefix="vezha-empty-") as folder:
        settings = ["web.listen=127.0.0.1:0", "channel.listen=127.0.0.1:0"]
        server = OwnServer(Path(folder) / "state", settings, loud=False)
        server.start()
        try:
            yield server.url, server.password
        finally:
            server.stop()


class Camera:
    """Visits pages in every size, theme and language that is asked for. `bad` counts pages with
    errors in the console or wider than the screen; `bytes` those of the kept pictures."""

    def __init__(self, browser: Browser, given: argparse.Namespace) -> None:
        self._browser = browser
        self._given = given
        self._painter = browser.new_context().new_page()
        self.bad = self.bytes = 0
        for folder in (given.out, given.rest):
            Path(folder).mkdir(parents=True, exist_ok=True)

    def visit(self, base: str, state: Any, views: dict[str, str], names: dict[str, str]) -> None:
        """Take all pictures of *views* as whoever has the cookies *state*."""
        given = self._given
        for size in given.sizes.split(","):
            for language in given.languages.split(","):
                self._walk(base, state, views, names, size, language)

    def _walk(
        self, base: str, state: Any, views: dict[str, str], names: dict[str, str], size: str,
        language: str,
    ) -> None:  # fmt: skip
        themes = self._given.themes.split(",")
        if self._given.kept:
            themes = [theme for theme in themes if (size, theme, language) in (*SETS, *MAIN_SETS)]
            views = {name: v for name, v in views.items() if is_kept(name, size, themes, language)}
        if not themes or not views:
            return
        width, height = SIZES[size]
        context = self._browser.new_context(
            storage_state=state,
            viewport={"width": width, "height": height},
            service_workers="block",
        )
        context.add_cookies(
            [
                {"name": "vezha_lang", "value": language, "url": base},
                {"name": "vezha_theme", "value": themes[0], "url": base},
            ]
        )
        page = context.new_page()
        told: list[str] = []
        listen(page, told)
        traffic = Traffic(page)
        for name, pattern in views.items():
            where = address(pattern, names)
            if where is None:
                print(f"{name}: there is none yet", flush=True)
                continue
            # a wallboard goes on in its tab until it is ended: the next page is not its view
            page.evaluate("() => { try { sessionStorage.clear() } catch {} }")
            page.goto(base + where)
            traffic.settle(page, self._given.settle)
            for theme in themes:
                # As a person changes it: the canvases are painted anew, too.
                if page.evaluate(SCHEME) != theme:
                    page.evaluate("() => document.activeElement?.blur()")
                    page.keyboard.press("Shift+D")
                    page.wait_for_timeout(THEME_MS)
                self._take(page, name, size, theme, language)
            wide = page.evaluate("document.documentElement.scrollWidth") - width
            if wide > 0:
                told.append(f"the page is {wide} px wider than the screen")
            told[:] = [text for text in told if EXPECTED.get(name, "\0") not in text]
            for text in told:
                print(f"{name}, {size}, {language}: {text}", flush=True)
            self.bad += bool(told)
            told.clear()
        context.close()

    def _take(self, page: Page, name: str, size: str, theme: str, language: str) -> None:
        kept = is_kept(name, size, [theme], language)
        folder = Path(self._given.out if kept else self._given.rest)
        target = folder / f"{name}-{size}-{theme}-{language}.png"
        taken = take(page, self._painter, target, self._given.full)
        self.bytes += taken if kept else 0


def photograph(
    camera: Camera, browser: Browser, base: str, given: argparse.Namespace, views: dict[str, str]
) -> None:
    """Visit the pages of the server with a fleet."""
    with signed_in(browser, base, given.name, given.password) as keeper:
        page = keeper.pages[0]
        names = prepare(lambda *asked: page.evaluate(ASK, [*asked, None][:3]))
        made = (
            page.evaluate(ASK, ["PATCH", f"/users/{VIEWER_NAME}", {"reset_password": True}]) or {}
        )
        state = keeper.storage_state()
    camera.visit(base, state, views, names)
    chosen = wanted(STRANGER, given)
    if chosen:
        camera.visit(base, None, chosen, names)
    chosen = wanted(VIEWER, given)
    if chosen and made.get("one_time_password"):
        with signed_in(browser, base, VIEWER_NAME, made["one_time_password"]) as keeper:
            keeper.pages[0].evaluate(NEW_PASSWORD, [made["one_time_password"], VIEWER_PASSWORD])
            state = keeper.storage_state()
        camera.visit(base, state, chosen, names)


def photograph_empty(camera: Camera, browser: Browser, given: argparse.Namespace) -> None:
    """Visit the pages of a server without hosts, as on its first day."""
    chosen = wanted(FIRST, given)
    password = wanted({"first-password": "/fleet"}, given)
    if not chosen and not password:
        return
    with empty_server() as (base, first):
        with signed_in(browser, base, "admin", first) as keeper:
            state = keeper.storage_state()
            camera.visit(base, state, password, {})
            keeper.pages[0].evaluate(NEW_PASSWORD, [first, PASSWORD])
            state = keeper.storage_state()
        camera.visit(base, state, chosen, {})


def is_kept(name: str, size: str, themes: Sequence[str], language: str) -> bool:
    """Whether such a picture of the page *name* lies in the repository."""
    sets = (*SETS, *MAIN_SETS) if name in MAIN else SETS
    return any((size, theme, language) in sets for theme in themes)


def wanted(views: dict[str, str], given: argparse.Namespace) -> dict[str, str]:
    """Those of *views* that are asked for."""
    names = set(filter(None, given.only.split(",")))
    return {name: where for name, where in views.items() if not names or name in names}


def list_pictures(out: Path) -> None:
    """Write the page that shows what lies in *out*, for readers of the documentation."""
    names = [*VIEWS, *STRANGER, *VIEWER, "first-password", *FIRST]
    rows = ["# Pictures of the pages", "", *README, ""]
    for name in names:
        found = [
            out / f"{name}-{size}-{theme}-{language}.png"
            for size, theme, language in (*SETS, *MAIN_SETS)
        ]
        there = [path.name for path in found if path.is_file()]
        if there:
            where = {**VIEWS, **STRANGER, **VIEWER, **FIRST}.get(name, "/fleet")
            rows += [f"## {name}", "", f"`{where}`", ""]
            rows += [" ".join(f'<img src="{n}" alt="{n[:-4]}" width="360">' for n in there), ""]
    (out / "README.md").write_text("\n".join(rows).rstrip() + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="docs/screenshots")
    parser.add_argument("--rest", default="build/screenshots", help="for those that are not kept")
    parser.add_argument("--only", default="", help="names of views, separated by commas")
    parser.add_argument("--kept", action="store_true", help="only those that are kept")
    parser.add_argument("--view", action="append", default=[], help="another one: NAME=ADDRESS")
    parser.add_argument("--sizes", default="desktop,phone")
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--languages", default="en,uk")
    parser.add_argument("--settle", type=int, default=SETTLE_MS, help="ms before each picture")
    parser.add_argument("--full", action="store_true", help="the whole length of the page")
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--base", default="", help="a running server instead")
    parser.add_argument("--name", default="admin")
    parser.add_argument("--password", default="")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args(arguments)
    views = wanted(VIEWS, given) | dict(view.split("=", 1) for view in given.view)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=given.chromium, headless=True, args=ARGUMENTS
        )
        camera = Camera(browser, given)
        if given.base:
            photograph(camera, browser, given.base, given, views)
        else:
            with demo(given.hosts) as (base, first):
                with signed_in(browser, base, "admin", first) as context:
                    context.pages[0].evaluate(NEW_PASSWORD, [first, PASSWORD])
                given.password = PASSWORD
                wait_story(browser, base)
                photograph(camera, browser, base, given, views)
        photograph_empty(camera, browser, given)
        browser.close()
    list_pictures(Path(given.out))
    print(f"{camera.bytes / 1e6:.2f} MB in {given.out}, the others in {given.rest}")
    return 1 if camera.bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
