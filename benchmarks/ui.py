"""The pages against their budget, in headless Chromium on a real server with a simulated fleet.

    .venv/bin/python -m benchmarks.ui [--hosts 1000,5000] [--seconds 15] [--changes 60]
    .venv/bin/python -m benchmarks.ui --base http://127.0.0.1:8470 --name admin --password ...

Without `--base` it starts `vezha demo` with a state folder of its own, once for each number of
hosts: all figures are taken with the first, those that grow with the fleet with the others. Prints
one table of limit, value, and whether it is met; the exit code is 1 where a figure is over. Bytes and
requests are exact; times depend on the machine and on what else it does, so read them beside the
load it prints. The main thread's share is processor time, not time that passed. After `--minutes` it
stops by itself and prints what it has.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--enable-precise-memory-info",
]
PASSWORD = "a long password for measuring"
START_TIMEOUT_S = 180.0
PHONE = {"latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
PHONE_CPU_RATE = 4
LOADS = 5
FRAME_MS = 1000 / 60
SETTLE_MS = 4000
"""Answers that were under way when a page was left have come and gone."""

SIGN_IN = """async ([name, password]) => (await fetch("/api/v1/session", {method: "POST",
  headers: {"content-type": "application/json"}, body: JSON.stringify({name, password})})).status"""
NEW_PASSWORD = """async ([old, next]) => (await fetch("/api/v1/session/password", {method: "POST",
  headers: {"content-type": "application/json"}, body: JSON.stringify({old, new: next})})).status"""
# When something is painted and when the first live numbers are there, in ms since navigation. On a
# phone the table lies below the fold and has no rows yet: there the verdict counts the hosts.
WATCH = """() => {
  window.__seen = {};
  const look = () => {
    const painted = performance.getEntriesByName("first-contentful-paint")[0];
    if (painted) window.__seen.content = painted.startTime;
    const value = document.querySelector(innerWidth > 720 ? ".rows .memory span" : ".verdict p");
    if (value && /\\d/.test(value.textContent) && !window.__seen.data)
      window.__seen.data = performance.now();
    if (!window.__seen.content || !window.__seen.data) requestAnimationFrame(look);
  };
  look();
}"""
FRAMES = """(ms) => new Promise((done) => {
  const gaps = []; let last = performance.now(); const end = last + ms;
  const step = (now) => { gaps.push(now - last); last = now;
    if (now < end) requestAnimationFrame(step); else done(gaps); };
  requestAnimationFrame(step);
})"""


@dataclass
class Table:
    """Figures beside their limits."""

    over: int = 0
    rows: list[str] = field(default_factory=list)

    def row(self, what: str, value: float, limit: float, unit: str) -> None:
        """Note one figure, and tell that there is one more."""
        bad = value > limit
        self.over += bad
        met = "no" if bad else "yes"
        digits = 2 if unit in ("s", "KB/s") else 1
        row = (
            f"| {what:46} | {limit:8.{digits}f} {unit:4} | {value:8.{digits}f} {unit:4} | {met:3} |"
        )
        self.rows.append(row)
        print(row, file=sys.stderr, flush=True)

    def show(self) -> None:
        """Print all of it."""
        print(
            f"| {'':46} | {'limit':13} | {'value':13} | met |\n|{'-' * 48}|{'-' * 15}|{'-' * 15}|-----|"
        )
        print("\n".join(self.rows), flush=True)


class OutOfTimeError(Exception):
    """The whole run took too long."""


@dataclass
class Wire:
    """Bytes that a page received."""

    paths: dict[str, str] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    stream: int = 0

    def __init__(self, session: CDPSession) -> None:
        self.paths, self.bytes, self.stream = {}, {}, 0
        session.send("Network.enable")
        session.on("Network.requestWillBeSent", self._asked)
        session.on("Network.loadingFinished", self._done)
        session.on("Network.webSocketFrameReceived", self._frame)

    def _asked(self, event: dict[str, Any]) -> None:
        self.paths[event["requestId"]] = re.sub(r"^\w+://[^/]+", "", event["request"]["url"])

    def _done(self, event: dict[str, Any]) -> None:
        path = self.paths.get(event["requestId"], "")
        self.bytes[path] = self.bytes.get(path, 0) + int(event["encodedDataLength"])

    def _frame(self, event: dict[str, Any]) -> None:
        response = event["response"]
        size = len(response["payloadData"])
        self.stream += size * 3 // 4 if response["opcode"] == 2 else size

    def total(self, part: str = "", but: str = "\0") -> int:
        """Bytes of the paths that hold *part* and do not hold *but*."""
        return sum(n for path, n in self.bytes.items() if part in path and but not in path)


@contextmanager
def demo(hosts: int) -> Iterator[tuple[str, str]]:
    """`vezha demo` on free ports: its address and the first password."""
    with tempfile.TemporaryDirectory(prefix="vezha-ui-") as folder:
        command = [sys.executable, "-P", "-m", "vezha", "demo", "--hosts", str(hosts)]
        command += ["--state", str(Path(folder) / "state")]
        for setting in ("web.listen=127.0.0.1:0", "channel.listen=127.0.0.1:0"):
            command += ["--set", setting]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lines: list[str] = []
        ready = threading.Event()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                if line.startswith("Ctrl-C stops it"):
                    ready.set()
            ready.set()

        threading.Thread(target=read, daemon=True).start()
        try:
            if not ready.wait(START_TIMEOUT_S) or process.poll() is not None:
                raise SystemExit("vezha demo did not start:\n" + "".join(lines))
            text = "".join(lines)
            url = re.findall(r"Open\s+(\S+)", text)[0]
            password = re.findall(r"with the password (\S+)", text)[0]
            yield url, password
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def enter(browser: Browser, base: str, name: str, password: str) -> dict[str, Any]:
    """Sign in once; the browser's state with its cookie."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(base + "/sign-in")
    status = page.evaluate(SIGN_IN, [name, password])
    if status != 200:
        raise SystemExit(f"signing in as {name} failed with status {status}")
    state: dict[str, Any] = context.storage_state()  # type: ignore[assignment]
    context.close()
    return state


