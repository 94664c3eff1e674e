"""The one HTML page behind every page address, made for its first paint.

The reader's theme and language are cookies (`vezha_theme`, `vezha_lang`), so the first paint has
the right colours without a script that blocks it. Who carries a session's cookie gets the frame
of the pages in the HTML itself: it is painted as soon as the style sheet is there, and the script
takes over its elements. `Link` headers name the modules that this address will import, so that
nothing is discovered late.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import html
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from vezha.ui.built import Built, BuiltFile
from vezha.ui.encoding import choose_encoding, choose_language

LANGUAGES = ("en", "uk")
THEMES = ("auto", "light", "dark")

ENTRY = "index.html"

# Address -> the module that draws it.
PAGES: dict[str, str] = {
    "/": "src/pages/Fleet.tsx",
    "/sign-in": "src/pages/Fleet.tsx",
    "/fleet": "src/pages/Fleet.tsx",
    "/host/{name:path}": "src/pages/Host.tsx",
    "/incidents": "src/pages/Incidents.tsx",
    "/incident/{id}": "src/pages/Incident.tsx",
    "/dependencies": "src/pages/Dependencies.tsx",
    "/checklists": "src/pages/Checklists.tsx",
    "/checklists/{name}": "src/pages/Checklists.tsx",
    "/checklist/{id}": "src/pages/Checklist.tsx",
    "/changes": "src/pages/Changes.tsx",
    "/changes/{section}": "src/pages/Changes.tsx",
    "/change/{id}": "src/pages/Change.tsx",
    "/draft/{id}": "src/pages/Draft.tsx",
    "/releases": "src/pages/Releases.tsx",
    "/load": "src/pages/Load.tsx",
    "/oncall": "src/pages/OnCall.tsx",
    "/oncall/{section:path}": "src/pages/OnCall.tsx",
    "/scenarios": "src/pages/Scenarios.tsx",
    "/scenario/{name}": "src/pages/Scenario.tsx",
    "/round/{id}": "src/pages/Round.tsx",
    "/watch/{name}": "src/pages/Watch.tsx",
    "/diary": "src/pages/Diary.tsx",
    "/diary/{week}": "src/pages/Diary.tsx",
    "/silences": "src/pages/Silences.tsx",
    "/checks": "src/pages/Checks.tsx",
    "/rules": "src/pages/Rules.tsx",
    "/rules/{name}": "src/pages/Rules.tsx",
    "/explore": "src/pages/Explore.tsx",
    "/settings": "src/pages/Settings.tsx",
    "/settings/{section}": "src/pages/Settings.tsx",
    "/access": "src/pages/Access.tsx",
    "/access/{section}": "src/pages/Access.tsx",
    "/audit": "src/pages/Access.tsx",
}

# No inline script or style, nothing from elsewhere, no frame around us.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        # One policy, which knows one address: that of the service worker.
        "trusted-types vezha-worker",
    )
)

SECURITY = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}

# Who is signed in is asked for beside the scripts, not after them.
SESSION_PRELOAD = "</api/v1/session>; rel=preload; as=fetch; crossorigin"

_SESSION_COOKIES = ("vezha", "__Host-vezha")
_TOWER = (
    '<svg width="18" height="18" viewBox="0 0 18 18" fill="none" stroke="currentColor" '
    'stroke-width="1.5" stroke-linejoin="round" aria-hidden="true">'
    '<path d="M4 2h2.300v1.900h1.600V2h2.200v1.900h1.600V2H14v4.300l-1.400 1.400V16H5.400V7.700L4 '
    '6.300z"></path><path d="M7.600 16v-3a1.400 1.400 0 0 1 2.800 0v3"></path></svg>'
)


def frame(brand: str, title: str) -> str:
    """The frame around a page called `title`: what stands there before the script has run."""
    return (
        '<div class="shell"><nav class="rail"><a class="brand" href="/fleet">'
        f"{_TOWER}<span>{html.escape(brand)}</span></a></nav>"
        f'<div class="stage"><header class="top"><ol class="trail"><li>{html.escape(title)}</li>'
        '</ol></header><main class="main"></main></div></div>'
    )


@dataclass(frozen=True)
class Paint:
    """The page in one language and theme."""

    file: BuiltFile
    tag: str


def paint(index: str, language: str, theme: str, framed: str = "") -> Paint:
    """`index` as it is sent to a reader of `language` who chose `theme`, with `framed` in it."""
    attributes = f'lang="{language}"' + ("" if theme == "auto" else f' data-theme="{theme}"')
    assert '<html lang="en">' in index, "the built page must begin with <html lang=en>"
    page = index.replace('<html lang="en">', f"<html {attributes}>", 1)
    if framed:
        page = page.replace('<div id="app">', f'<div id="app">{framed}', 1)
    text = page.encode()
    bodies = {"identity": text, "gzip": gzip.compress(text, 9, mtime=0)}
    tag = hashlib.sha256(text).hexdigest()[:16]
    return Paint(BuiltFile("text/html; charset=utf-8", bodies), tag)


def preloads(built: Built, module: str, language: str) -> str:
    """The `Link` header for a page drawn by `module`: all that it needs to stand there, the style
    sheets first, for with them the frame is painted."""
    sources = [ENTRY, module, f"src/i18n/{language}.json"]
    if part := built.names.get("parts", {}).get(module):
        sources += [f"src/i18n/{language}.{name}.json" for name in (part, "more")]
    chunks = [built.needed_by(source) for source in sources]
    parts = [
        f"<{url}>; rel=preload; as=style; crossorigin" for chunk in chunks for url in chunk.styles
    ]
    parts += [f"<{url}>; rel=modulepreload" for chunk in chunks for url in chunk.scripts]
    return ", ".join(dict.fromkeys(parts))


def lost_endpoint(
    page: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Answers an address that is none: people get the *page*, which says so, programs a sentence."""

    async def endpoint(request: Request) -> Response:
        if "text/html" not in request.headers.get("accept", ""):
            raise HTTPException(404)
        return await page(request)

    return endpoint


