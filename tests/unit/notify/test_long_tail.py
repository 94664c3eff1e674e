"""Apprise and web push against servers on this machine; people's contacts; quiet hours; presses."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.notify.conftest import Office
from tests.unit.notify.fake_telegram import FakeTelegram
from tests.unit.notify.test_providers import deliver, states, with_telegram
from tests.unit.oncall.conftest import add_person

from vezha.incidents.oncall.person import Preference, add_contact, put_preference, read_contacts
from vezha.incidents.oncall.rota import Window
from vezha.incidents.seen import see_in
from vezha.notify import outbox
from vezha.notify.errors import Gone, NotifySettingsError, Refused, TryAgain
from vezha.notify.loop import Notifier
from vezha.notify.message import Message
from vezha.notify.provider import Delivery
from vezha.notify.providers import apprise as apprise_provider
from vezha.notify.providers.apprise import AppriseSender
from vezha.notify.providers.webpush import WebPushSender, payload
from vezha.notify.providers.webpush.sealing import (
    Subscription,
    _expand,
    _hmac,
    from_text,
    point_of,
    read_key,
    seal,
    seal_with,
    to_text,
)
from vezha.notify.quiet import Quiet, quiet_until
from vezha.notify.settings import parse_settings
from vezha.world import Chance

WHAT = Message("opened", 7, "db-1: disk full", "It is full.", severity="critical", began_ms=1)


class Server:
    """Answers as it is told and remembers."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.code = 201
        self.hang = threading.Event()
        self.hang.set()

    @contextmanager
    def served(self) -> Iterator[str]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.hang.wait(30)
                server.requests.append((self.path, dict(self.headers), body))
                self.send_response(server.code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{http.server_port}"
        finally:
            self.hang.set()
            http.shutdown()
            thread.join()
            http.server_close()


def send(sender: Any, what: Message = WHAT) -> str:
    async def main() -> str:
        note: str = (await sender.send(Delivery(3, "r:7:1", what, "incident:7", None))).note
        await sender.close()
        return note

    return asyncio.run(main())


def make(table: dict[str, object]) -> Any:
    return parse_settings({"receivers": {"r": table}}, "test", {}).receivers["r"].sender


def test_apprise_sends_what_it_is_told() -> None:
    server = Server()
    with server.served() as where:
        sender = make({"type": "apprise", "url": f"json://{where}/{{address}}", "to": "all"})
        assert send(sender) == "taken"
        send(sender.to("olena", "contact"))
    (first, _, body), (second, _, _) = server.requests
    assert (first, second) == ("/all", "/olena")
    document = json.loads(body)
    assert document["title"] == "db-1: disk full"
    assert document["type"] == "failure"
    assert "It is full." in document["message"]


@pytest.mark.parametrize(
    ("code", "kind", "waits"),
    [(500, TryAgain, None), (401, TryAgain, 60_000), (400, Refused, None)],
)
def test_apprise_says_what_went_wrong(code: int, kind: type[Exception], waits: int | None) -> None:
    server = Server()
    server.code = code
    with server.served() as where:
        sender = make({"type": "apprise", "url": f"json://user:s3cret@{where}/"})
        with pytest.raises(kind) as told:
            send(sender)
    assert str(code) in str(told.value)
    assert "s3cret" not in str(told.value)
    assert getattr(told.value, "after_ms", None) == waits


def test_apprise_that_hangs_is_given_up_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apprise_provider, "SEND_TIMEOUT_S", 0.05)
    server = Server()
    server.hang.clear()
    with server.served() as where:
        sender = make({"type": "apprise", "url": f"json://{where}/"})
        for _ in range(apprise_provider.THREADS_MAX):
            with pytest.raises(TryAgain, match="no answer within"):
                send(sender)
        with pytest.raises(TryAgain, match="still hang"):
            send(sender)
        server.hang.set()
        until = time.monotonic() + 30
        while len(server.requests) < apprise_provider.THREADS_MAX and time.monotonic() < until:
            time.sleep(0.01)
    assert len(server.requests) == apprise_provider.THREADS_MAX


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "url, url_file or url_env is missing"),
        ({"url": "nonsense://x"}, "does not understand"),
        ({"url": "json://h/", "to": "x"}, "to needs a url with {address}"),
    ],
)
def test_apprise_settings_are_checked(table: dict[str, object], said: str) -> None:
    with pytest.raises(NotifySettingsError, match=said):
        make({"type": "apprise", **table})


