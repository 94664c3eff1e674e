"""Web push: messages to a person's browser, also while no page of ours is open (RFC 8030).

    [receivers.push]
    type = "webpush"
    key_file = "/var/lib/vezha/push.pem"    # made at first use; a new key ends all subscriptions
    contact = "mailto:ops@example.org"      # for the push services, should something be wrong
    endpoints = ["fcm.googleapis.com"]      # hosts of push services; those of the usual browsers by default

The receiver itself reaches nobody: browsers subscribe and become people's contacts, whose address is the
subscription as the browser gives it (JSON). What is sent is encrypted for that browser (see `sealing`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from vezha.notify.errors import Gone, NotifySettingsError, Refused, SendError, TryAgain
from vezha.notify.http import make_client
from vezha.notify.limits import MISSET_RETRY_MS, RESPONSE_CHARS_MAX
from vezha.notify.message import KINDS, LOUD, OTHERS, Message
from vezha.notify.option import Option
from vezha.notify.provider import Delivery, Provider, Sender, Sent
from vezha.notify.providers.webpush.sealing import (
    Key,
    Subscription,
    bearer,
    load_key,
    new_key,
    read_key,
    read_subscription,
    seal,
)
from vezha.notify.reading import take_text, take_texts
from vezha.notify.retry import retry_after_ms
from vezha.notify.secret import take_secret
from vezha.notify.words import details_of, status_of
from vezha.world import Chance

SERVICES = (
    "fcm.googleapis.com", "*.push.services.mozilla.com", "*.notify.windows.com",
    "web.push.apple.com", "*.push.apple.com",
)  # fmt: skip
"""Where the usual browsers' subscriptions lead. Others are refused: an address that a person
gives must not make the server ask whatever it can reach."""
KEPT_S = 86_400
"""How long the push service keeps a message for a browser that is away."""
_BYTES_MAX = 3_500
_TEXT_CHARS_MAX = 600


class WebPushSender:
    """One browser, or (without a subscription) the account behind all of them."""

    def __init__(
        self,
        key: Key,
        contact: str,
        hosts: Sequence[str],
        subscription: Subscription | None = None,
        client: httpx.AsyncClient | None = None,
    ) -> None:
        self.edits = True
        # the account alone reaches nobody, and must not count as having told anybody
        self.wants = frozenset((*KINDS, *OTHERS)) if subscription else frozenset({"test"})
        self._key = key
        self._contact = contact
        self._hosts = tuple(hosts)
        self._subscription = subscription
        self._chance = Chance()
        self._client = client or make_client()

    @property
    def public_key(self) -> str:
        """What a page hands to the browser as `applicationServerKey`."""
        return self._key.public_text

    def to(self, address: str, where: str) -> WebPushSender:
        """See `Addressable.to`: *address* is a subscription as JSON. Raises NotifySettingsError."""
        try:
            subscription = read_subscription(address)
        except ValueError as fault:
            raise NotifySettingsError(f"{where}: not a browser's subscription: {fault}") from None
        parts = urlsplit(subscription.endpoint)
        host = parts.hostname or ""
        safe = parts.scheme == "https" or host == "127.0.0.1"
        if not safe or not any(fnmatchcase(host, pattern) for pattern in self._hosts):
            raise NotifySettingsError(
                f'{where}: "{host}" is not a known push service; add it to endpoints if you trust it'
            )
        return WebPushSender(self._key, self._contact, self._hosts, subscription, self._client)

    async def send(self, delivery: Delivery) -> Sent:
        """Seal and POST. Raises TryAgain, Refused or Gone."""
        if self._subscription is None:
            return Sent(note="nobody: browsers are people's contacts")
        message = delivery.message
        endpoint = self._subscription.endpoint
        body = seal(payload(message), self._subscription, self._chance)
        headers = {
            "Authorization": bearer(self._key, endpoint, self._contact, int(time.time())),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(KEPT_S),
            "Urgency": "high" if message.kind in LOUD else "normal",
            # of messages that wait for one browser only the newest of an incident is kept
            "Topic": f"incident-{message.incident}" if message.incident else f"m-{delivery.id}",
        }
        try:
            answer = await self._client.post(endpoint, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
            raise TryAgain(f"cannot reach the push service: {type(fault).__name__}") from None
        if 200 <= answer.status_code < 300:
            return Sent(note=f"HTTP {answer.status_code}")
        raise _fault(answer)

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()


def _fault(answer: httpx.Response) -> SendError:
    code = answer.status_code
    said = f"the push service answers {code}: {answer.text[:RESPONSE_CHARS_MAX]}"
    if code in (404, 410):
        return Gone(said)
    if code in (408, 425, 429) or code >= 500:
        return TryAgain(said, retry_after_ms(answer.headers.get("Retry-After", "")))
    if code in (401, 403):
        return TryAgain(f"{said}; was key_file changed?", MISSET_RETRY_MS)
    return Refused(said)


def payload(message: Message) -> bytes:
    """What the page's service worker gets, as JSON that fits a push message."""
    parts = [] if message.kind in OTHERS else [status_of(message)]
    parts += [message.summary, *details_of(message)]
    text = "\n".join(part for part in parts if part)
    document: dict[str, Any] = {
        "title": message.title[:200],
        "body": text if len(text) <= _TEXT_CHARS_MAX else text[: _TEXT_CHARS_MAX - 1] + "…",
        "kind": message.kind,
        "incident": message.incident,
        "severity": message.severity,
        "state": message.state,
        "link": message.link,
        "language": message.language,
        "tag": f"incident-{message.incident}" if message.incident else message.kind,
        "silent": message.kind not in (*LOUD, *OTHERS),
        "at_ms": message.at_ms,
    }
    data = orjson.dumps(document)
    while len(data) > _BYTES_MAX:
        document["body"] = document["body"][: len(document["body"]) * 3 // 4]
        data = orjson.dumps(document)
    return data


class WebPushProvider:
    """Makes web push senders."""

    options: tuple[Option, ...] = (
        Option("contact", needed=True),
        Option("endpoints", "texts"),
        Option("key", "secret", make=new_key),
    )

    def make(self, raw: dict[str, object], where: str, environment: Mapping[str, str]) -> Sender:
        """See `Provider.make`."""
        path = take_text(raw, "key_file", where, "")
        text = take_secret(raw, "key", where, environment)
        if bool(path) == bool(text):
            raise NotifySettingsError(f"{where}: key_file is missing", "key")
        contact = take_text(raw, "contact", where)
        if not contact.startswith(("mailto:", "https://")):
            raise NotifySettingsError(
                f"{where}: contact must begin with mailto: or https://", "contact"
            )
        hosts = take_texts(raw, "endpoints", where) or list(SERVICES)
        try:
            key = load_key(text.reveal().encode()) if text else read_key(path)
        except (OSError, ValueError) as fault:
            named = "key" if text else f"key_file {path}"
            raise NotifySettingsError(f"{where}: {named} cannot be used: {fault}", "key") from None
        return WebPushSender(key, contact, hosts)


PROVIDER: Provider = WebPushProvider()
