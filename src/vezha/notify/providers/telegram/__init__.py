"""Telegram: one message per incident with buttons, edited as the incident moves.

    [receivers.oncall]
    type = "telegram"
    token_file = "/etc/vezha/telegram.token"   # or token_env, token; from @BotFather
    chat_id = -1001234567890
    buttons = true             # false: no buttons, and presses are not asked for
    api_url = "https://api.telegram.org"

What rings (opened, worse, spreads, again) is a new message; what does not is an edit of the
newest one. Presses on buttons are fetched by long polling, so no port need be open to the world;
only those from the receiver's own chat count.
"""

from __future__ import annotations

import asyncio
import copy
import html
import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import structlog

from vezha.notify.errors import NotifySettingsError, Refused, TryAgain
from vezha.notify.http import make_client
from vezha.notify.limits import (
    MISSET_RETRY_MS,
    RESPONSE_CHARS_MAX,
    SEND_TIMEOUT_S,
    TELEGRAM_POLL_S,
    TELEGRAM_TEXT_CHARS_MAX,
    TEXT_CHARS_MAX,
)
from vezha.notify.message import KINDS, LOUD, OTHERS, RINGING, Message
from vezha.notify.option import Option
from vezha.notify.provider import Delivery, OnPressed, Pressed, Provider, Reference, Sender, Sent
from vezha.notify.reading import take_text
from vezha.notify.secret import Secret, take_secret
from vezha.notify.words import details_of, status_of, word

_log = structlog.get_logger("notify.telegram")
_TOKEN = re.compile(r"\d{3,20}:[A-Za-z0-9_-]{20,100}")
_PRESS = re.compile(r"(ack|snooze):(\d{1,12})")
_ACTIONS = {"ack": "acknowledge", "snooze": "snooze"}
_MARKS = {"resolved": "🟢", "acknowledged": "🔵", "snoozed": "🔵", "merged": "⚪"}
_SEVERITY_MARKS = {"critical": "🔴", "warning": "🟠", "info": "⚪"}
_KINDS = frozenset((*KINDS, *OTHERS))