def test_apprise_that_reaches_one_address_is_no_account() -> None:
    sender = make({"type": "apprise", "url": "json://h/"})
    assert isinstance(sender, AppriseSender)
    with pytest.raises(NotifySettingsError, match="one address only"):
        sender.to("olena", "contact")


def browser() -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    return ec.generate_private_key(ec.SECP256R1()), bytes(range(16))


def unseal(body: bytes, private: ec.EllipticCurvePrivateKey, secret: bytes) -> bytes:
    """What a browser does (RFC 8291, 3.4)."""
    salt, size, point = body[:16], int.from_bytes(body[16:20], "big"), body[21 : 21 + body[20]]
    assert len(body) - 21 - 65 <= size
    sender = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    shared = private.exchange(ec.ECDH(), sender)
    info = b"WebPush: info\x00" + point_of(private.public_key()) + point
    root = _hmac(salt, _expand(_hmac(secret, shared), info, 32))
    key = _expand(root, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _expand(root, b"Content-Encoding: nonce\x00", 12)
    text = AESGCM(key).decrypt(nonce, body[86:], None)
    assert text[-1] == 2
    return text[:-1]


def test_sealing_is_that_of_the_standard() -> None:
    """The example of RFC 8291, section 5."""
    private = int.from_bytes(from_text("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big")
    own = ec.derive_private_key(private, ec.SECP256R1())
    to = Subscription(
        "https://push.example.net/",
        from_text(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
        ),
        from_text("BTBZMqHH6r4Tts7J_aSIgg"),
    )
    sealed = seal_with(
        b"When I grow up, I want to be a watermelon", to, own, from_text("DGv6ra1nlYgDCS1FRnbzlw")
    )
    assert to_text(sealed) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6T"
        "lzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4"
        "a-fN"
    )


@given(st.binary(max_size=3500), st.integers(0, 2**32))
def test_what_is_sealed_opens_for_its_browser(text: bytes, seed: int) -> None:
    private, secret = browser()
    to = Subscription("https://x/", point_of(private.public_key()), secret)
    assert unseal(seal(text, to, Chance(seed)), private, secret) == text


def push(folder: Path, where: str) -> tuple[WebPushSender, ec.EllipticCurvePrivateKey, bytes]:
    account = make(
        {"type": "webpush", "key_file": str(folder / "push.pem"), "contact": "mailto:a@b.org",
         "endpoints": ["127.0.0.1"]}
    )  # fmt: skip
    private, secret = browser()
    keys = {"p256dh": to_text(point_of(private.public_key())), "auth": to_text(secret)}
    address = json.dumps({"endpoint": f"http://{where}/push/1", "keys": keys})
    sender = account.to(address, "contact")
    assert isinstance(sender, WebPushSender)
    return sender, private, secret


def test_a_push_is_signed_and_sealed(tmp_path: Path) -> None:
    server = Server()
    with server.served() as where:
        sender, private, secret = push(tmp_path, where)
        send(sender)
    ((path, headers, body),) = server.requests
    document = json.loads(unseal(body, private, secret))
    assert (path, document["title"], document["tag"]) == (
        "/push/1",
        "db-1: disk full",
        "incident-7",
    )
    assert (headers["TTL"], headers["Urgency"], headers["Topic"]) == ("86400", "high", "incident-7")
    token, key = headers["Authorization"].removeprefix("vapid t=").split(", k=")
    assert key == read_key(str(tmp_path / "push.pem")).public_text
    signed, _, signature = token.rpartition(".")
    raw = from_text(signature)
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), from_text(key))
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
    claims = json.loads(from_text(signed.split(".")[1]))
    assert (claims["aud"], claims["sub"]) == (f"http://{where}", "mailto:a@b.org")
    assert (tmp_path / "push.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("code", "kind"), [(410, Gone), (404, Gone), (429, TryAgain), (403, TryAgain), (413, Refused)]
)
def test_push_services_answers_are_typed(tmp_path: Path, code: int, kind: type[Exception]) -> None:
    server = Server()
    server.code = code
    with server.served() as where:
        sender, _, _ = push(tmp_path, where)
        with pytest.raises(kind):
            send(sender)


