"""E-mail: HTML and plain text, one thread per incident.

    [receivers.mail]
    type = "smtp"
    host = "mail.example.org"
    port = 587
    security = "starttls"     # or "tls", or "none" (only for a relay on this machine)
    user = "vezha"
    password_file = "/etc/vezha/mail.password"
    from = "Vezha <vezha@example.org>"
    to = ["oncall@example.org"]

Quiet changes are not mailed: an incident is its opening, what makes it worse, and its end.
"""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, parseaddr

from vezha.notify.errors import NotifySettingsError, Refused, TryAgain
from vezha.notify.limits import MISSET_RETRY_MS, RESPONSE_CHARS_MAX, SEND_TIMEOUT_S
from vezha.notify.message import LOUD
from vezha.notify.option import Option
from vezha.notify.provider import Delivery, Provider, Sender, Sent
from vezha.notify.providers.smtp.page import html_page, plain_page, subject
from vezha.notify.reading import take_int, take_text, take_texts
from vezha.notify.secret import Secret, take_secret

_SECURITY = ("starttls", "tls", "none")
_TO_MAX = 50


@dataclass(frozen=True, slots=True)
class Account:
    """How the mail server is reached."""

    host: str
    port: int
    security: str
    user: str
    password: Secret
    ca_file: str


class SmtpSender:
    """Some addresses, reached by one mail server."""

    def __init__(self, account: Account, from_: Address, to: tuple[Address, ...]) -> None:
        self.edits = False
        self.wants = frozenset((*LOUD, "eased", "resolved", "test", "digest", "handover", "diary"))
        self._account = account
        self._from = from_
        self._to = to

    async def send(self, delivery: Delivery) -> Sent:
        """Hand to the mail server, on a thread. Raises TryAgain or Refused."""
        mail = compose(delivery, self._from, self._to)
        refused = await asyncio.to_thread(self._hand_over, mail)
        first = (delivery.reference or {}).get("message_id") or str(mail["Message-ID"])
        note = f"accepted for {len(self._to) - len(refused)} of {len(self._to)}"
        if refused:
            note += f"; refused: {', '.join(sorted(refused))}"
        return Sent({"message_id": first}, note)

    def _hand_over(self, mail: EmailMessage) -> list[str]:
        account = self._account
        try:
            with self._connect() as server:
                if account.user:
                    server.login(account.user, account.password.reveal())
                return list(server.send_message(mail))
        except smtplib.SMTPAuthenticationError as fault:
            said = _said(fault)
            raise TryAgain(
                f"{account.host} refuses user or password: {said}", MISSET_RETRY_MS
            ) from None
        except smtplib.SMTPRecipientsRefused as fault:
            codes = [code for code, _ in fault.recipients.values()]
            texts = "; ".join(
                f"{to}: {code} {_text(t)}" for to, (code, t) in fault.recipients.items()
            )
            said = f"no recipient is accepted: {texts}"[:RESPONSE_CHARS_MAX]
            if any(400 <= code < 500 for code in codes):
                raise TryAgain(said) from None
            raise Refused(said) from None
        except smtplib.SMTPResponseException as fault:
            said = f"{account.host} answers {_said(fault)}"
            if 500 <= fault.smtp_code < 600:
                raise Refused(said) from None
            raise TryAgain(said) from None
        except (smtplib.SMTPException, ssl.SSLError) as fault:
            raise TryAgain(f"{account.host}: {fault}") from None
        except OSError as fault:
            raise TryAgain(f"cannot reach {account.host}:{account.port}: {fault}") from None

    def _connect(self) -> smtplib.SMTP:
        account = self._account
        context = ssl.create_default_context(cafile=account.ca_file or None)
        if account.security == "tls":
            return smtplib.SMTP_SSL(
                account.host, account.port, timeout=SEND_TIMEOUT_S, context=context
            )
        server = smtplib.SMTP(account.host, account.port, timeout=SEND_TIMEOUT_S)
        if account.security == "starttls":
            try:
                server.starttls(context=context)
            except BaseException:
                server.close()
                raise
        return server

    def to(self, address: str, where: str) -> SmtpSender:
        """See `Addressable.to`."""
        return SmtpSender(self._account, self._from, (_address(address, where),))

    async def close(self) -> None:
        """Nothing is held between messages."""


