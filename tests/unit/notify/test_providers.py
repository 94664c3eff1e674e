"""Providers against servers on this machine: Telegram's rules, a real SMTP server, web hooks."""

from __future__ import annotations

import asyncio
import email
import email.policy
import hashlib
import hmac
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.notify.conftest import Office
from tests.unit.notify.fake_telegram import CHAT, TOKEN, FakeTelegram, _Markup

from vezha.ledger.tables import message
from vezha.notify import outbox
from vezha.notify.loop import Notifier
from vezha.notify.message import Message
from vezha.notify.providers.telegram import keyboard, render


async def deliver(office: Office, notifier: Notifier) -> None:
    """Send until nothing waits; time passes as back-off asks."""
    for _ in range(50):
        await notifier.step()
        await notifier.wait_idle()
        with office.ledger.read() as connection:
            rows = outbox.list_messages(connection, 500)
        waiting = [r.next_ms for r in rows if r.state == "waiting"]
        if not waiting:
            return
        office.clock.seconds = max(office.clock.seconds, min(waiting) / 1000)
        await asyncio.sleep(0.05)
    raise AssertionError("messages still wait")


def states(office: Office) -> list[tuple[str, str]]:
    with office.ledger.read() as connection:
        return [(r.kind, r.state) for r in reversed(outbox.list_messages(connection, 500))]


def telegram(url: str, extra: str = "") -> str:
    return f"""
language = "uk"
[receivers.tg]
type = "telegram"
token = "{TOKEN}"
chat_id = {CHAT}
api_url = "{url}"
{extra}
"""


def with_telegram(
    office: Office,
    play: Callable[[Notifier, FakeTelegram], Coroutine[Any, Any, None]],
    fake: FakeTelegram | None = None,
) -> FakeTelegram:
    """Run *play* with a notifier whose receiver is a fake Telegram."""
    bot = fake or FakeTelegram()

    async def main() -> None:
        url = await bot.start()
        notifier = office.notifier(telegram(url))
        try:
            await notifier.start()
            await play(notifier, bot)
        finally:
            await notifier.close()
            await bot.stop()

    asyncio.run(main())
    return bot


def test_telegram_one_message_edited_as_the_incident_moves(office: Office) -> None:
    async def play(notifier: Notifier, bot: FakeTelegram) -> None:
        office.tell("fired", "db-1")
        await deliver(office, notifier)
        office.tell("fired", "db-2")
        await deliver(office, notifier)
        office.desk.acknowledge(1, "alice")
        await deliver(office, notifier)
        office.clock.seconds += 60
        office.tell("resolved", "db-1")
        office.tell("resolved", "db-2")
        await deliver(office, notifier)

    bot = with_telegram(office, play)
    (post,) = bot.posts.values()
    assert post.edits == 3
    assert "🟢" in post.text
    assert "Вирішено" in post.text
    assert "тривало 1 хв" in post.text
    assert post.markup == {
        "inline_keyboard": [[{"text": "Відкрити", "url": "https://v.example.org/incident/1"}]]
    }
    assert states(office) == [
        ("opened", "sent"), ("updated", "sent"), ("acknowledged", "sent"), ("resolved", "sent"),
    ]  # fmt: skip


def test_telegram_what_gets_worse_rings_anew_as_an_answer(office: Office) -> None:
    async def play(notifier: Notifier, bot: FakeTelegram) -> None:
        office.tell("fired", "db-1")
        await deliver(office, notifier)
        office.tell("fired", "db-1", "ServiceDown", "critical")
        await deliver(office, notifier)

    bot = with_telegram(office, play)
    first, second = bot.posts.values()
    assert second.reply_to == first.id
    assert not second.silent
    assert first.markup is None
    assert second.markup is not None


def test_telegram_a_press_acknowledges_once(office: Office) -> None:
    async def play(notifier: Notifier, bot: FakeTelegram) -> None:
        office.tell("fired", "db-1")
        await deliver(office, notifier)
        bot.press(1, "ack:1", chat=666, name="mallory")
        bot.press(1, "ack:1")
        bot.press(1, "ack:1", name="bob")
        bot.press(1, "nonsense")
        for _ in range(100):
            if len(bot.answered) >= 2:
                break
            await asyncio.sleep(0.02)
        await deliver(office, notifier)

    bot = with_telegram(office, play)
    assert [a["text"] for a in bot.answered] == [
        "Прийнято",
        "Неможливо: incident 1 is acknowledged already",
    ]
    assert "🔵" in bot.posts[1].text
    assert "alice (Telegram)" in bot.posts[1].text