def test_a_subscription_may_not_lead_anywhere(tmp_path: Path) -> None:
    table: dict[str, object] = {
        "type": "webpush", "key_file": str(tmp_path / "push.pem"), "contact": "mailto:a@b.org",
    }  # fmt: skip
    account = make(table)
    private, secret = browser()
    keys = {"p256dh": to_text(point_of(private.public_key())), "auth": to_text(secret)}
    for endpoint in ("http://fcm.googleapis.com/x", "https://10.0.0.1/x", "https://evil.org/x"):
        with pytest.raises(NotifySettingsError, match="not a known push service"):
            account.to(json.dumps({"endpoint": endpoint, "keys": keys}), "contact")
    account.to(json.dumps({"endpoint": "https://fcm.googleapis.com/x", "keys": keys}), "contact")
    for bad in ("", "{}", '{"endpoint": "https://fcm.googleapis.com/", "keys": {"p256dh": "AA"}}'):
        with pytest.raises(NotifySettingsError, match="not a browser's subscription"):
            account.to(bad, "contact")


@given(
    st.builds(
        Message, kind=st.sampled_from(["opened", "resolved", "handover"]), incident=st.integers(0, 99),
        title=st.text(max_size=400), summary=st.text(max_size=5000),
        lines=st.lists(st.text(max_size=500), max_size=30), link=st.text(max_size=300),
    )
)  # fmt: skip
def test_a_push_fits(what: Message) -> None:
    assert len(payload(what)) <= 3_500


def test_a_browser_that_is_gone_is_no_contact_any_more(office: Office) -> None:
    server = Server()
    server.code = 410

    async def play(where: str) -> None:
        text = (
            f'[receivers.push]\ntype = "webpush"\nkey_file = "{office.folder}/k.pem"\n'
            'contact = "mailto:a@b.org"\nendpoints = ["127.0.0.1"]\n'
        )
        notifier = office.notifier(text)
        private, secret = browser()
        keys = {"p256dh": to_text(point_of(private.public_key())), "auth": to_text(secret)}
        address = json.dumps({"endpoint": f"http://{where}/1", "keys": keys})
        with office.ledger.begin() as connection:
            add_person(connection, "olena")
            add_contact(connection, "olena", "browser", "push", address, 0)
        await notifier.start()
        notifier.put_test("@olena/browser", "alice")
        await deliver(office, notifier)
        await notifier.close()

    with server.served() as where:
        asyncio.run(play(where))
    with office.ledger.read() as connection:
        assert read_contacts(connection) == []
        (row,) = outbox.list_messages(connection)
    assert (row.state, row.error) == ("failed", "the address is no more")


def test_telegram_a_press_snoozes_and_a_persons_own_chat_counts(office: Office) -> None:
    async def play(notifier: Notifier, bot: FakeTelegram) -> None:
        with office.ledger.begin() as connection:
            add_person(connection, "olena")
            add_contact(connection, "olena", "chat", "tg", "4242", 0)
        office.tell("fired", "db-1")
        await deliver(office, notifier)
        bot.press(1, "snooze:1", chat=999, name="mallory")
        bot.press(1, "snooze:1")
        for _ in range(200):
            if bot.answered:
                break
            await asyncio.sleep(0.02)
        await deliver(office, notifier)
        assert "🔵" in bot.posts[1].text
        assert "Відкладено · " in bot.posts[1].text
        bot.press(1, "ack:1", chat=4242, name="olena")
        for _ in range(200):
            if len(bot.answered) > 1:
                break
            await asyncio.sleep(0.02)
        await deliver(office, notifier)

    bot = with_telegram(office, play)
    assert bot.answered[0]["text"].startswith("Відкладено до ")
    assert bot.answered[1]["text"] == "Прийнято"
    assert "olena (Telegram)" in bot.posts[1].text
    assert [s for s in states(office) if s[1] != "superseded"] == [
        ("opened", "sent"), ("snoozed", "sent"), ("acknowledged", "sent"),
    ]  # fmt: skip