def page_endpoint(built: Built, status: int = 200) -> Callable[[Request], Awaitable[Response]]:
    """Answers every page address of `PAGES`, with that *status*."""

    @functools.cache
    def painted(language: str, theme: str, title: str) -> Paint:
        names = built.names.get(language, {})
        around = frame(names.get("brand", "Vezha"), names.get(title, "")) if title else ""
        return paint(built.index, language, theme, around)

    links = {
        (module, language): preloads(built, module, language)
        for module in set(PAGES.values())
        for language in LANGUAGES
    }

    async def endpoint(request: Request) -> Response:
        language = choose_language(
            request.cookies.get("vezha_lang"),
            request.headers.get("accept-language", ""),
            LANGUAGES,
        )
        theme = request.cookies.get("vezha_theme", "auto")
        signed_in = any(name in request.cookies for name in _SESSION_COOKIES)
        title = title_of(request.url.path) if signed_in else ""
        page = painted(language, theme if theme in THEMES else "auto", title)
        encoding = choose_encoding(request.headers.get("accept-encoding", ""), page.file.bodies)
        headers = SECURITY | {
            "cache-control": "no-cache",
            "content-type": page.file.media_type,
            "etag": f'"{page.tag}-{encoding}"',
            "vary": "accept-encoding, accept-language, cookie",
        }
        link = links[module_of(request.url.path), language]
        if signed_in:
            link = f"{SESSION_PRELOAD}, {link}" if link else SESSION_PRELOAD
        if link:
            headers["link"] = link
        if status == 200 and headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if encoding != "identity":
            headers["content-encoding"] = encoding
        return Response(page.file.bodies[encoding], status, headers=headers)

    return endpoint


def module_of(path: str) -> str:
    """The module that draws the page at `path`; the fleet for an address that is none."""
    head = path.strip("/").partition("/")[0]
    for pattern, module in PAGES.items():
        if pattern.strip("/").partition("/")[0] == head:
            return module
    return PAGES["/"]


def title_of(path: str) -> str:
    """The key of the page's name; a thing's page is named by the list that it is in."""
    head = path.strip("/").partition("/")[0]
    lists = {
        "": "fleet", "sign-in": "fleet", "host": "fleet", "audit": "access",
        "round": "scenarios", "watch": "scenarios", "draft": "changes",
    }  # fmt: skip
    known = {pattern.strip("/").partition("/")[0] for pattern in PAGES}
    if head not in known:
        return "page.fleet"
    if f"/{head}s" in PAGES:
        head += "s"
    return f"page.{lists.get(head, head)}"


def not_built_endpoint(text: str) -> Callable[[Request], Awaitable[Response]]:
    """Answers page addresses of an installation without pages."""

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(
            text + "\n", status_code=503, headers={"cache-control": "no-store"}
        )

    return endpoint
