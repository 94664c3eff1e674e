"""What people do with the pages, in a real browser against a real server and a real agent."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocket, expect
from tests.browser.conftest import (
    ALL_RULES,
    COLOUR_RULES,
    DESKTOP,
    PASSWORD,
    PHONE,
    Visitor,
)
from tests.launched import wait_until
from tests.running import RunningVezha
from tests.unit.notify.test_long_tail import Server, unseal
from tests.unit.notify.test_long_tail import browser as browser_keys

from vezha.notify.providers.webpush.sealing import point_of, to_text

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(240)]

Visit = Callable[..., Visitor]
SOON_MS = 20_000
HOST = socket.gethostname()
RULE = """
groups:
  - name: browser
    rules:
      - alert: BrowserTest
        expr: node_load1 >= 0
        labels: {severity: critical}
        annotations:
          vezha_title: the test says so
          summary: "Load is {{ $value }}."
          summary_uk: "Навантаження {{ $value }}."
          vezha_next: Look at what runs
"""
CHECKLIST = """---
title: What the browser test does
title_uk: Що робить перевірка у браузері
version: 1
applies to: BrowserTest
---
For the test of the pages.

- [ ] Is the load what you expect? {yes/no}
- [ ] What was it? {text}
"""


def host_frames(page: Page) -> list[bytes]:
    """The binary frames of host values, all of them or what changed, that arrive from now on."""
    frames: list[bytes] = []

    def hear(payload: str | bytes) -> None:
        if isinstance(payload, bytes) and payload[0] in (2, 3):
            frames.append(payload)

    def opened(channel: WebSocket) -> None:
        channel.on("framereceived", hear)

    page.on("websocket", opened)
    return frames


def test_from_the_first_start_to_the_first_chart(
    vezha_up: Callable[..., RunningVezha], visit: Visit, built_pages: None
) -> None:
    server = vezha_up("rules.builtin=false")
    person = visit(server.url)
    page = person.open("/")
    frames = host_frames(page)

    page.get_by_label("Name").fill("admin")
    page.get_by_label("Password").fill("not this one")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    page.get_by_label("Password").fill(server.password)
    page.get_by_role("button", name="Sign in").click()

    page.get_by_label("The password you have now").fill(server.password)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Set the password").click()

    row = page.get_by_role("row").filter(has=page.get_by_role("link", name=HOST, exact=True))
    expect(row).to_contain_text("Normal", timeout=SOON_MS)
    # Live numbers arrive: memory is never unknown for long and never zero.
    expect(row.locator(".memory")).to_have_text(re.compile(r"[1-9]\d*"), timeout=SOON_MS)
    page.get_by_role("link", name=HOST, exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text(HOST)
    expect(page.locator("[data-chart]")).to_have_count(24)
    load = page.locator("[data-chart=load] .now b")
    expect(load).to_have_text(re.compile(r"^\d"), timeout=SOON_MS)
    expect(page.locator(".host-head p")).to_contain_text("complete")
    expect(page.get_by_role("button", name="Live")).to_be_visible()
    arrived = len(frames)
    page.wait_for_timeout(4_000)
    assert len(frames) - arrived >= 3, "a frame each second"


@pytest.fixture
def incident(server: RunningVezha, admin: str) -> Iterator[None]:
    """A rule that fires at once, and no longer afterwards."""
    rule = server.state / "rules" / "browser.yml"
    rule.parent.mkdir(exist_ok=True)
    rule.write_text(RULE)
    yield
    rule.unlink()


def test_an_alert_becomes_an_incident_that_is_taken_worked_on_and_resolved(
    at_work: Visit, server: RunningVezha
) -> None:
    person = at_work()
    page = person.open("/fleet")
    expect(page.get_by_role("heading", level=1)).to_have_text("All quiet.", timeout=SOON_MS)
    rule = server.state / "rules" / "browser.yml"
    steps = server.state / "checklists" / "browser-test.md"
    for file, text in ((steps, CHECKLIST), (rule, RULE)):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    try:
        # Without a reload: the live channel brings it.
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "1 incident needs you.", timeout=SOON_MS
        )
        card = page.locator(".needs article")
        expect(card).to_contain_text("the test says so")
        expect(card).to_contain_text("Look at what runs")
        card.get_by_role("link").click()

        expect(page.get_by_role("heading", level=1)).to_contain_text("the test says so")
        # a change that another test has reported on this host may be its cause
        expect(page.locator(".blocks dt").filter(has_not_text="Perhaps because")).to_have_text(
            ["What", "Where", "Since when", "Why we say so", "What it looks like"]
        )
        expect(page.locator(".blocks")).to_contain_text("node_load1 >= 0")
        expect(page.locator(".evidence .now b").first).to_have_text(re.compile(r"^\d"))
        page.keyboard.press("t")
        expect(page.locator(".verdict")).to_contain_text("taken by admin")
        expect(page.locator(".timeline")).to_contain_text("admin took it")
        expect(page.get_by_role("button", name="Take it")).to_have_count(0)

        # What its rule names is worked on beside it, and stands in its timeline.
        offer = page.locator(".offer").filter(has_text="What the browser test does")
        offer.get_by_role("button").click()
        step = page.locator(".step.current")
        expect(step).to_contain_text("Is the load what you expect?")
        step.get_by_role("button", name="Yes").click()
        expect(step).to_contain_text("What was it?")
        step.get_by_role("textbox").fill("the browser test")
        step.get_by_role("button", name="Save").click()
        expect(page.get_by_role("link", name="What the browser test does")).to_be_visible()
        expect(page.locator(".step.current")).to_have_count(0)

        page.get_by_role("button", name="Add a note").click()
        page.get_by_label("Note", exact=True).fill("It is the browser test.")
        page.get_by_role("button", name="Save").click()
        expect(page.locator(".timeline")).to_contain_text("It is the browser test.")

        page.get_by_role("link", name="Fleet").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("1 incident, in hand.")
        expect(page.locator(".needs article")).to_contain_text("admin")
        page.locator(".needs article").get_by_role("link").click()
        page.get_by_role("button", name="Resolve").click()
        page.get_by_role("dialog").get_by_role("button", name="Resolve").click()
        expect(page.locator(".timeline")).to_contain_text("Resolved by admin")
    finally:
        rule.unlink()
        steps.unlink()
    # Whatever came back while the rule still fired ends with it.
    page = person.open("/fleet")
    expect(page.get_by_role("heading", level=1)).to_have_text("All quiet.", timeout=60_000)
    page = person.open("/incidents?state=all")
    expect(page.locator(".list")).to_contain_text("resolved")


@pytest.mark.skipif(shutil.which("curl") is None, reason="the command needs curl")
def test_a_host_is_added_by_the_command_on_the_page(
    vezha_up: Callable[..., RunningVezha], visit: Visit, tmp_path: Path, built_pages: None
) -> None:
    server = vezha_up("rules.builtin=false", agent=False)
    person = visit(server.url)
    person.enter("admin", server.password)
    person.call("POST", "/session/password", {"old": server.password, "new": PASSWORD})
    page = person.open("/fleet")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing is watched yet.")
    expect(
        page.get_by_role("status").filter(has_text="Waiting for the first agent")
    ).to_be_visible()
    command = page.get_by_label("Command that adds a host").inner_text()
    server_at = shlex.split(command)
    address = server_at[server_at.index("--server") + 1]
    # As written, but for the name, which other machines know this one by, and for the folder: a
    # test leaves nothing on its machine, least of all a service. Then what it says to start it.
    local = command.replace(address, f"127.0.0.1:{server.channel_port}")
    if Path("/run/systemd/system").is_dir() and os.geteuid() == 0:
        pytest.skip("as root under systemd the command would make a service of this machine")
    local += " --folder agent && exec python3 -I agent/vezha-agent.pyz run --state agent"
    log = tmp_path / "log"
    with log.open("w") as out:
        host = subprocess.Popen(
            ["sh", "-c", local],
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        link = page.get_by_role("link", name=HOST, exact=True)
        try:
            expect(link).to_be_visible(timeout=SOON_MS)
        except AssertionError as error:
            raise AssertionError(f"the command said: {log.read_text()}") from error
        row = page.get_by_role("row").filter(has=link)
        expect(row.locator(".memory")).to_have_text(re.compile(r"[1-9]\d*"), timeout=SOON_MS)
    finally:
        os.killpg(host.pid, signal.SIGTERM)
        host.wait(20)


def test_time_is_paused_zoomed_and_found_again(at_work: Visit) -> None:
    person = at_work()
    page = person.open(f"/host/{HOST}")
    value = page.locator("[data-chart=load] .now b")
    expect(value).to_have_text(re.compile(r"^\d"), timeout=SOON_MS)

    page.locator("body").press("Space")
    expect(page.locator(".pill.paused")).to_contain_text("Paused")
    page.wait_for_timeout(2_500)
    expect(page.locator(".pill.paused")).to_contain_text(re.compile(r"\+[1-9]"))
    page.locator("body").press(".")
    expect(page.locator(".pill.on")).to_contain_text("Live")

    plot = page.locator("[data-chart=load] .plot")
    box = plot.bounding_box()
    assert box is not None
    y = box["y"] + 30
    page.mouse.move(box["x"] + box["width"] * 0.5, y)
    expect(page.locator("[data-chart=cpu] .hair")).to_be_visible()
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, y, steps=5)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"[?&]t=\d+-\d+"))
    expect(page.locator(".pill.paused")).to_be_visible()
    page.go_back()
    expect(page.locator(".pill.on")).to_contain_text("Live")

    page.locator("body").press("+")
    expect(page).to_have_url(re.compile(r"t=1h"))
    expect(page.get_by_role("button", name="1 h")).to_be_visible()
    page.mouse.move(box["x"] + box["width"] * 0.99, y)
    page.mouse.down()
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"at=\d+"))
    page.locator("body").press("Escape")
    expect(page).not_to_have_url(re.compile(r"at="))

    page.locator("[data-chart=load] .chart-table").focus()
    page.keyboard.press("Enter")
    table = page.get_by_role("dialog", name="Load").get_by_role("table")
    expect(table.get_by_role("row").nth(1)).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_connection_is_lost_and_comes_back(at_work: Visit, server: RunningVezha) -> None:
    person = at_work()
    page = person.open("/fleet")
    expect(page.locator(".pill.on")).to_contain_text("Live", timeout=SOON_MS)
    os.kill(server.processes()["web"], signal.SIGKILL)
    expect(page.locator(".pill.lost")).to_contain_text(re.compile("Last data|lost"))
    expect(page.locator(".pill.on")).to_contain_text("Live", timeout=60_000)
    expect(page.get_by_role("link", name=HOST, exact=True)).to_be_visible()
    # The browser tells of each refused connection; that is not a fault of the page.
    person.complaints[:] = [
        c for c in person.complaints if "ERR_CONNECTION" not in c and "WebSocket" not in c
    ]


def test_a_viewer_may_look_but_not_act(
    at_work: Visit, visit: Visit, server: RunningVezha, incident: None
) -> None:
    boss = at_work()
    made = boss.call("POST", "/users", {"name": "viktor", "role": "viewer"})
    assert isinstance(made, dict)
    first = made["one_time_password"]
    person = visit(server.url)
    person.enter("viktor", first)
    person.call("POST", "/session/password", {"old": first, "new": PASSWORD})
    page = person.open("/access")
    expect(page.get_by_role("heading", level=1)).to_have_text("Administrators only")
    page = person.open("/settings/hosts")
    expect(page.get_by_text("Ask an operator")).to_be_visible()
    page = person.open("/fleet")
    page.locator(".needs article a").click(timeout=SOON_MS)
    expect(page.get_by_text("Your role may look, not act.")).to_be_visible()
    expect(page.get_by_role("button", name="Take it")).to_have_count(0)
    page.keyboard.press("t")
    page.wait_for_timeout(500)
    expect(page.locator(".verdict")).to_contain_text("nobody has it yet")


def test_people_and_tokens_are_managed(at_work: Visit) -> None:
    person = at_work()
    page = person.open("/access")
    page.get_by_label("Name").fill("taras")
    page.get_by_label("Role", exact=True).select_option("operator")
    page.get_by_role("button", name="Add").click()
    secret = page.get_by_role("dialog")
    expect(secret).to_contain_text("One-time password of taras")
    secret.get_by_role("button", name="Close").click()
    item = page.locator(".item").filter(has_text="taras")
    item.get_by_role("button", name="Disable").click()
    expect(item).to_contain_text("disabled")
    page.get_by_label("Remove taras").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.locator(".item").filter(has_text="taras")).to_have_count(0)

    page = person.open("/access/tokens")
    page.get_by_label("Name").fill("grafana")
    page.get_by_role("button", name="Make a token").click()
    expect(page.get_by_role("dialog").locator("pre")).to_have_text(re.compile(r"\S{16,}"))
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.locator(".item").filter(has_text="grafana").get_by_role("button", name="Revoke").click()
    expect(page.locator(".item").filter(has_text="grafana")).to_have_count(0)

    page = person.open("/audit")
    expect(page.locator(".audit")).to_contain_text("revoked an API token")

    # As others see it: a viewer is told that people are an administrator's business.
    page = person.open("/access")
    page.get_by_role("button", name="See as Viewer").click()
    eyes = page.get_by_role("status").filter(has_text="You see the pages as: Viewer")
    expect(eyes).to_be_visible()
    page.get_by_role("link", name="Access").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Administrators only")
    expect(eyes).to_be_visible()
    eyes.get_by_role("button", name="Back to my own").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("People")
    page = person.open("/audit")
    expect(page.locator(".audit")).to_contain_text("saw the pages as somebody else")
    person.complaints[:] = [c for c in person.complaints if "403" not in c]


def test_this_browser_asks_for_messages_gets_one_and_ends_it(
    visit: Visit, server: RunningVezha, admin: str
) -> None:
    person = visit(server.url)
    person.enter(admin, PASSWORD)
    page = person.open("/settings/browser")
    row = page.locator(".push")
    expect(row).to_contain_text("No receiver of the type web push")
    receivers = server.state / "notify.toml"
    service = Server()
    with service.served() as where:
        receivers.write_text(
            f'[receivers.push]\ntype = "webpush"\nkey_file = "{server.state}/push.pem"\n'
            'contact = "mailto:a@b.org"\nendpoints = ["127.0.0.1"]\n'
        )
        try:
            page.reload()
            row.get_by_role("button", name="Turn on").click()
            # Nobody answers the browser's question here, so it forbids; or it has no push service.
            # Both are said in words.
            said = re.compile("forbids|could not be reached")
            expect(row.get_by_role("alert")).to_contain_text(said)
            # From here on the test is the browser's push service.
            private, secret = browser_keys()
            keys = [to_text(point_of(private.public_key())), to_text(secret)]
            page.add_init_script(f"({SUBSCRIBES})({json.dumps([f'http://{where}/push/1', *keys])})")
            page.reload()
            row.get_by_role("button", name="Turn on").click()
            expect(row).to_contain_text("This browser is told.")
            row.get_by_role("button", name="Send a test").click()
            expect(page.get_by_text("A test message is on its way.")).to_be_visible()
            wait_until(lambda: bool(service.requests), 30.0, server.told)
            path, _, body = service.requests[0]
            assert path == "/push/1"
            assert json.loads(unseal(body, private, secret))["kind"] == "test"
            row.get_by_role("button", name="Turn off").click()
            expect(row.get_by_role("button", name="Turn on")).to_be_visible()
            left = person.call("GET", "/people/me/contacts")
            assert isinstance(left, dict)
            assert left["contacts"] == []
        finally:
            receivers.unlink()


def test_hands_stay_on_the_keyboard(at_work: Visit) -> None:
    person = at_work()
    page = person.open("/incidents")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    # the frame is there before the page listens
    for patience_ms in (1_000, 3_000, SOON_MS):
        page.keyboard.press("Control+k")
        try:
            expect(page.get_by_role("combobox")).to_be_visible(timeout=patience_ms)
            break
        except AssertionError:
            if patience_ms == SOON_MS:
                raise
    page.get_by_role("combobox").fill(HOST)
    first = page.get_by_role("option").first
    expect(first).to_contain_text(HOST)
    expect(first).not_to_contain_text("says so")  # an incident of that host is not the host
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(HOST)
    page.keyboard.press("g")
    page.keyboard.press("f")
    expect(page).to_have_url(re.compile("/fleet$"))
    expect(page.get_by_role("link", name=HOST, exact=True)).to_be_visible()
    # the page listens once its own part has arrived, which a busy machine shows before
    for patience_ms in (1_000, 3_000, SOON_MS):
        page.keyboard.press("2")
        try:
            expect(page).to_have_url(re.compile("by=cpu"), timeout=patience_ms)
            break
        except AssertionError:
            if patience_ms == SOON_MS:
                raise
    page.keyboard.press("/")
    page.keyboard.type("no such host")
    expect(page.get_by_text("No host matches")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name=HOST, exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(HOST)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_language_and_the_colours_change_at_once_and_stay(at_work: Visit) -> None:
    person = at_work()
    page = person.open("/fleet")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "uk")
    expect(page.get_by_role("link", name="Сервери")).to_be_visible()
    page.keyboard.press("Shift+D")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.reload()
    expect(page.get_by_role("link", name="Сервери")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


PATHS = (
    "/fleet", f"/host/{HOST}", f"/host/{HOST}?part=disks", "/incidents?state=all", "/incident/1",
    "/dependencies", "/changes", "/change/{change}", "/draft/new", "/draft/new?kind=external",
    "/checklists/new",
    "/changes/figures", "/releases", "/load", "/checklists", "/checklists/disk-full",
    "/checklists/figures", "/checklist/{run}", "/scenarios", "/scenario/servers", "/scenario/new",
    "/round/{round}", "/diary", "/oncall", "/oncall/handover", "/oncall/policies", "/silences", "/checks",
    "/rules", "/explore", "/access", "/access/tokens", "/audit", "/settings/hosts",
    "/settings/receivers", "/settings/browser", "/rules/new", "/watch/servers"
)  # fmt: skip
# Texts on the page that read as an English sentence: three and more words of Latin letters in a row.
# Names, commands, queries and what people wrote stay as they are; so, for now, do the steps of
# checklists and, in lists, what a rule says is next, of which the server has one language.
LATIN_SENTENCES = r"""() => {
  const found = new Set(), sentence = /(?:\b[A-Za-z][a-z']+[ ,]+){3,}[A-Za-z]+/;
  const names = "code, pre, kbd, textarea, input, .key, .promql, .audit, .steps, .needs .next, .list .item";
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { textContent, parentElement } = walker.currentNode;
    if (parentElement.closest(names) || !parentElement.checkVisibility()) continue;
    if (sentence.test(textContent)) found.add(textContent.trim().slice(0, 140));
  }
  for (const e of document.querySelectorAll("[title], [aria-label], [placeholder]"))
    for (const a of ["title", "aria-label", "placeholder"]) {
      const text = e.getAttribute(a) || "";
      if (!e.closest(names) && sentence.test(text)) found.add(`${a}: ${text.slice(0, 140)}`);
    }
  return [...found];
}"""
# What these tests, and who wrote the checklist, said in English.
WRITTEN = (
    "the test says so", "Look at what runs", "What the browser test does",
    "It is the browser test", "Programs that write there fail", "the browser test is at work",
)  # fmt: skip
A4_INNER_PX = 672
"""178 mm: A4 without its margins."""
CUT_OFF = """() => [...document.querySelectorAll(".diary *")].filter((e) => e.checkVisibility()
  && (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible"
    || e.getBoundingClientRect().right > innerWidth + 1)).map((e) => e.outerHTML.slice(0, 120))"""
# A browser whose push service is at that address, with these keys.
SUBSCRIBES = """([endpoint, p256dh, auth]) => {
  const kept = "test.push", plain = PushManager.prototype;
  const made = (key) => ({endpoint, options: {applicationServerKey: key},
    toJSON: () => ({endpoint, keys: {p256dh, auth}}),
    unsubscribe: async () => { sessionStorage.removeItem(kept); return true; }});
  Notification.requestPermission = async () => "granted";
  let key = null;
  plain.getSubscription = async () => sessionStorage.getItem(kept) && key ? made(key) : null;
  plain.subscribe = async (options) => {
    key = options.applicationServerKey.buffer;
    sessionStorage.setItem(kept, "yes");
    return made(key);
  };
}"""
SCHEDULE = {
    "title": "Primary", "time_zone": "Europe/Kyiv",
    "layers": [{"name": "week", "people": ["admin"], "start": "2026-11-23T09:00"}],
}  # fmt: skip


SETTLED = """() => new Promise((done) => {
  const most = setTimeout(() => end(), 300);
  let quiet = setTimeout(() => end(), 120);
  const seen = new MutationObserver(() => { clearTimeout(quiet); quiet = setTimeout(() => end(), 120); });
  const end = () => { clearTimeout(most); clearTimeout(quiet); seen.disconnect(); done(); };
  seen.observe(document.body, {subtree: true, childList: true});
}).then(() => document.fonts.ready).then(() => undefined)"""
"""Nothing has been added to the page for a while, or only what goes on for ever."""


@pytest.fixture
def names(at_work: Visit) -> dict[str, str]:
    """Numbers of a change, a checklist's run and a round, which the pages then show."""
    person = at_work()
    person.call("PUT", "/oncall/schedules/primary", SCHEDULE)
    told = {"title": "shop 4.1", "key": "axe", "author": "olena", "outcome": "done"}
    change = person.call("POST", "/changes/report", told)
    run = person.call("POST", "/checklist-runs", {"checklist": "disk-full"})
    walked = person.call("POST", "/scenarios/hand-over/rounds", {"kind": "run"})
    assert isinstance(change, dict)
    assert isinstance(run, dict)
    assert isinstance(walked, dict)
    return {"change": str(change["change"]), "run": str(run["id"]), "round": str(walked["id"])}


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_page_is_accessible_fits_and_keeps_its_language(
    at_work: Visit, axe: str, incident: None, names: dict[str, str], size: tuple[int, int]
) -> None:
    person = at_work(size, "uk" if size == PHONE else "en", "dark")
    found: list[str] = []
    # The incident of the rule must be there before it is looked at.
    expect(person.open("/fleet").locator(".needs article").first).to_be_visible(timeout=SOON_MS)
    for pattern in PATHS:
        path = pattern.format_map(names)
        page = person.open(path)
        expect(page.get_by_role("heading", level=1).first).to_be_visible()
        expect(page.locator("h1.ghost")).to_have_count(0)
        page.evaluate(SETTLED)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= size[0], f"{path} is wider than the screen: {width}"
        if size == PHONE:
            found += [
                f"{path}: not in Ukrainian: {text}"
                for text in page.evaluate(LATIN_SENTENCES)
                if not any(words in text for words in WRITTEN)
            ]
        page.evaluate(axe)
        for theme, question in (("dark", ALL_RULES), ("light", COLOUR_RULES)):
            page.evaluate("theme => void (document.documentElement.dataset.theme = theme)", theme)
            answer = page.evaluate(question)
            found += [
                f"{path} ({theme}): {v['id']}: {v['nodes'][0]['html'][:120]}"
                for v in answer["violations"]
            ]
    assert found == []


def test_the_diary_prints_on_a4(at_work: Visit, names: dict[str, str]) -> None:
    for language in ("en", "uk"):
        person = at_work(language=language)
        page = person.open("/diary")
        expect(page.locator(".diary section").first).to_be_visible()
        printed = page.pdf(prefer_css_page_size=True)
        boxes = set(re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", printed))
        assert {(round(float(w)), round(float(h))) for w, h in boxes} == {(595, 842)}
        # Between the margins nothing is cut off, and what leads elsewhere is left out.
        page.emulate_media(media="print")
        page.set_viewport_size({"width": A4_INNER_PX, "height": 1000})
        assert page.evaluate("document.documentElement.scrollWidth") <= A4_INNER_PX
        cut = page.evaluate(CUT_OFF)
        assert cut == []
        expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()


def test_a_round_is_walked_and_signed(at_work: Visit) -> None:
    person = at_work()
    page = person.open("/scenario/rollouts")
    page.get_by_role("button", name="Begin a round").click()
    bar = page.get_by_role("complementary", name="Walking: Before and after a rollout")
    expect(bar).to_contain_text("1 of 5")
    expect(page).to_have_url(re.compile("/incidents$"))
    page.keyboard.press("x")
    expect(bar).to_contain_text("2 of 5")
    expect(page).to_have_url(re.compile("/changes$"))
    bar.get_by_role("button", name="Not as expected").click()
    page.get_by_role("dialog").get_by_role("textbox").fill("A database is being moved")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    # What the server can judge it has judged; the walk survives a reload.
    expect(bar).to_contain_text("3 of 5")
    page.reload()
    expect(bar).to_contain_text("3 of 5")
    for _ in range(3):
        page.keyboard.press("x")
        page.wait_for_timeout(250)
    expect(page).to_have_url(re.compile(r"/round/\d+$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("All views were looked at. Sign it.")
    page.get_by_label("A word on it, if any").fill("Wait for the database")
    page.get_by_role("button", name="Sign", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("This round is signed.")
    expect(page.locator("main")).to_contain_text("A database is being moved")


def test_a_wall_turns_through_a_scenario(at_work: Visit) -> None:
    person = at_work()
    text = """scenario: wall
title: The wall
watch: 5
views:
  - {title: First, at: /fleet, look_for: It is there., expect: vector(1)}
  - {title: Second, at: /rules, look_for: It is there., expect: vector(1)}
"""
    person.call("PUT", "/scenarios/wall", {"text": text})
    page = person.open("/watch/wall")
    bar = page.get_by_role("complementary", name="Walking: The wall")
    expect(bar).to_contain_text("1 of 2")
    expect(page.get_by_role("navigation", name="Pages")).to_be_hidden()
    expect(bar).to_contain_text("2 of 2", timeout=SOON_MS)
    expect(page).to_have_url(re.compile("/rules$"))
    # Something turns odd: the wall goes there and stays.
    odd = text.replace("look_for: It is there., expect: vector(1)}\n  - {title: Second",
                       "look_for: It is there., odd: vector(1)}\n  - {title: Second")  # fmt: skip
    now = person.call("GET", "/scenarios/wall")
    assert isinstance(now, dict)
    person.call("PUT", "/scenarios/wall", {"text": odd, "version": now["version"]})
    expect(bar).to_contain_text("stays here until it is", timeout=30_000)
    expect(page).to_have_url(re.compile("/fleet$"))
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("/scenario/wall$"))
    person.call("DELETE", "/scenarios/wall")


def test_a_checklist_is_worked_on_by_two(at_work: Visit) -> None:
    one, two = at_work(), at_work(language="uk")
    run = one.call("POST", "/checklist-runs", {"checklist": "host-silent"})
    assert isinstance(run, dict)
    first, second = one.open(f"/checklist/{run['id']}"), two.open(f"/checklist/{run['id']}")
    expect(first.locator(".step.current .step-mark")).to_have_text("1")
    expect(second.locator(".step.current .step-mark")).to_have_text("1")
    skip = second.locator(".step.current").get_by_role("button", name="Пропустити")
    skip.click()
    second.locator(".step.current input").fill("вже знаю")
    second.locator(".step.current").get_by_role("button", name="Пропустити").click()
    # The other one sees it without doing anything.
    expect(first.locator(".step.current .step-mark")).to_have_text("2")
    expect(first.locator(".step.skipped")).to_contain_text("вже знаю")


def test_the_frame_opens_without_a_network(at_work: Visit) -> None:
    person = at_work()
    page = person.open("/fleet")
    expect(page.locator(".rows .row").first).to_be_visible()
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    page.reload()
    expect(page.locator(".rows .row").first).to_be_visible()
    person.context.set_offline(True)
    page.goto(person.base + "/incidents")
    expect(page.get_by_text("The server does not answer")).to_be_visible()
    person.context.set_offline(False)
    expect(page.get_by_role("heading", level=1).first).to_be_visible(timeout=SOON_MS)
    # Without a network the browser tells of each request that failed; that is no fault of ours.
    person.complaints[:] = [c for c in person.complaints if "net::ERR_" not in c]


def test_a_page_that_may_not_be_seen_says_so(at_work: Visit, visit: Visit) -> None:
    boss = at_work()
    made = boss.call("POST", "/users", {"name": "looker", "role": "viewer"})
    assert isinstance(made, dict)
    viewer = visit(boss.base)
    viewer.enter("looker", made["one_time_password"])
    viewer.call("POST", "/session/password", {"old": made["one_time_password"], "new": PASSWORD})
    page = viewer.open("/scenario/servers")
    expect(page.get_by_role("link", name="Watch on a wall")).to_be_visible()
    expect(page.get_by_role("button", name="Begin a round")).to_have_count(0)
    page = viewer.open("/changes")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page = viewer.open("/audit")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    boss.call("DELETE", "/users/looker")