def quiet_office(office: Office) -> Notifier:
    """A receiver whose quiet hours hold: it is 22:13 UTC."""
    made = office.notifier(
        '[receivers.r]\ntype = "smtp"\nhost = "127.0.0.1"\nport = 9\nsecurity = "none"\n'
        'from = "a@b.org"\nto = ["c@d.org"]\nquiet = "22:00-07:00"\n'
    )
    made._reread()
    return made


def kept(office: Office) -> list[tuple[str, str, str]]:
    with office.ledger.read() as connection:
        rows = reversed(outbox.list_messages(connection, 500))
        return [(r.kind, r.state, r.error.partition(":")[0]) for r in rows]


def test_quiet_hours_hold_and_then_tell_how_it_is(office: Office) -> None:
    made = quiet_office(office)
    office.tell("fired", "a")
    made.plan_news()
    assert kept(office) == [("opened", "waiting", "held")]
    with office.ledger.read() as connection:
        (row,) = outbox.list_messages(connection)
    # 07:00 the next morning
    assert row.next_ms == (office.now_ms() // 86_400_000 + 1) * 86_400_000 + 7 * 3_600_000
    office.tell("fired", "a", "Worse", "critical")
    made.plan_news()
    assert kept(office)[1:] == [("opened", "waiting", "")]


def test_what_is_over_when_quiet_hours_end_is_not_told(office: Office) -> None:
    made = quiet_office(office)
    office.tell("fired", "a")
    made.plan_news()
    office.tell("resolved", "a")
    made.plan_news()
    assert [state for _, state, _ in kept(office)] == ["superseded"]


def test_a_look_does_not_lose_what_is_held(office: Office) -> None:
    made = quiet_office(office)
    office.tell("fired", "a")
    made.plan_news()
    with office.ledger.begin() as connection:
        see_in(connection, 1, "alice", office.now_ms())
    made.plan_news()
    assert kept(office) == [("opened", "waiting", "held")]


def test_a_persons_quiet_hours_are_by_their_own_clock(office: Office) -> None:
    made = quiet_office(office)
    with office.ledger.begin() as connection:
        add_person(connection, "olena")
        add_contact(connection, "olena", "mail", "r", "o@x.org", 0)
        nights = (Window(tuple(range(7)), 22 * 60, 60),)
        put_preference(
            connection, "olena", Preference(time_zone="Asia/Tokyo", quiet=nights, language="uk"), 0
        )
    made._reread_people()
    own = made.people.receivers["@olena/mail"]
    assert (own.language, own.time_zone) == ("uk", "Asia/Tokyo")
    assert own.quiet is not None
    assert quiet_until(own.quiet, "opened", "warning", office.now_ms()) is None
    late = Quiet(own.quiet.windows, "UTC")
    assert quiet_until(late, "opened", "warning", office.now_ms()) is not None
    assert quiet_until(late, "opened", "critical", office.now_ms()) is None
    assert quiet_until(late, "resolved", "warning", office.now_ms()) is None


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"quiet": "all night"}, "must be like 22:00-07:00"),
        ({"quiet": "22:00-25:00"}, "time of day"),
        ({"quiet_days": ["mon"]}, "quiet_days needs quiet"),
        ({"quiet": "22:00-07:00", "quiet_days": ["moon"]}, "is not a day"),
        ({"quiet": "22:00-07:00", "quiet_below": "bad"}, "must be critical, warning or info"),
    ],
)
def test_quiet_settings_are_checked(given_: dict[str, object], said: str) -> None:
    with pytest.raises(NotifySettingsError, match=said):
        make({"type": "webhook", "url": "http://127.0.0.1:9/", **given_})
