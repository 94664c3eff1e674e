"""Twenty open tabs and a heavy query must not move ingest or detection.

    .venv/bin/python -m benchmarks.tabs [--hosts 200] [--tabs 20] [--seconds 20]
    .venv/bin/python -m benchmarks.tabs --base http://127.0.0.1:8470 --name admin --password ...

A demo fleet reports each second. Four times a second it is asked how old the newest sample of a
host in the middle is (ingest: from the agent's clock to what a query sees) and what evaluating the
rules of one second costs; the server's own histograms tell how long the stages from a sample to an
alert's transition took (detection), where the fleet's story had any. First at rest, then with tabs
open on the fleet and on hosts and one heavy query after another, then at rest again. The figures of
the loaded part stand beside both others, for the machine itself is never quite the same.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from benchmarks.ui import ARGUMENTS, NEW_PASSWORD, PASSWORD, SIGN_IN, demo, enter
from playwright.sync_api import Browser, BrowserContext, sync_playwright

ASK_EVERY_S = 0.25
AGE = "quantile(0.5, time() - timestamp(node_load1))"
HEAVY = 'quantile_over_time(0.9, {__name__=~"node_.+"}[5m])'
_STAGE = re.compile(r'vezha_stage_seconds_(sum|count)\{stage="([^"]+)"\} ([0-9.e+-]+)')
MOVED_MAX = 2.0
"""Times the larger of the figures at rest, and a second more: above that something is moved."""


@dataclass
class Seen:
    """Seconds: of the samples' age, of one evaluation; mean and count of each stage."""

    age: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    stages: dict[str, tuple[float, int]] = field(default_factory=dict)

    def row(self, what: str) -> str:
        """Medians and 95th percentiles."""
        parts = []
        for name, values in (("age", self.age), ("cost", self.cost)):
            parts.append(f"{name} {statistics.median(values):6.3f} {p95(values):6.3f}")
        parts += [f"{name} {mean:.2f} ({n})" for name, (mean, n) in sorted(self.stages.items())]
        return f"{what:28} " + "   ".join(parts)


def p95(values: list[float]) -> float:
    """The 95th percentile."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]


def stages(client: httpx.Client) -> dict[str, tuple[float, int]]:
    """Sum of seconds and count of each stage since the server began."""
    found: dict[str, list[float]] = {}
    for line in client.get("/metrics").text.splitlines():
        match = _STAGE.match(line)
        if match:
            found.setdefault(match[2], [0.0, 0.0])[match[1] == "count"] = float(match[3])
    return {name: (both[0], int(both[1])) for name, both in found.items()}


def watch(base: str, cookie: dict[str, str], seconds: float) -> Seen:
    """Ask for so long."""
    seen = Seen()
    with httpx.Client(base_url=base, cookies=cookie, timeout=30) as client:
        began = stages(client)
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            found: Any = client.get("/api/v1/query", params={"query": AGE}).json()["data"]["result"]
            if found:
                seen.age.append(float(found[0]["value"][1]))
            groups: Any = client.get("/api/v1/rules", params={"exclude_alerts": "true"}).json()
            for group in groups["data"]["groups"]:
                if group["interval"] == 1:
                    seen.cost.append(group["evaluationTime"])
            time.sleep(ASK_EVERY_S)
        for name, (total, count) in stages(client).items():
            before = began.get(name, (0.0, 0))
            if count > before[1]:
                seen.stages[name] = ((total - before[0]) / (count - before[1]), count - before[1])
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
    for name in ("age", "cost"):
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
    print(
        "seconds: age of the newest samples and cost of an evaluation, median and 95th percentile;"
    )
    print("stages from sample to message, mean (count)")
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
