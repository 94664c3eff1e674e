"""Receivers and routes on the page: added, tried, changed, removed; in force without a restart."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import PHONE, Visitor, sound

pytestmark = [pytest.mark.browser, pytest.mark.slow]
Visit = Callable[..., Visitor]
TAKEN_S = 20.0


@contextmanager
def hook() -> Iterator[tuple[str, Queue[bytes]]]:
    """A web hook on this machine: its address, and what it was told."""
    told: Queue[bytes] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/told", told
    finally:
        server.shutdown()
        server.server_close()


def test_a_receiver_is_added_tried_routed_to_and_removed(at_work: Visit, axe: str) -> None:
    person = at_work()
    person.refused |= {"400", "409"}
    page = person.open("/settings/receivers")
    expect(page.get_by_role("heading", name="Nobody is told yet.")).to_be_visible()
    sound(page, axe)
    with hook() as (url, told):
        page.get_by_role("button", name="Add a receiver").click()
        box = page.get_by_role("dialog")
        box.get_by_role("button", name="Save").click()
        expect(box.get_by_label("Short name")).to_be_focused()
        box.get_by_label("Short name").fill("duty-hook")
        box.get_by_label("Way").select_option("webhook")
        box.get_by_label("Address").fill("example.org")
        sound(page, axe)
        box.get_by_role("button", name="Save").click()
        # the server's sentence stands beside the field that it means
        expect(
            box.locator(".field", has=page.get_by_label("Address")).get_by_role("alert")
        ).to_contain_text("https://")
        box.get_by_label("Address").fill(url)
        box.get_by_role("button", name="Save").click()
        expect(page.get_by_role("heading", name="1 receiver is told.")).to_be_visible()
        page.get_by_role("button", name="Send a test: duty-hook").click()
        assert b"test" in told.get(timeout=TAKEN_S)

        page.get_by_role("button", name="Change routes").click()
        box = page.get_by_role("dialog")
        box.get_by_label("Receiver", exact=True).fill("duty-hook")
        box.get_by_label("At least").select_option("critical")
        box.get_by_label(re.compile("Which alerts")).fill("nonsense")
        sound(page, axe)
        box.get_by_role("button", name="Save").click()
        expect(box.get_by_role("alert")).to_contain_text("match")
        box.get_by_label(re.compile("Which alerts")).fill('site="nowhere"')
        box.get_by_role("button", name="Save").click()
        expect(page.get_by_text('site="nowhere"')).to_be_visible()

        page.get_by_role("button", name="Edit: duty-hook").click()
        box = page.get_by_role("dialog")
        expect(box.get_by_label("Address")).to_have_value("")
        box.get_by_label("Form").select_option("alertmanager")
        box.get_by_role("button", name="Save").click()
        expect(box).to_be_hidden()
        page.get_by_role("button", name="Send a test: duty-hook").click()
        assert b"groupKey" in told.get(timeout=TAKEN_S)

    page.get_by_role("button", name="Remove: duty-hook").click()
    page.get_by_role("group", name="Nobody is told by it any more.").get_by_role(
        "button", name="Remove"
    ).click()
    expect(page.get_by_role("status").filter(has_text="route 1")).to_be_visible()
    page.get_by_role("button", name="Change routes").click()
    box = page.get_by_role("dialog")
    box.get_by_role("button", name="Leave Route 1 out").click()
    box.get_by_role("button", name="Save").click()
    expect(page.get_by_text("No route is written")).to_be_visible()
    page.get_by_role("button", name="Remove: duty-hook").click()
    page.get_by_role("group", name="Nobody is told by it any more.").get_by_role(
        "button", name="Remove"
    ).click()
    expect(page.get_by_role("heading", name="Nobody is told yet.")).to_be_visible()


def test_the_form_of_a_receiver_fits_a_phone_in_ukrainian(at_work: Visit, axe: str) -> None:
    for theme in ("dark", "light"):
        person = at_work(PHONE, "uk", theme)
        page = person.open("/settings/receivers")
        page.get_by_role("button", name="Додати отримувача").click()
        box = page.get_by_role("dialog")
        box.locator("summary").click()
        expect(box.get_by_label("Тихі години", exact=True)).to_be_visible()
        assert box.evaluate("e => e.scrollWidth <= e.clientWidth + 1")
        sound(page, axe)