class TelegramSender:
    """One chat of one bot."""

    def __init__(self, token: Secret, chat_id: int | str, api_url: str, buttons: bool) -> None:
        self.edits = True
        self.wants = _KINDS
        self.buttons = buttons
        self._token = token
        self._chat_id = chat_id
        self._api_url = api_url.rstrip("/")
        self._client = make_client()
        self._chats = {str(chat_id)}

    def to(self, address: str, where: str) -> TelegramSender:
        """See `Addressable.to`: the same bot in another chat, whose presses count, too."""
        if not re.fullmatch(r"-?\d{1,20}|@\w{3,64}", address):
            raise NotifySettingsError(f'{where}: "{address}" must be a number or @channel')
        other = copy.copy(self)
        other._chat_id = int(address) if address.lstrip("-").isdigit() else address
        self._chats.add(address)
        return other

    async def send(self, delivery: Delivery) -> Sent:
        """Send or edit. Raises TryAgain or Refused."""
        message = delivery.message
        known = delivery.reference
        if message.kind not in RINGING:
            if known is None:
                return Sent(note="nothing to edit")
            edited = await self._edit(message, known)
            if edited is not None:
                return edited
        body = self._body(message)
        if known is not None and known.get("message_id"):
            body["reply_parameters"] = {
                "message_id": known["message_id"],
                "allow_sending_without_reply": True,
            }
        result = await self._call("sendMessage", body)
        if known is not None and message.kind in LOUD:
            await self._strip_buttons(known)
        return Sent(
            {"message_id": result.get("message_id"), "chat_id": self._chat_id},
            f"message {result.get('message_id')}",
        )

    async def _edit(self, message: Message, known: Reference) -> Sent | None:
        """Edit the newest message; None where it is gone and must be sent anew."""
        body = {**self._body(message), "message_id": known["message_id"]}
        body["chat_id"] = known.get("chat_id", self._chat_id)
        body.pop("disable_notification", None)
        try:
            await self._call("editMessageText", body)
        except Refused as fault:
            said = str(fault).lower()
            if "not modified" in said:
                return Sent(known, "as it was")
            if "to edit not found" in said or "can't be edited" in said:
                return None
            raise
        return Sent(known, f"edited message {known['message_id']}")

    async def _strip_buttons(self, known: Reference) -> None:
        """An older message of the incident must not offer what the newer one does."""
        body = {"chat_id": known.get("chat_id"), "message_id": known["message_id"]}
        try:
            await self._call("editMessageReplyMarkup", body)
        except (Refused, TryAgain) as fault:
            # only looks; the press itself is judged by the desk
            _log.info("buttons stay on an older message", reason=str(fault))

    def _body(self, message: Message) -> dict[str, Any]:
        body: dict[str, Any] = {
            "chat_id": self._chat_id,
            "text": render(message),
            "parse_mode": "HTML",
            "link_preview_options": {"is_disabled": True},
        }
        if message.kind not in RINGING:
            body["disable_notification"] = True
        rows = keyboard(message) if self.buttons else []
        if rows or message.kind not in OTHERS:
            body["reply_markup"] = {"inline_keyboard": rows}
        return body

    async def _call(
        self, method: str, body: dict[str, Any], timeout_s: float = SEND_TIMEOUT_S
    ) -> Any:
        """One call of the Bot API. Raises TryAgain or Refused."""
        url = f"{self._api_url}/bot{self._token.reveal()}/{method}"
        try:
            answer = await self._client.post(url, json=body, timeout=timeout_s)
            data = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
            said = self._token.hide_in(str(fault)) or type(fault).__name__
            raise TryAgain(f"cannot reach Telegram: {said}") from None
        except ValueError:
            raise TryAgain(f"Telegram answers {answer.status_code} without JSON") from None
        if isinstance(data, dict) and data.get("ok") is True:
            return data.get("result")
        raise self._fault(answer.status_code, data if isinstance(data, dict) else {})

    def _fault(self, code: int, data: dict[str, Any]) -> TryAgain | Refused:
        text = self._token.hide_in(str(data.get("description", "")))[:RESPONSE_CHARS_MAX]
        said = f"Telegram answers {code}: {text}"
        parameters = data.get("parameters") or {}
        if code == 429:
            wait = parameters.get("retry_after", 1)
            wait = wait if isinstance(wait, (int, float)) else 1
            return TryAgain(said, int(min(max(wait, 0), 3600) * 1000))
        if moved := parameters.get("migrate_to_chat_id"):
            return TryAgain(f"{said}; set chat_id = {moved}", MISSET_RETRY_MS)
        if code in (401, 403, 404) or "chat not found" in text.lower():
            return TryAgain(f"{said}; check token and chat_id", MISSET_RETRY_MS)
        return TryAgain(said) if code >= 500 else Refused(said)

    async def listen(
        self, on_pressed: OnPressed, load: Callable[[], int], save: Callable[[int], None]
    ) -> None:
        """Fetch presses until cancelled; *load* and *save* keep the last update's number."""
        pause_s = 1.0
        while True:
            try:
                updates = await self._call(
                    "getUpdates",
                    {
                        "offset": await asyncio.to_thread(load) + 1,
                        "timeout": TELEGRAM_POLL_S,
                        "allowed_updates": ["callback_query"],
                    },
                    TELEGRAM_POLL_S + SEND_TIMEOUT_S,
                )
                for update in updates if isinstance(updates, list) else []:
                    await self._press(update, on_pressed)
                    await asyncio.to_thread(save, int(update["update_id"]))
                pause_s = 1.0
            except (TryAgain, Refused) as fault:
                after_ms = getattr(fault, "after_ms", None)
                wait_s = pause_s if after_ms is None else after_ms / 1000
                _log.warning("cannot ask Telegram for presses", reason=str(fault), wait_s=wait_s)
                await asyncio.sleep(wait_s)
                pause_s = min(pause_s * 2, 60.0)

    async def _press(self, update: dict[str, Any], on_pressed: OnPressed) -> None:
        query = update.get("callback_query") or {}
        chat = ((query.get("message") or {}).get("chat") or {}).get("id")
        match = _PRESS.fullmatch(str(query.get("data", "")))
        if match is None or str(chat) not in self._chats:
            _log.warning("a press that is not ours", chat=chat)
            return
        person = query.get("from") or {}
        name = person.get("username") or person.get("first_name") or str(person.get("id", ""))
        pressed = Pressed(_ACTIONS[match[1]], int(match[2]), f"{name} (Telegram)"[:100])
        said = await on_pressed(pressed)
        answer = {"callback_query_id": query.get("id"), "text": said[:200]}
        try:
            await self._call("answerCallbackQuery", answer)
        except (Refused, TryAgain) as fault:
            # the act is done; only the little notice is missing (a press that is minutes old)
            _log.info("a press is not answered", reason=str(fault))

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()


