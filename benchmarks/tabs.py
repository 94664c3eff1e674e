"""Twenty open tabs and a heavy query must not move ingest or detection.

    .venv/bin/python -m benchmarks.tabs [--hosts 200] [--tabs 20] [--seconds 20]
    .venv/bin/python -m benchmarks.tabs --base http://127.0.0.1:8470 --name admin --password ...

A demo fleet reports each second. Four times a second it is asked how old the newest sample of a
host is (ingest: from the agent's clock to what a query sees) and how long ago the rules of one
second were evaluated (detection). First at rest, then with tabs open on the fleet and on hosts and
one query over all series under way all the time, then at rest again. The figures of the loaded part
stand beside both others, for the machine itself is never quite the same.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from benchmarks.ui import ARGUMENTS, NEW_PASSWORD, PASSWORD, SIGN_IN, demo, enter
from playwright.sync_api import Browser, BrowserContext, sync_playwright

ASK_EVERY_S = 0.25
AGE = "quantile(0.95, time() - timestamp(node_load1))"
HEAVY = 'quantile_over_time(0.9, {__name__=~"node_.+"}[5m])'
MOVED_MAX = 2.0
"""Times the larger of the figures at rest, and a second more: above that something is moved."""


@dataclass
class Seen:
    """Seconds: of the samples' age, of the rules' last evaluation, of one evaluation."""

    age: list[float] = field(default_factory=list)
    since: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)

    def row(self, what: str) -> str:
        """Medians and 95th percentiles."""
        parts = []
        for name, values in (("age", self.age), ("since", self.since), ("cost", self.cost)):
            parts.append(f"{name} {statistics.median(values):6.3f} {p95(values):6.3f}")
        return f"{what:28} " + "   ".join(parts) + f"   ({len(self.age)} times)"


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


def watch(base: str, cookie: dict[str, str], seconds: float) -> Seen:
    """Ask for so long."""
    seen = Seen()
    with httpx.Client(base_url=base + "/api/v1", cookies=cookie, timeout=30) as client:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            found: Any = client.get("/query", params={"query": AGE}).json()["data"]["result"]
            if found:
                seen.age.append(float(found[0]["value"][1]))
            asked = time.time()
            groups: Any = client.get("/rules", params={"exclude_alerts": "true"}).json()
            for group in groups["data"]["groups"]:
                if group["interval"] == 1 and not group["lastEvaluation"].startswith("0001"):
                    at = datetime.fromisoformat(group["lastEvaluation"].replace("Z", "+00:00"))
                    seen.since.append(asked - at.timestamp())
                    seen.cost.append(group["evaluationTime"])
            time.sleep(ASK_EVERY_S)
    return seen


def open_tabs(browser: Browser, state: Any, base: str, tabs: int) -> list[BrowserContext]:
    """Half of them on the fleet, half on hosts, each a browser profile of its own."""
    contexts = []
    hosts: list[str] = []
    for i in range(tabs):
        context = browser.new_context(storage_state=state, viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.goto(
            base + ("/fleet" if i % 2 == 0 or not hosts else f"/host/{hosts[i % len(hosts)]}")
        )
        if not hosts:
            page.wait_for_selector(".rows .row")
            hosts = page.locator(".rows a").all_inner_texts()[:8]
        contexts.append(context)
    return contexts


def ask_heavily(
    base: str, cookie: dict[str, str], stop: threading.Event, counts: list[int]
) -> None:
    """One heavy query after another."""
    with httpx.Client(base_url=base + "/api/v1", cookies=cookie, timeout=60) as client:
        while not stop.is_set():
            now = time.time()
            params = {"query": HEAVY, "start": f"{now - 300:.0f}", "end": f"{now:.0f}", "step": "5"}
            answer = client.get("/query_range", params=params)
            counts.append(answer.status_code)


def measure(browser: Browser, state: Any, base: str, tabs: int, seconds: float) -> int:
    """Three parts and the comparison; 1 where something moved."""
    cookie = {c["name"]: c["value"] for c in state["cookies"]}
    before = watch(base, cookie, seconds)
    print(before.row("at rest"), flush=True)
    contexts = open_tabs(browser, state, base, tabs)
    stop, counts = threading.Event(), list[int]()
    heavy = threading.Thread(target=ask_heavily, args=(base, cookie, stop, counts))
    heavy.start()
    loaded = watch(base, cookie, seconds)
    stop.set()
    heavy.join()
    print(loaded.row(f"{tabs} tabs, heavy queries"), f"{len(counts)} heavy answered", flush=True)
    for context in contexts:
        context.close()
    after = watch(base, cookie, seconds)
    print(after.row("at rest again"), flush=True)
    moved = 0
    for name in ("age", "since"):
        rest = max(p95(getattr(before, name)), p95(getattr(after, name)))
        now = p95(getattr(loaded, name))
        over = now > MOVED_MAX * rest + 1
        moved += over
        print(f"{name:8} p95 {now:.2f} s loaded, {rest:.2f} s at rest: {'MOVED' if over else 'ok'}")
    return 1 if moved else 0


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=200)
    parser.add_argument("--tabs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each part")
    parser.add_argument("--base", default="", help="a running server instead")
    parser.add_argument("--name", default="admin")
    parser.add_argument("--password", default="")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the run")
    print("seconds, median and 95th percentile: age of the newest samples, since the rules' last")
    print("evaluation, cost of an evaluation")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=given.chromium, headless=True, args=ARGUMENTS
        )
        if given.base:
            state = enter(browser, given.base, given.name, given.password)
            bad = measure(browser, state, given.base, given.tabs, given.seconds)
        else:
            with demo(given.hosts) as (base, first):
                page = browser.new_page()
                page.goto(base + "/sign-in")
                page.evaluate(SIGN_IN, ["admin", first])
                page.evaluate(NEW_PASSWORD, [first, PASSWORD])
                state = enter(browser, base, "admin", PASSWORD)
                bad = measure(browser, state, base, given.tabs, given.seconds)
        browser.close()
    return bad


if __name__ == "__main__":
    raise SystemExit(main())