def test_telegram_waits_as_long_as_it_is_told(office: Office) -> None:
    async def play(notifier: Notifier, bot: FakeTelegram) -> None:
        for i in range(6):
            office.tell("fired", f"h{i}", f"Kind{i}")
        await notifier.step()
        await notifier.wait_idle()
        with office.ledger.read() as connection:
            rows = [r for r in outbox.list_messages(connection) if r.state == "waiting"]
        assert rows
        assert any("429" in r.error for r in rows)
        await asyncio.sleep(0.3)
        await deliver(office, notifier)

    bot = with_telegram(office, play, FakeTelegram(per_second=3))
    assert len(bot.posts) == 6
    assert {s for _, s in states(office)} == {"sent"}


def test_telegram_sends_anew_what_it_cannot_edit(office: Office) -> None:
    async def play(notifier: Notifier, bot: FakeTelegram) -> None:
        office.tell("fired", "db-1")
        await deliver(office, notifier)
        bot.posts.clear()
        office.tell("resolved", "db-1")
        await deliver(office, notifier)

    bot = with_telegram(office, play)
    assert len(bot.posts) == 1
    assert bot.posts[1].silent


def test_telegram_a_wrong_token_is_told_and_tried_again(office: Office) -> None:
    async def main() -> None:
        bot = FakeTelegram()
        url = await bot.start()
        text = telegram(url, "buttons = false").replace(TOKEN, "999:" + "B" * 35)
        notifier = office.notifier(text)
        await notifier.start()
        office.tell("fired", "db-1")
        await notifier.step()
        await notifier.wait_idle()
        await notifier.close()
        await bot.stop()

    asyncio.run(main())
    with office.ledger.read() as connection:
        (row,) = outbox.list_messages(connection)
    assert row.state == "waiting"
    assert "check token and chat_id" in row.error
    assert "BBBB" not in row.error
    assert row.next_ms >= office.now_ms() + 60_000


@given(
    st.builds(
        Message,
        kind=st.sampled_from(["opened", "resolved", "test", "digest"]),
        incident=st.integers(1, 10**6),
        title=st.text(max_size=200),
        summary=st.text(alphabet=st.characters(codec="utf-8"), max_size=9000),
        next=st.text(max_size=3000),
        severity=st.sampled_from(["critical", "warning", "info"]),
        state=st.sampled_from(["open", "acknowledged", "resolved"]),
        lines=st.lists(st.text(max_size=300), max_size=40),
        began_ms=st.just(1_700_000_000_000),
        link=st.sampled_from(["", "http://127.0.0.1:8470/incident/1", "https://v.example.org/i"]),
        language=st.sampled_from(["en", "uk"]),
    )
)
@settings(deadline=None, max_examples=60)
def test_telegram_whatever_is_said_fits_its_rules(what: Message) -> None:
    markup = _Markup()
    markup.feed(render(what))
    markup.close()
    assert not markup.fault
    assert not markup.open
    assert 0 < len(markup.shown) <= 4096
    for row in keyboard(what):
        assert all("127.0.0.1" not in b.get("url", "") for b in row)


class Postbox:
    """Keeps mails; refuses as it is told."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answers: list[str] = []

    async def handle_DATA(self, _server: object, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.answers:
            return self.answers.pop(0)
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


class _AnyPort(Controller):
    """On a free port, which the controller must know to greet itself."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@contextmanager
def mail_server(box: Postbox, password: str = "") -> Iterator[int]:
    def check(
        _s: object, _session: object, _envelope: object, _mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=data.password.decode() == password)

    controller = _AnyPort(
        box, hostname="127.0.0.1", port=0,
        authenticator=check if password else None, auth_require_tls=not password,
    )  # fmt: skip
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def smtp(port: int, extra: str = "") -> str:
    return f"""
[receivers.mail]
type = "smtp"
host = "127.0.0.1"
port = {port}
security = "none"
from = "Vezha <vezha@example.org>"
to = ["oncall@example.org"]
{extra}
"""