def _text(data: object) -> str:
    return data.decode(errors="replace") if isinstance(data, bytes) else str(data)


def _said(fault: smtplib.SMTPResponseException) -> str:
    return f"{fault.smtp_code} {_text(fault.smtp_error)}"[:RESPONSE_CHARS_MAX]


def compose(delivery: Delivery, from_: Address, to: tuple[Address, ...]) -> EmailMessage:
    """The mail: the same Message-ID for every attempt, answers within the incident's thread."""
    message = delivery.message
    mail = EmailMessage(policy=SMTP)
    mail["From"] = from_
    mail["To"] = to
    mail["Subject"] = subject(message)
    mail["Date"] = formatdate((message.at_ms or 0) / 1000)
    key = re.sub(r"[^A-Za-z0-9.-]", "-", delivery.key)
    mail["Message-ID"] = f"<vezha.{key}@{from_.domain or 'vezha'}>"
    if delivery.reference and (first := delivery.reference.get("message_id")):
        mail["In-Reply-To"] = first
        mail["References"] = first
    mail["Auto-Submitted"] = "auto-generated"
    if message.severity == "critical" and message.state == "open":
        mail["X-Priority"] = "1"
    mail.set_content(plain_page(message))
    mail.add_alternative(html_page(message), subtype="html")
    return mail


def _address(text: str, where: str, field: str = "address") -> Address:
    name, spec = parseaddr(text)
    try:
        return Address(display_name=name, addr_spec=spec)
    except (HeaderParseError, ValueError, IndexError):
        raise NotifySettingsError(f'{where}: "{text}" is not a mail address', field) from None


class SmtpProvider:
    """Makes mail senders."""

    options: tuple[Option, ...] = (
        Option("host", needed=True, leads=True),
        Option("port", "number", leads=True),
        Option("security", "choice", default="starttls", choices=_SECURITY, leads=True),
        Option("user"),
        Option("password", "secret"),
        Option("from", needed=True),
        Option("to", "texts", needed=True),
    )

    def make(self, raw: dict[str, object], where: str, environment: Mapping[str, str]) -> Sender:
        """See `Provider.make`."""
        host = take_text(raw, "host", where)
        security = take_text(raw, "security", where, "starttls")
        if security not in _SECURITY:
            raise NotifySettingsError(
                f"{where}: security must be one of {', '.join(_SECURITY)}", "security"
            )
        usual = {"starttls": 587, "tls": 465, "none": 25}[security]
        port = take_int(raw, "port", where, usual, 1, 65535)
        user = take_text(raw, "user", where, "")
        password = take_secret(raw, "password", where, environment)
        if bool(user) != bool(password):
            raise NotifySettingsError(f"{where}: user and password belong together", "user")
        if user and security == "none" and host not in ("localhost", "127.0.0.1", "::1"):
            raise NotifySettingsError(
                f"{where}: a password is not sent in clear; set security to starttls or tls",
                "security",
            )
        from_ = _address(take_text(raw, "from", where), f"{where}: from", "from")
        to = tuple(_address(text, f"{where}: to", "to") for text in take_texts(raw, "to", where))
        if not 1 <= len(to) <= _TO_MAX:
            raise NotifySettingsError(f"{where}: to needs 1 to {_TO_MAX} addresses", "to")
        ca_file = take_text(raw, "ca_file", where, "")
        return SmtpSender(Account(host, port, security, user, password, ca_file), from_, to)


PROVIDER: Provider = SmtpProvider()