def fresh(browser: Browser, state: dict[str, Any], phone: bool = False) -> BrowserContext:
    """A new browser profile that is signed in."""
    size = {"width": 390, "height": 844} if phone else {"width": 1440, "height": 900}
    return browser.new_context(storage_state=state, viewport=size)  # type: ignore[arg-type]


def measure_load(
    browser: Browser, state: dict[str, Any], url: str, phone: bool
) -> tuple[float, float, Wire]:
    """Seconds to the first words and to the first live number, cold: medians; and the bytes."""
    content, data = [], []
    for _ in range(LOADS):
        context = fresh(browser, state, phone)
        page = context.new_page()
        session = context.new_cdp_session(page)
        wire = Wire(session)
        if phone:
            session.send("Network.emulateNetworkConditions", {"offline": False, **PHONE})
            session.send("Emulation.setCPUThrottlingRate", {"rate": PHONE_CPU_RATE})
        page.add_init_script(f"({WATCH})()")
        page.goto(url)
        until(page, "window.__seen.data && window.__seen.content")
        seen = page.evaluate("window.__seen")
        content.append(seen["content"] / 1000)
        data.append(seen["data"] / 1000)
        page.wait_for_timeout(1000)
        context.close()
    return statistics.median(content), statistics.median(data), wire


def until(page: Page, true: str, timeout_s: float = 60.0) -> None:
    """Waits for an expression, by asking from outside: the page's policy forbids `eval`."""
    ends = time.monotonic() + timeout_s
    while not page.evaluate(true):
        if time.monotonic() > ends:
            raise SystemExit(f"this did not become true in {timeout_s:.0f} s: {true}")
        page.wait_for_timeout(50)


def busy(session: CDPSession) -> float:
    """Seconds that the main thread has worked."""
    found = session.send("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in found if m["name"] == "TaskDuration"))


def heap(session: CDPSession) -> float:
    """JS heap in MB after collecting."""
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def move(page: Page, seconds: float) -> list[float]:
    """Gaps between frames in ms while the pointer moves over the page and it scrolls."""
    page.evaluate(f"window.__frames = ({FRAMES})({seconds * 1000})")
    for i in range(int(seconds * 20)):
        page.mouse.move(300 + (i * 37) % 700, 250 + (i * 23) % 500)
        if i % 10 == 9:
            page.mouse.wheel(0, 120 if (i // 10) % 2 == 0 else -120)
        page.wait_for_timeout(20)
    gaps: list[float] = page.evaluate("window.__frames")
    return gaps


def dropped(gaps: list[float]) -> float:
    """Percent of frames that were not drawn."""
    lost = sum(max(0, round(gap / FRAME_MS) - 1) for gap in gaps)
    return 100 * lost / max(1, lost + len(gaps))


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hosts", default="1000,5000", help="numbers of hosts, with commas")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of each 1 Hz run")
    parser.add_argument("--minutes", type=float, default=7.5, help="stop after that")
    parser.add_argument("--changes", type=int, default=60, help="page changes")
    parser.add_argument("--base", default="", help="a running server instead")
    parser.add_argument("--name", default="admin")
    parser.add_argument("--password", default="")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    given = parser.parse_args()
    fleets = [int(number) for number in given.hosts.split(",")]
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f} before the run, {given.hosts} hosts")
    table = Table()

    def end(*_: object) -> None:
        raise OutOfTimeError

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, given.minutes * 60)
    whole = False
    try:
        run(given, fleets, table)
        whole = True
    except OutOfTimeError:
        print(f"stopped after {given.minutes} minutes", file=sys.stderr)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        table.show()
    return 1 if table.over or not whole else 0


