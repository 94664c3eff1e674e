"""Gates that ask the outside: a web hook is told of the rollout and answers pass, fail or neither.

Asked in threads, so that a slow answer delays nothing; the newest answer counts, and an outside that
does not answer any more takes its earlier yes back. It is never followed elsewhere, and never gets
more than WEBHOOK_WHOLE_S. With a secret each question is signed, so that the address need not be one.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import structlog

from vezha.delivery.limits import (
    WEBHOOK_ANSWER_BYTES_MAX,
    WEBHOOK_EVERY_MS,
    WEBHOOK_TIMEOUT_S,
    WEBHOOK_WHOLE_S,
    WEBHOOKS_KNOWN_MAX,
)
from vezha.world import Clock, World

SIGNATURE = "X-Vezha-Signature"
"""`sha256=` and the HMAC-SHA-256 of the body under the secret, hex; as GitHub signs."""
_log = structlog.get_logger("delivery")


class Outside(Protocol):
    """Whoever is asked."""

    def ask(
        self, key: str, url: str, document: Mapping[str, Any], now_ms: int
    ) -> dict[str, Any] | None:
        """The newest answer to *key* as evidence of a `webhook` gate; None: there is none yet."""
        ...


class NoOutside:
    """Asks nobody."""

    def ask(
        self, key: str, url: str, document: Mapping[str, Any], now_ms: int
    ) -> dict[str, Any] | None:
        return {"problem": "web hooks are not asked here"}


class Webhooks:
    """Asks over HTTP: POST of the document as JSON, answer `{"result": …, "sentence": …}`."""

    def __init__(
        self,
        client: httpx.Client | None = None,
        *,
        secret: str = "",
        clock: Clock | None = None,
        whole_s: float = WEBHOOK_WHOLE_S,
    ) -> None:
        self._client = client
        self._secret = secret.encode()
        self._clock = clock or World().clock
        self._whole_s = whole_s
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="webhook")
        self._lock = threading.Lock()
        self._asked_ms: dict[str, int] = {}
        self._open: dict[str, Future[dict[str, Any]]] = {}
        self._answers: dict[str, dict[str, Any]] = {}

    def ask(
        self, key: str, url: str, document: Mapping[str, Any], now_ms: int
    ) -> dict[str, Any] | None:
        with self._lock:
            asked = self._open.get(key)
            if asked is not None and asked.done():
                self._answers[key] = asked.result()
                del self._open[key]
            due = abs(now_ms - self._asked_ms.get(key, 0)) >= WEBHOOK_EVERY_MS
            if key not in self._open and due:
                self._forget()
                self._asked_ms[key] = now_ms
                self._open[key] = self._pool.submit(self._post, url, dict(document))
            return self._answers.get(key)

    def _forget(self) -> None:
        """What was asked longest ago is of a rollout that is over."""
        while len(self._asked_ms) >= WEBHOOKS_KNOWN_MAX:
            oldest = min(self._asked_ms, key=self._asked_ms.__getitem__)
            del self._asked_ms[oldest]
            self._answers.pop(oldest, None)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._client is not None:
                self._client.close()

    def _asking(self) -> httpx.Client:
        """Made when it is needed: where no gate asks it would keep 2 MB of authorities."""
        with self._lock:
            if self._client is None:
                self._client = httpx.Client(timeout=WEBHOOK_TIMEOUT_S, follow_redirects=False)
            return self._client

    def _post(self, url: str, document: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(document).encode()
        headers = {"Content-Type": "application/json"}
        if self._secret:
            found = hmac.new(self._secret, body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={found}"
        until_s = self._clock.monotonic() + self._whole_s
        try:
            with self._asking().stream("POST", url, content=body, headers=headers) as response:
                raw = b""
                for piece in response.iter_bytes():
                    raw += piece
                    if len(raw) > WEBHOOK_ANSWER_BYTES_MAX:
                        return {"problem": "the outside's answer is too long"}
                    if self._clock.monotonic() > until_s:
                        return {"problem": "the outside takes too long to answer"}
                if response.is_redirect:
                    return {"problem": "the outside sends elsewhere, which is not followed"}
                if not response.is_success:
                    return {"problem": f"the outside answered {response.status_code}"}
                answer = json.loads(raw)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as fault:
            # never the whole address: such addresses may be secrets
            _log.warning("webhook_failed", host=urlsplit(url).hostname, why=type(fault).__name__)
            return {"problem": _why(fault)}
        if not isinstance(answer, dict):
            return {"problem": "the outside's answer is not an object"}
        return {"answer": {k: answer.get(k) for k in ("result", "sentence")}}


def _why(fault: Exception) -> str:
    if isinstance(fault, httpx.TimeoutException):
        return "the outside takes too long to answer"
    if isinstance(fault, httpx.ConnectError):
        return "the outside cannot be reached"
    if isinstance(fault, httpx.HTTPError | httpx.InvalidURL):
        return f"the outside could not be asked: {type(fault).__name__}"
    return "the outside's answer is not JSON"
