"""Web hooks: a POST of JSON, in Vezha's own form or in Alertmanager's.

    [receivers.hook]
    type = "webhook"
    url = "https://example.org/hook"    # or url_file, url_env: a hook's address is often a secret
    secret_file = "/etc/vezha/hook.key" # optional: signs what is sent
    format = "vezha"                    # or "alertmanager"
    updates = false                     # true: quiet changes are sent, too

With a secret, `X-Vezha-Signature: sha256=<hex>` is HMAC-SHA256 over `X-Vezha-Timestamp`, a full
stop and the body. `X-Vezha-Delivery` is the same for every attempt of one message: a receiver
that remembers it drops repetitions.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import httpx
import orjson

from vezha.notify.errors import NotifySettingsError, Refused, TryAgain
from vezha.notify.http import make_client
from vezha.notify.limits import MISSET_RETRY_MS, RESPONSE_CHARS_MAX
from vezha.notify.message import KINDS, OTHERS, Message
from vezha.notify.option import Option
from vezha.notify.provider import Delivery, Provider, Sender, Sent
from vezha.notify.reading import take_text
from vezha.notify.retry import retry_after_ms
from vezha.notify.secret import Secret, take_secret

_FORMATS = ("vezha", "alertmanager")
_KINDS = frozenset((*KINDS, *OTHERS)) - {"updated"}


class WebhookSender:
    """One address."""

    def __init__(self, url: Secret, secret: Secret, format_: str, updates: bool) -> None:
        self.edits = False
        self.wants = _KINDS | {"updated"} if updates else _KINDS
        self._url = url
        self._secret = secret
        self._format = format_
        self._client = make_client()

    async def send(self, delivery: Delivery) -> Sent:
        """POST it. Raises TryAgain or Refused."""
        body = orjson.dumps(payload(delivery, self._format))
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Vezha",
            "X-Vezha-Delivery": delivery.key,
            "X-Vezha-Timestamp": stamp,
        }
        if self._secret:
            headers["X-Vezha-Signature"] = "sha256=" + sign(self._secret.reveal(), stamp, body)
        try:
            answer = await self._client.post(self._url.reveal(), content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as fault:
            said = self._url.hide_in(str(fault)) or type(fault).__name__
            raise TryAgain(f"cannot reach the web hook: {said}") from None
        return self._judge(answer)

    def _judge(self, answer: httpx.Response) -> Sent:
        code = answer.status_code
        if 200 <= code < 300:
            return Sent(note=f"HTTP {code}")
        said = f"the web hook answers {code}: {answer.text[:RESPONSE_CHARS_MAX]}"
        if code in (408, 425, 429) or code >= 500:
            raise TryAgain(said, retry_after_ms(answer.headers.get("Retry-After", "")))
        if code in (401, 403, 404, 405, 410) or 300 <= code < 400:
            raise TryAgain(said, MISSET_RETRY_MS)
        raise Refused(said)

    async def close(self) -> None:
        """Close connections."""
        await self._client.aclose()


def sign(secret: str, stamp: str, body: bytes) -> str:
    """The signature as hexadecimal text."""
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def payload(delivery: Delivery, format_: str) -> dict[str, Any]:
    """The body of the POST."""
    if format_ == "alertmanager":
        return _alertmanager(delivery.message)
    message = delivery.message.to_json()
    for key in ("language", "time_zone", "kind"):
        message.pop(key)
    return {
        "version": 1,
        "kind": delivery.message.kind,
        "delivery": delivery.key,
        "incident": message,
    }


def _alertmanager(message: Message) -> dict[str, Any]:
    alerts = [
        {
            "status": "resolved" if a.state == "resolved" else "firing",
            "labels": a.labels,
            "annotations": a.annotations,
            "startsAt": _rfc3339(a.first_ms),
            "endsAt": _rfc3339(message.at_ms) if a.state == "resolved" else _rfc3339(None),
            "generatorURL": message.link,
            "fingerprint": a.fingerprint[:16],
        }
        for a in message.alerts
    ]
    status = "resolved" if message.state in ("resolved", "merged") else "firing"
    return {
        "version": "4",
        "groupKey": f"vezha/incident/{message.incident}",
        "truncatedAlerts": max(0, message.alerts_count - len(alerts)),
        "status": status,
        "receiver": "vezha",
        "groupLabels": {"incident": str(message.incident)},
        "commonLabels": _common([a.labels for a in message.alerts]),
        "commonAnnotations": {"summary": message.summary, "title": message.title},
        "externalURL": message.link,
        "alerts": alerts,
    }


def _common(sets: list[dict[str, str]]) -> dict[str, str]:
    if not sets:
        return {}
    return dict(sorted(set.intersection(*(set(s.items()) for s in sets))))


def _rfc3339(ms: int | None) -> str:
    if ms is None:
        return "0001-01-01T00:00:00Z"
    moment = datetime.fromtimestamp(ms / 1000, timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


class WebhookProvider:
    """Makes web hook senders."""

    options: tuple[Option, ...] = (
        Option("url", "secret", needed=True),
        Option("secret", "secret"),
        Option("format", "choice", default="vezha", choices=_FORMATS),
        Option("updates", "flag", default=False),
    )

    def make(self, raw: dict[str, object], where: str, environment: Mapping[str, str]) -> Sender:
        """See `Provider.make`."""
        url = take_secret(raw, "url", where, environment)
        if not url.reveal().startswith(("http://", "https://")):
            raise NotifySettingsError(f"{where}: url must begin with https:// or http://", "url")
        secret = take_secret(raw, "secret", where, environment)
        format_ = take_text(raw, "format", where, "vezha")
        if format_ not in _FORMATS:
            raise NotifySettingsError(
                f"{where}: format must be one of {', '.join(_FORMATS)}", "format"
            )
        updates = raw.pop("updates", False)
        if not isinstance(updates, bool):
            raise NotifySettingsError(f"{where}: updates must be true or false", "updates")
        return WebhookSender(url, secret, format_, updates)


PROVIDER: Provider = WebhookProvider()
