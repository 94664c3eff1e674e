"""Pictures of pages, made by a headless browser: what a person would see.

    .venv/bin/python frontend/dev/shots.py --base http://127.0.0.1:8480 --out build/shots \
        [--only fleet] [--user olena] fleet=/fleet host=/host/db-lviv-07
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
SIGN_IN = """([name, password]) => fetch("/api/v1/session", {method: "POST",
    headers: {"content-type": "application/json"}, body: JSON.stringify({name, password})})"""
SIZES = {"desktop": (1440, 900, 1), "phone": (390, 844, 2), "tablet": (820, 1100, 1)}


def main() -> None:
    """Takes the pictures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default="http://127.0.0.1:8480")
    parser.add_argument("--out", default="build/shots")
    parser.add_argument("--user", default="olena")
    parser.add_argument("--password", default="password")
    parser.add_argument("--themes", default="dark,light")
    parser.add_argument("--languages", default="en,uk")
    parser.add_argument("--sizes", default="desktop,phone")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--wait", type=float, default=1.6)
    parser.add_argument(
        "--keys", default="", help="keys to press before the picture, separated by spaces"
    )
    parser.add_argument("--click", default="", help="selector to click before the picture")
    parser.add_argument("--move", default="", help="x,y to move the pointer to")
    parser.add_argument("pages", nargs="+")
    given = parser.parse_args()
    out = Path(given.out)
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=ARGS)
        for size in given.sizes.split(","):
            width, height, ratio = SIZES[size]
            for theme in given.themes.split(","):
                for language in given.languages.split(","):
                    context = browser.new_context(
                        viewport={"width": width, "height": height},
                        device_scale_factor=ratio,
                        has_touch=size == "phone",
                    )
                    context.add_cookies(
                        [
                            {"name": f"vezha_{k}", "value": v, "url": given.base}
                            for k, v in (("theme", theme), ("lang", language))
                        ]
                    )
                    page = context.new_page()
                    page.on(
                        "console",
                        lambda m: (
                            print(f"  {m.type}: {m.text}")
                            if m.type in ("error", "warning")
                            else None
                        ),
                    )
                    page.on("pageerror", lambda e: print(f"  page error: {e}"))
                    if given.user:
                        page.goto(given.base)
                        page.evaluate(SIGN_IN, [given.user, given.password])
                    for named in given.pages:
                        name, path = named.split("=", 1)
                        page.goto(given.base + path)
                        page.wait_for_timeout(int(given.wait * 1000))
                        if given.click:
                            page.click(given.click)
                            page.wait_for_timeout(400)
                        if given.move:
                            x, y = given.move.split(",")
                            page.mouse.move(float(x), float(y))
                            page.wait_for_timeout(400)
                        for key in given.keys.split():
                            page.keyboard.press(key)
                            page.wait_for_timeout(250)
                        target = out / f"{name}-{size}-{theme}-{language}.png"
                        page.screenshot(path=str(target), full_page=given.full)
                        print(target)
                    context.close()
        browser.close()


if __name__ == "__main__":
    main()
