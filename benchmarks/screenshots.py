"""Pictures of every page on a real server with a simulated fleet: both themes, desktop and phone.

    .venv/bin/python -m benchmarks.screenshots [--out docs/screenshots] [--only fleet,change]
    .venv/bin/python -m benchmarks.screenshots --base http://127.0.0.1:8470 --password ...

Without `--base` it starts `vezha demo`, lets its story begin, adds what an operator would have
made (a silence, a scenario round, people), and then visits each page of `VIEWS`. Pictures have a
palette, so that all of them together stay small. Addresses may name what only the server knows:
`{incident}`, `{host}`, `{change}`, `{round}` are filled in; a page of which there is nothing yet
is left out.
"""

from __future__ import annotations

import argparse
import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.picture import palette_png
from benchmarks.ui import ARGUMENTS, NEW_PASSWORD, PASSWORD, SIGN_IN, demo
from playwright.sync_api import Browser, Page, sync_playwright

SIZES = {"desktop": (1440, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
SETTLE_MS = 1700
THEME_MS = 250
STORY_S = 150.0
"""The demo's first incident stands by then."""

FORECAST_S = 300.0
"""How long a forecast may take to be there."""

# Name of the picture -> address.
VIEWS: dict[str, str] = {
    "fleet": "/fleet",
    "fleet-cpu": "/fleet?by=cpu",
    "host": "/host/{host}",
    "incidents": "/incidents?state=all",
    "incident": "/incident/{incident}",
    "changes": "/changes",
    "change": "/change/{change}",
    "figures": "/changes/figures",
    "releases": "/releases",
    "load": "/load",
    "checklists": "/checklists",
    "checklist": "/checklists/disk-full",
    "run": "/checklist/{run}",
    "scenarios": "/scenarios",
    "scenario": "/scenario/servers",
    "round": "/round/{round}",
    "watch": "/watch/servers",
    "diary": "/diary",
    "oncall": "/oncall",
    "handover": "/oncall/handover",
    "policies": "/oncall/policies",
    "silences": "/silences",
    "checks": "/checks",
    "rules": "/rules",
    "rule-file": "/rules/new",
    "explore": "/explore?q=sum+by+(site)+(rate(node_network_receive_bytes_total[30s]))",
    "access": "/access",
    "tokens": "/access/tokens",
    "audit": "/audit",
    "settings-hosts": "/settings/hosts",
    "settings-receivers": "/settings/receivers",
    "settings-browser": "/settings/browser",
}

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

Ask = Callable[..., Any]
SCHEDULE = {
    "title": "First line", "time_zone": "Europe/Kyiv",
    "layers": [{"name": "days", "people": ["olena", "taras", "admin"], "rotation": "daily",
                "start": "2026-11-23T09:00"}],
}  # fmt: skip
POLICY = {
    "steps": [{"targets": ["schedule:primary"], "wait_s": 300},
              {"targets": ["person:admin"], "wait_s": 600}],
    "repeat": 1,
}  # fmt: skip


def prepare(ask: Ask) -> dict[str, str]:
    """Make what a fleet in use has, and find the names of things. Asking twice does no harm."""
    hour = 3600.0
    if not (ask("GET", "/silences") or {}).get("silences"):
        ask(
            "POST",
            "/silences",
            {
                "matchers": 'instance=~"store-.*"',
                "comment": "New shelves in the rack",
                "minutes": 180,
            },
        )
        ask(
            "POST",
            "/silences",
            {
                "matchers": 'site="odesa"',
                "comment": "The provider works on the line",
                "starts_at": time.time() + 9 * hour,
                "ends_at": time.time() + 11 * hour,
            },
        )
    if len((ask("GET", "/users") or {}).get("users", ())) < 2:
        ask("POST", "/users", {"name": "olena", "role": "operator"})
        ask("POST", "/users", {"name": "taras", "role": "viewer"})
        ask("POST", "/tokens", {"name": "grafana", "role": "viewer"})
        ask("POST", "/enrolments", {"labels": {"site": "lviv", "role": "db"}})
    names: dict[str, str] = {}
    incidents = (ask("GET", "/incidents?state=all&limit=50") or {}).get("incidents", [])
    if incidents:
        open_ones = [i for i in incidents if i["state"] != "resolved"]
        shown = (open_ones or incidents)[0]
        names["incident"] = str(shown["id"])
        names["host"] = shown["hosts"][0] if shown["hosts"] else ""
    changes = (ask("GET", "/changes?limit=20") or {}).get("changes", [])
    if changes:
        rolled = [c for c in changes if c["kind"] != "external"]
        names["change"] = str((rolled or changes)[0]["id"])
    ask("PUT", "/oncall/schedules/primary", SCHEDULE)
    ask("PUT", "/oncall/policies/default", POLICY)
    runs = (ask("GET", "/checklist-runs") or {}).get("runs", [])
    run = runs[0] if runs else ask("POST", "/checklist-runs", {"checklist": "disk-full"})
    if run:
        names["run"] = str(run["id"])
    rounds = (ask("GET", "/rounds?scenario=hand-over") or {}).get("rounds", [])
    walked = rounds[0] if rounds else ask("POST", "/scenarios/hand-over/rounds", {"kind": "run"})
    if walked and walked["state"] == "open":
        for view in (0, 1):
            ask("POST", f"/rounds/{walked['id']}/views/{view}", {"state": "expected"})
    if walked:
        names["round"] = str(walked["id"])
    if not names.get("host"):
        names["host"] = ask("GET", "/hosts")["hosts"][0]["name"]
    return names


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


def take(page: Page, painter: Page, target: Path, full: bool = False) -> int:
    """Save a picture of *page* with a palette; its bytes."""
    shot = page.screenshot(full_page=full)
    width, height, text = painter.evaluate(PIXELS, base64.b64encode(shot).decode())
    pixels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]
    data = palette_png(np.ascontiguousarray(pixels))
    target.write_bytes(data)
    return len(data)


def wait_forecast(browser: Browser, base: str) -> None:
    """Until something was forecast from the past that was made up, or patience has ended."""
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


def photograph(
    browser: Browser, base: str, given: argparse.Namespace, views: dict[str, str]
) -> int:
    """Visit and save all *views*; the number of pages that showed an error in the console."""
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    bad = total = 0
    painter = browser.new_context().new_page()
    with signed_in(browser, base, given.name, given.password) as keeper:
        page = keeper.pages[0]
        names = prepare(lambda *asked: page.evaluate(ASK, [*asked, None][:3]))
        state = keeper.storage_state()
    for size in given.sizes.split(","):
        for language in given.languages.split(","):
            context = browser.new_context(
                storage_state=state,
                viewport={"width": SIZES[size][0], "height": SIZES[size][1]},
                service_workers="block",
            )
            first = given.themes.split(",")[0]
            context.add_cookies(
                [
                    {"name": "vezha_lang", "value": language, "url": base},
                    {"name": "vezha_theme", "value": first, "url": base},
                ]
            )
            page = context.new_page()
            told: list[str] = []
            listen(page, told)
            for name, pattern in views.items():
                where = address(pattern, names)
                if where is None:
                    print(f"{name}: there is none yet", flush=True)
                    continue
                # a wallboard goes on in its tab until it is ended: the next page is not its view
                page.evaluate("() => { try { sessionStorage.clear() } catch {} }")
                page.goto(base + where)
                page.wait_for_timeout(given.settle)
                for theme in given.themes.split(","):
                    # As a person changes it: the canvases are painted anew, too.
                    if (
                        page.evaluate("getComputedStyle(document.documentElement).colorScheme")
                        != theme
                    ):
                        page.keyboard.press("Shift+D")
                        page.wait_for_timeout(THEME_MS)
                    parts = [name, theme] + (["phone"] if size == "phone" else [])
                    parts += [language] if language != "en" else []
                    total += take(page, painter, out / ("-".join(parts) + ".png"), given.full)
                wide = page.evaluate("document.documentElement.scrollWidth") - SIZES[size][0]
                if wide > 0:
                    told.append(f"the page is {wide} px wider than the screen")
                for text in told:
                    print(f"{name}, {size}: {text}", flush=True)
                bad += bool(told)
                told.clear()
            context.close()
    print(f"{total / 1e6:.2f} MB in {out}")
    return bad


def main(arguments: Sequence[str] | None = None) -> int:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="docs/screenshots")
    parser.add_argument("--only", default="", help="names of views, separated by commas")
    parser.add_argument("--view", action="append", default=[], help="another one: NAME=ADDRESS")
    parser.add_argument("--sizes", default="desktop,phone")
    parser.add_argument("--themes", default="light,dark")
    parser.add_argument("--languages", default="en")
    parser.add_argument("--settle", type=int, default=SETTLE_MS, help="ms before each picture")
    parser.add_argument("--full", action="store_true", help="the whole length of the page")
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--base", default="", help="a running server instead")
    parser.add_argument("--name", default="admin")
    parser.add_argument("--password", default="")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args(arguments)
    wanted = set(filter(None, given.only.split(",")))
    views = {name: where for name, where in VIEWS.items() if not wanted or name in wanted}
    views |= dict(view.split("=", 1) for view in given.view)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=given.chromium, headless=True, args=ARGUMENTS
        )
        if given.base:
            bad = photograph(browser, given.base, given, views)
        else:
            with demo(given.hosts) as (base, first):
                with signed_in(browser, base, "admin", first) as context:
                    context.pages[0].evaluate(NEW_PASSWORD, [first, PASSWORD])
                given.password = PASSWORD
                time.sleep(STORY_S)
                wait_forecast(browser, base)
                bad = photograph(browser, base, given, views)
        browser.close()
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
