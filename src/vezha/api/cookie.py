"""The session's cookie, and how requests that another site made a browser send are told.

Over HTTPS the cookie is `__Host-vezha`: `Secure; HttpOnly; SameSite=Strict; Path=/`. Over plain
HTTP, which the server offers on loopback only, it is `vezha` with the same attributes: browsers
count loopback as a trustworthy origin and take a `Secure` cookie from it. Safari alone does
not; it gets the cookie without `Secure`, which loses nothing where no wire is crossed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

SECURE_NAME = "__Host-vezha"
LOOPBACK_NAME = "vezha"
EYES_NAME = "vezha-as"
"""As whom an administrator sees the pages; see `vezha.access.seeing`."""
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Origin:
    """How a request reached us: scheme (http, https, ws, wss) and the Host header."""

    scheme: str
    host: str

    @property
    def is_tls(self) -> bool:
        """Whether the way here was encrypted."""
        return self.scheme in ("https", "wss")


def cookie_name(origin: Origin) -> str:
    """The session cookie's name on this way."""
    return SECURE_NAME if origin.is_tls else LOOPBACK_NAME


def set_cookie(origin: Origin, secret: str, max_age_s: int, user_agent: str) -> str:
    """The `Set-Cookie` header that opens (or with an empty secret and age 0 ends) a session."""
    secure = "" if not origin.is_tls and _is_safari(user_agent) else " Secure;"
    return (
        f"{cookie_name(origin)}={secret}; Path=/; Max-Age={max_age_s};"
        f"{secure} HttpOnly; SameSite=Strict"
    )


def read_cookie(headers: Mapping[str, str], origin: Origin) -> str:
    """The session's secret from the `Cookie` header, or the empty string."""
    return _read(headers, cookie_name(origin))


def read_eyes_cookie(headers: Mapping[str, str]) -> str:
    """As whom the browser says that the pages are seen, or the empty string."""
    return _read(headers, EYES_NAME)


def set_eyes_cookie(value: str) -> str:
    """The `Set-Cookie` header that begins (or with an empty value ends) seeing as somebody else.

    It ends with the browser, too. It needs no secrecy: it only takes rights away.
    """
    ends = "" if value else " Max-Age=0;"
    return f"{EYES_NAME}={value}; Path=/;{ends} HttpOnly; SameSite=Strict"


def _read(headers: Mapping[str, str], name: str) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar.load(headers.get("cookie", "")[:16_384])
    except CookieError:
        return ""
    morsel = jar.get(name)
    return "" if morsel is None else morsel.value


def is_cross_site(method: str, headers: Mapping[str, str], origin: Origin) -> bool:
    """Whether a browser sends this because of another site's page.

    Safe methods change nothing and pass. `Sec-Fetch-Site` decides where the browser sends it;
    else `Origin` must be the site that was asked. A request with neither is not a browser's.
    """
    if method in _SAFE_METHODS:
        return False
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    return is_foreign_origin(headers, origin)


def is_foreign_origin(headers: Mapping[str, str], origin: Origin) -> bool:
    """Whether `Origin` names another site than the one that was asked (for WebSockets too)."""
    given = headers.get("origin")
    if given is None:
        return False
    try:
        parts = urlsplit(given)
        scheme_fits = (parts.scheme == "https") == origin.is_tls
    except ValueError:
        return True
    return not scheme_fits or parts.netloc.casefold() != origin.host.casefold()


def _is_safari(user_agent: str) -> bool:
    others = ("Chrome/", "Chromium/", "CriOS/", "FxiOS/", "Firefox/", "Edg/")
    return "Safari/" in user_agent and not any(word in user_agent for word in others)
