"""Who sends a request: a session's cookie, a bearer token, or nobody.

`Authorization: Bearer vzt_…` is an API token; `Authorization: Basic` with any name and the
token as the password is the same, for tools that know nothing else. A header that is there but
wrong is refused, it does not fall back to the cookie.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import anyio.to_thread
from starlette.requests import HTTPConnection

from vezha.access import Role, Subject
from vezha.access.seeing import find_role, read_eyes, see_as
from vezha.access.subject import SubjectKind
from vezha.access.token import recognise_token
from vezha.api.cookie import Origin, read_cookie, read_eyes_cookie
from vezha.api.errors import ApiError
from vezha.api.header import header_of
from vezha.api.services import Services


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and whether a cookie said so (then a browser may have been tricked)."""

    subject: Subject
    by_cookie: bool
    session_secret: str = ""


def origin_of(connection: HTTPConnection) -> Origin:
    """The way on which the request came; a trusted proxy's headers are in it already."""
    return Origin(connection.url.scheme, connection.headers.get("host", ""))


def address_of(connection: HTTPConnection) -> str:
    """The address that the request came from."""
    client = connection.scope.get("client")
    return str(client[0]) if client else ""


async def authenticate(connection: HTTPConnection, services: Services) -> Caller:
    """Who sends this. Raises `ApiError` 401 for a token that is wrong."""
    address = address_of(connection)
    header = header_of(connection, b"authorization")
    if header:
        secret = _token_in(header)
        subject = await _recognise(services, "token", secret, address)
        if subject is None:
            raise ApiError(
                401,
                "wrong_token",
                "The API token is unknown, expired or revoked.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return Caller(subject, by_cookie=False)
    secret = read_cookie(connection.headers, origin_of(connection))
    if secret:
        subject = await _recognise(services, "session", secret, address)
        if subject is not None:
            subject = await _through_other_eyes(connection, services, subject)
            return Caller(subject, by_cookie=True, session_secret=secret)
    return Caller(Subject(SubjectKind.NOBODY, address=address), by_cookie=True)


async def _through_other_eyes(
    connection: HTTPConnection, services: Services, subject: Subject
) -> Subject:
    eyes = read_eyes(read_eyes_cookie(connection.headers))
    if eyes is None or subject.role is not Role.ADMIN:
        return subject

    def ask() -> Role | None:
        with services.ledger.read() as ledger:
            return find_role(ledger, eyes.person)

    role: Role | None = eyes.role
    if eyes.person:
        role = await anyio.to_thread.run_sync(ask, limiter=services.handler_threads)
    return see_as(subject, eyes, role)


async def _recognise(services: Services, by: str, secret: str, address: str) -> Subject | None:
    now_ms = services.now_ms()
    known = services.recognition.recall(by, secret, address, now_ms)
    if known is not None:
        return known
    version = services.recognition.version()

    def ask() -> Subject | None:
        if by == "token":
            return recognise_token(services.ledger, secret, address, now_ms)
        return services.sessions.recognise(secret, address, now_ms)

    subject = await anyio.to_thread.run_sync(ask, limiter=services.handler_threads)
    if subject is not None:
        services.recognition.note(by, secret, subject, version, now_ms)
    return subject


def _token_in(header: str) -> str:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(rest.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return ""
        return decoded.partition(":")[2]
    return ""
