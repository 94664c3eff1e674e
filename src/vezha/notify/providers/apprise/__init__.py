"""The long tail: whatever the library Apprise can reach (SMS, Signal, Matrix, Teams, ntfy …).

    [receivers.sms]
    type = "apprise"
    url_file = "/etc/vezha/sms.url"   # or url_env, url: "twilio://SID:TOKEN@FROM/{address}"
    to = "+380441234567"              # what stands for {address}; people's contacts have their own

The address names the service and carries its secrets; see Apprise's own documentation. Its calls
block, so each runs on a thread of its own and is given up after SEND_TIMEOUT_S; a service that hangs
may hold THREADS_MAX of them. It only says yes or no, so what went wrong is read from its log.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import warnings
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

with warnings.catch_warnings():
    # its plug-ins, all imported at the first use, warn of old modules of Python; that is theirs
    warnings.simplefilter("ignore")
    import apprise
    from apprise.conversion import convert_between

    apprise.Apprise.instantiate("json://localhost")

from vezha.notify.errors import NotifySettingsError, Refused, SendError, TryAgain
from vezha.notify.limits import MISSET_RETRY_MS, RESPONSE_CHARS_MAX, SEND_TIMEOUT_S, TEXT_CHARS_MAX
from vezha.notify.message import LOUD, OTHERS, Message
from vezha.notify.option import Option
from vezha.notify.provider import Delivery, Provider, Sender, Sent
from vezha.notify.reading import take_text
from vezha.notify.secret import Secret, take_secret
from vezha.notify.words import details_of, status_of

THREADS_MAX = 4
"""Calls of one receiver that may hang at one time."""
_ADDRESS = "{address}"
_ADDRESS_CHARS_MAX = 200
_CODE = re.compile(r"error=(\d{3})")
_TYPES = {"critical": "failure", "warning": "warning", "info": "info"}


class AppriseSender:
    """One address of one service."""

    def __init__(self, url: Secret, address: str) -> None:
        self.edits = False
        self.wants = frozenset((*LOUD, "eased", "resolved", *OTHERS))
        self._template = url
        self._address = address
        self._url = Secret(url.reveal().replace(_ADDRESS, quote(address, safe="")))
        self._hanging = threading.BoundedSemaphore(THREADS_MAX)

    def to(self, address: str, where: str) -> AppriseSender:
        """See `Addressable.to`. Raises NotifySettingsError."""
        if _ADDRESS not in self._template.reveal():
            raise NotifySettingsError(
                f"{where}: the receiver's url has no {_ADDRESS}, so it reaches one address only"
            )
        if len(address) > _ADDRESS_CHARS_MAX:
            raise NotifySettingsError(f"{where}: longer than {_ADDRESS_CHARS_MAX} characters")
        other = AppriseSender(self._template, address)
        other._hanging = self._hanging
        check_url(other._url, where)
        return other

    async def send(self, delivery: Delivery) -> Sent:
        """Hand to the service, on a thread. Raises TryAgain or Refused."""
        if not self._hanging.acquire(blocking=False):
            raise TryAgain(f"{THREADS_MAX} earlier calls of the service still hang")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[None] = loop.create_future()

        def settle(fault: Exception | None) -> None:
            if answer.done():
                return
            if fault is None:
                answer.set_result(None)
            else:
                answer.set_exception(fault)

        def work() -> None:
            fault: Exception | None = None
            try:
                self._call(delivery.message)
            except SendError as refused:
                fault = refused
            except Exception as broken:  # the library's plug-ins raise whatever they like
                fault = TryAgain(f"the service's plug-in broke: {type(broken).__name__}")
            finally:
                self._hanging.release()
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, fault)

        # a daemon, so that a service that hangs does not hold up the end of the process
        threading.Thread(target=work, name="apprise", daemon=True).start()
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await answer
        except TimeoutError:
            raise TryAgain(f"no answer within {SEND_TIMEOUT_S:.0f} s") from None
        return Sent(note="taken")

    def _call(self, message: Message) -> None:
        """Blocks. Raises TryAgain or Refused."""
        service = apprise.Apprise.instantiate(self._url.reveal(), suppress_exceptions=True)
        if service is None:
            raise Refused("Apprise does not understand this url")
        body, title = body_of(message), message.title
        if service.notify_format != apprise.NotifyFormat.TEXT:
            body = convert_between(apprise.NotifyFormat.TEXT, service.notify_format, body)  # type: ignore[no-untyped-call]
            if service.title_maxlen <= 0:
                # the title will stand in the body
                title = convert_between(apprise.NotifyFormat.TEXT, service.notify_format, title)  # type: ignore[no-untyped-call]
        heard = _Heard()
        logger = logging.getLogger("apprise")
        logger.addHandler(heard)
        try:
            # by the plug-in itself: Apprise's own `notify` moves to yet another thread
            taken = service.notify(body=body, title=title, notify_type=type_of(message))
        finally:
            logger.removeHandler(heard)
        if not taken:
            raise self._fault(" ".join(heard.lines))

    def _fault(self, said: str) -> SendError:
        text = self._template.hide_in(self._url.hide_in(said))[:RESPONSE_CHARS_MAX]
        text = f"the service did not take it: {text or 'without a reason'}"
        match = _CODE.search(said)
        code = int(match[1]) if match else 0
        if code in (401, 403, 404, 405, 410):
            return TryAgain(f"{text}; check the url", MISSET_RETRY_MS)
        return Refused(text) if code in (400, 413, 422) else TryAgain(text)

    async def close(self) -> None:
        """Nothing is held between messages."""


class _Heard(logging.Handler):
    """What the library says on this thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread and len(self.lines) < 5:
            self.lines.append(record.getMessage())


def body_of(message: Message) -> str:
    """The text: what, how bad, since when, what to do, where to look."""
    parts = [] if message.kind in OTHERS else [status_of(message)]
    parts += [message.summary, *details_of(message), message.link]
    text = "\n".join(part for part in parts if part) or message.title
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"


def type_of(message: Message) -> Any:
    """Apprise's word for how bad it is."""
    if message.state in ("resolved", "merged"):
        return apprise.NotifyType.SUCCESS
    named = "info" if message.kind in OTHERS else _TYPES.get(message.severity, "info")
    return apprise.NotifyType(named)


def check_url(url: Secret, where: str) -> None:
    """Raises NotifySettingsError for an address that Apprise does not understand."""
    if apprise.Apprise.instantiate(url.reveal(), suppress_exceptions=True) is None:
        scheme = url.reveal().partition("://")[0][:20]
        raise NotifySettingsError(
            f'{where}: Apprise does not understand the url ("{scheme}://…"); see its documentation',
            "url",
        )


class AppriseProvider:
    """Makes senders by Apprise."""

    options: tuple[Option, ...] = (
        Option("url", "secret", needed=True),
        Option("to"),
    )

    def make(self, raw: dict[str, object], where: str, environment: Mapping[str, str]) -> Sender:
        """See `Provider.make`."""
        url = take_secret(raw, "url", where, environment)
        if not url:
            raise NotifySettingsError(f"{where}: url, url_file or url_env is missing", "url")
        address = take_text(raw, "to", where, "")
        if address and _ADDRESS not in url.reveal():
            raise NotifySettingsError(f"{where}: to needs a url with {_ADDRESS} in it", "to")
        sender = AppriseSender(url, address)
        if address or _ADDRESS not in url.reveal():
            check_url(sender._url, where)
        return sender


PROVIDER: Provider = AppriseProvider()