def run_office(
    office: Office, text: str, play: Callable[[Notifier], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        notifier = office.notifier(text)
        await notifier.start()
        try:
            await play(notifier)
        finally:
            await notifier.close()

    asyncio.run(main())


def test_mail_has_text_html_and_one_thread_per_incident(office: Office) -> None:
    box = Postbox()

    async def play(notifier: Notifier) -> None:
        office.tell("fired", "db-1")
        await deliver(office, notifier)
        office.desk.acknowledge(1, "alice")
        office.tell("fired", "db-1", "ServiceDown", "critical")
        await deliver(office, notifier)
        office.tell("resolved", "db-1")
        office.tell("resolved", "db-1", "ServiceDown", "critical")
        await deliver(office, notifier)

    with mail_server(box) as port:
        run_office(office, smtp(port), play)
    first, second, third = box.mails
    assert first["Subject"] == "[Vezha #1 · warning] Open: db-1: Disk full"
    assert second["Subject"] == "[Vezha #1 · critical] Worse: db-1: Service down and 1 more"
    assert third["Subject"].startswith("[Vezha #1 · critical] Resolved: ")
    assert second["In-Reply-To"] == third["In-Reply-To"] == first["Message-ID"]
    assert len({m["Message-ID"] for m in box.mails}) == 3
    plain = first.get_body(("plain",))
    html = first.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "DiskFull on db-1 <&>" in plain.get_content()
    assert "Next: Look at it." in plain.get_content()
    assert "DiskFull on db-1 &lt;&amp;&gt;" in html.get_content()
    assert "https://v.example.org/incident/1" in plain.get_content()


def test_mail_is_tried_again_after_a_4xx_and_not_after_a_5xx(office: Office) -> None:
    box = Postbox()
    box.answers = ["451 come back later", "554 never"]

    async def play(notifier: Notifier) -> None:
        office.tell("fired", "db-1")
        await deliver(office, notifier)

    with mail_server(box) as port:
        run_office(office, smtp(port), play)
    with office.ledger.read() as connection:
        (row,) = outbox.list_messages(connection)
    assert (row.state, row.attempts) == ("failed", 2)
    assert "554 never" in row.error
    assert box.mails == []


def test_mail_signs_in(office: Office) -> None:
    box = Postbox()

    async def play(notifier: Notifier) -> None:
        office.tell("fired", "db-1")
        await deliver(office, notifier)

    with mail_server(box, "right") as port:
        run_office(office, smtp(port, 'user = "vezha"\npassword = "right"'), play)
    assert len(box.mails) == 1


class Hook:
    """A web hook's other end."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []

    @contextmanager
    def served(self) -> Iterator[str]:
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code, headers = hook.answers.pop(0) if hook.answers else (200, {})
                if code == 200:
                    hook.requests.append((dict(self.headers), body))
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/hook"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def test_web_hook_is_signed_and_names_its_delivery(office: Office) -> None:
    hook = Hook()

    async def play(notifier: Notifier) -> None:
        office.tell("fired", "db-1", team="db")
        await deliver(office, notifier)

    with hook.served() as url:
        run_office(
            office, f'[receivers.h]\ntype = "webhook"\nurl = "{url}"\nsecret_env = "HOOK_KEY"', play
        )
    ((headers, body),) = hook.requests
    signed = headers["X-Vezha-Timestamp"].encode() + b"." + body
    digest = hmac.new(b"k3y", signed, hashlib.sha256).hexdigest()
    assert headers["X-Vezha-Signature"] == f"sha256={digest}"
    document = json.loads(body)
    assert document["kind"] == "opened"
    assert document["delivery"] == headers["X-Vezha-Delivery"]
    assert document["incident"]["alerts"][0]["labels"]["team"] == "db"


def test_web_hook_as_alertmanager(office: Office) -> None:
    hook = Hook()

    async def play(notifier: Notifier) -> None:
        office.tell("fired", "a")
        office.tell("fired", "b")
        await deliver(office, notifier)
        office.tell("resolved", "a")
        office.tell("resolved", "b")
        await deliver(office, notifier)

    with hook.served() as url:
        run_office(
            office, f'[receivers.h]\ntype = "webhook"\nurl = "{url}"\nformat = "alertmanager"', play
        )
    first, last = (json.loads(body) for _, body in hook.requests)
    assert (first["version"], first["status"], last["status"]) == ("4", "firing", "resolved")
    assert [a["labels"]["instance"] for a in first["alerts"]] == ["a", "b"]
    assert first["commonLabels"] == {"alertname": "DiskFull", "severity": "warning"}
    assert first["alerts"][0]["endsAt"].startswith("0001")
    assert last["alerts"][0]["status"] == "resolved"


def test_web_hook_obeys_retry_after_and_gives_up_on_400(office: Office) -> None:
    hook = Hook()
    hook.answers = [(503, {"Retry-After": "7"}), (400, {})]
    waits = []

    async def play(notifier: Notifier) -> None:
        office.tell("fired", "db-1")
        await notifier.step()
        await notifier.wait_idle()
        with office.ledger.read() as connection:
            waits.append(outbox.list_messages(connection)[0].next_ms - office.now_ms())
        await deliver(office, notifier)

    with hook.served() as url:
        run_office(office, f'[receivers.h]\ntype = "webhook"\nurl = "{url}"', play)
    assert 7000 <= waits[0] <= 7250
    with office.ledger.read() as connection:
        (row,) = outbox.list_messages(connection)
    assert (row.state, row.attempts) == ("failed", 2)


@pytest.mark.parametrize("language", ["en", "uk"])
def test_a_test_message_goes_the_usual_way(office: Office, language: str) -> None:
    hook = Hook()

    async def play(notifier: Notifier) -> None:
        notifier.put_test("h", "alice")
        await deliver(office, notifier)

    with hook.served() as url:
        run_office(
            office, f'language = "{language}"\n[receivers.h]\ntype = "webhook"\nurl = "{url}"', play
        )
    ((_, body),) = hook.requests
    assert json.loads(body)["kind"] == "test"
    assert message.name == "message"