def render(message: Message) -> str:
    """The text in Telegram's HTML, within its length."""
    mark = _MARKS.get(message.state) or _SEVERITY_MARKS.get(message.severity, "⚪")
    if message.kind in OTHERS:
        mark = "⚪"
    number = f" #{message.incident}" if message.incident else ""
    head = f"{mark} <b>{html.escape(message.title)}</b>{number}"
    parts = [head]
    if message.kind not in OTHERS:
        parts.append(html.escape(status_of(message)))
    if message.summary:
        parts.append(html.escape(message.summary))
    lines = [html.escape(line) for line in details_of(message)]
    if message.link and not _is_public(message.link):
        # Telegram takes links to public names only; others stand as text to copy
        lines.append(f"<code>{html.escape(message.link)}</code>")
    text = "\n".join(parts)
    for line in lines:
        if len(text) + len(line) + 1 > TEXT_CHARS_MAX:
            text += "\n…"
            break
        text += "\n" + line
    assert len(text) <= TELEGRAM_TEXT_CHARS_MAX or message.summary, "bounded by its parts"
    return text if len(text) <= TELEGRAM_TEXT_CHARS_MAX else _shortened(text)


def _shortened(text: str) -> str:
    """Cut at a line, then at plain characters, never within a tag or an entity."""
    first, _, rest = text.partition("\n")
    plain = html.unescape(rest)
    while len(first) + len(html.escape(plain)) + 3 > TELEGRAM_TEXT_CHARS_MAX:
        plain = plain[: len(plain) * 9 // 10]
    return f"{first}\n{html.escape(plain)}…"


def keyboard(message: Message) -> list[list[dict[str, str]]]:
    """Rows of buttons: take or put off while nobody has, and a link to the incident."""
    row = []
    if message.state == "open" and message.incident:
        for action, name in (("ack", "acknowledge"), ("snooze", "snooze")):
            text = word(message.language, name)
            row.append({"text": text, "callback_data": f"{action}:{message.incident}"})
    if message.link and _is_public(message.link):
        row.append({"text": word(message.language, "open"), "url": message.link})
    return [row] if row else []


def _is_public(link: str) -> bool:
    host = httpx.URL(link).host
    return "." in host and not re.fullmatch(r"127\..*|localhost", host)


class TelegramProvider:
    """Makes Telegram senders."""

    options: tuple[Option, ...] = (
        Option("token", "secret", needed=True),
        Option("chat_id", needed=True),
        Option("buttons", "flag", default=True),
        Option("api_url", default="https://api.telegram.org", leads=True),
    )

    def make(self, raw: dict[str, object], where: str, environment: Mapping[str, str]) -> Sender:
        """See `Provider.make`."""
        token = take_secret(raw, "token", where, environment)
        if not _TOKEN.fullmatch(token.reveal()):
            raise NotifySettingsError(
                f"{where}: token is missing or not one (like 123456:ABC…, from @BotFather)", "token"
            )
        chat_id = raw.pop("chat_id", None)
        if not isinstance(chat_id, (int, str)) or isinstance(chat_id, bool) or chat_id == "":
            raise NotifySettingsError(f"{where}: chat_id must be a number or @channel", "chat_id")
        buttons = raw.pop("buttons", True)
        if not isinstance(buttons, bool):
            raise NotifySettingsError(f"{where}: buttons must be true or false", "buttons")
        api_url = take_text(raw, "api_url", where, "https://api.telegram.org")
        return TelegramSender(token, chat_id, api_url, buttons)


PROVIDER: Provider = TelegramProvider()