def run(given: argparse.Namespace, fleets: list[int], table: Table) -> None:
    """Everything with the first fleet, what grows with it with the others."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=given.chromium, headless=True, args=ARGUMENTS
        )
        if given.base:
            state = enter(browser, given.base, given.name, given.password)
            measure(browser, given, given.base, state, table, fleets[0])
            return
        for place, hosts in enumerate(fleets):
            with demo(hosts) as (base, first):
                context = browser.new_context()
                page = context.new_page()
                page.goto(base + "/sign-in")
                page.evaluate(SIGN_IN, ["admin", first])
                page.evaluate(NEW_PASSWORD, [first, PASSWORD])
                context.close()
                state = enter(browser, base, "admin", PASSWORD)
                if place == 0:
                    measure(browser, given, base, state, table, hosts)
                else:
                    context, _, _ = watch_fleet(browser, given, base, state, table, hosts)
                    context.close()
        browser.close()


def watch_fleet(
    browser: Browser,
    given: argparse.Namespace,
    base: str,
    state: dict[str, Any],
    table: Table,
    hosts: int,
) -> tuple[BrowserContext, Page, CDPSession]:
    """The rows that grow with the fleet; the page stays open."""
    context = fresh(browser, state)
    page = context.new_page()
    session = context.new_cdp_session(page)
    # processor time: what else runs on the machine does not count
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    wire = Wire(session)
    page.goto(base + "/fleet")
    page.wait_for_selector(".rows .row", timeout=60_000)
    page.wait_for_timeout(SETTLE_MS)
    fleet = f"fleet of {hosts:,}"
    worked, told = busy(session), wire.stream
    page.wait_for_timeout(given.seconds * 1000)
    share = 100 * (busy(session) - worked) / given.seconds
    table.row(f"{fleet}: main thread at 1 Hz", share, 4.0 if hosts > 1000 else 2.0, "%")
    rate = (wire.stream - told) / given.seconds / hosts
    table.row(f"{fleet}: stream per host and second", rate, 7.0, "B")
    gaps = move(page, 6)
    table.row(f"{fleet}: frames dropped while moving", dropped(gaps), 3.0, "%")
    table.row(f"{fleet}: longest frame while moving", max(gaps), 50.0 + FRAME_MS, "ms")
    table.row(f"{fleet}: JS heap", heap(session), 15.0, "MB")
    return context, page, session


def measure(
    browser: Browser,
    given: argparse.Namespace,
    base: str,
    state: dict[str, Any],
    table: Table,
    hosts: int,
) -> None:
    """All rows of the budget."""
    content, data, wire = measure_load(browser, state, base + "/fleet", phone=False)
    table.row("fleet: compressed, without font", wire.total(but=".woff2") / 1000, 60, "KB")
    table.row("fleet: compressed, with font", wire.total() / 1000, 110, "KB")
    table.row("fleet: requests", len(wire.paths), 20, "")
    table.row("fleet: first content, desktop, cold", content, 0.5, "s")
    table.row("fleet: live data, desktop, cold", data, 0.8, "s")
    content, data, _ = measure_load(browser, state, base + "/fleet", phone=True)
    table.row("fleet: first content, phone, cold", content, 1.6, "s")
    table.row("fleet: live data, phone, cold", data, 2.5, "s")

    context, page, session = watch_fleet(browser, given, base, state, table, hosts)
    name = page.locator(".rows a").first.inner_text()
    wire = Wire(session)
    page.goto(f"{base}/host/{name}")
    until(page, "/\\d/.test(document.querySelector('[data-chart=load] .now b')?.textContent)")
    page.wait_for_timeout(4000)
    table.row("host: history", wire.total("/charts?") / 1000, 60, "KB")
    worked, told = busy(session), wire.stream
    page.wait_for_timeout(given.seconds * 1000)
    share = 100 * (busy(session) - worked) / given.seconds
    table.row("host: main thread at 1 Hz", share, 6.0, "%")
    table.row("host: stream", (wire.stream - told) / given.seconds / 1000, 0.3, "KB/s")
    gaps = move(page, 6)
    table.row("host: frames dropped while moving", dropped(gaps), 3.0, "%")
    table.row("host: longest frame while moving", max(gaps), 50.0 + FRAME_MS, "ms")
    table.row("host: JS heap", heap(session), 15.0, "MB")

    page.wait_for_timeout(500)
    before, took = 0.0, []
    for i in range(given.changes):
        to, sign = (
            ("/fleet", ".rows .row") if i % 2 == 0 else (f"/host/{name}", "[data-chart=load]")
        )
        script = """([to, sign]) => new Promise((done) => {
          const began = performance.now(); const link = document.createElement("a");
          link.href = to; document.body.append(link); link.click(); link.remove();
          const look = () => document.querySelector(sign) ? done(performance.now() - began)
            : requestAnimationFrame(look);
          requestAnimationFrame(look);
        })"""
        took.append(float(page.evaluate(script, [to, sign])))
        page.wait_for_timeout(150)
        if i == 5:
            page.wait_for_timeout(SETTLE_MS)
            before = heap(session)
    page.wait_for_timeout(SETTLE_MS)
    table.row("page change, warm: median", statistics.median(took), 100.0, "ms")
    table.row(f"heap grown by {given.changes - 6} page changes", heap(session) - before, 1.0, "MB")
    context.close()


if __name__ == "__main__":
    sys.exit(main())
