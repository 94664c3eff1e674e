"""The one HTML page behind every page address, made for its first paint.

The reader's theme and language are cookies (`vezha_theme`, `vezha_lang`), so the first paint has
the right colours without a script that blocks it. `Link` headers name the modules that this
address will import, so that nothing is discovered late.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from vezha.ui.built import Built, BuiltFile
from vezha.ui.encoding import choose_encoding, choose_language

LANGUAGES = ("en", "uk")
THEMES = ("auto", "light", "dark")

# Address -> the module that draws it.
PAGES: dict[str, str] = {
    "/": "src/pages/Fleet.tsx",
    "/sign-in": "src/pages/Fleet.tsx",
    "/fleet": "src/pages/Fleet.tsx",
    "/host/{name:path}": "src/pages/Host.tsx",
    "/incidents": "src/pages/Incidents.tsx",
    "/incident/{id}": "src/pages/Incident.tsx",
    "/silences": "src/pages/Silences.tsx",
    "/rules": "src/pages/Rules.tsx",
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
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)

SECURITY = {
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True)
class Paint:
    """The page in one language and theme."""

    file: BuiltFile
    tag: str


def paint(index: str, language: str, theme: str) -> Paint:
    """`index` as it is sent to a reader of `language` who chose `theme`."""
    attributes = f'lang="{language}"' + ("" if theme == "auto" else f' data-theme="{theme}"')
    assert '<html lang="en">' in index, "the built page must begin with <html lang=en>"
    text = index.replace('<html lang="en">', f"<html {attributes}>", 1).encode()
    bodies = {"identity": text, "gzip": gzip.compress(text, 9, mtime=0)}
    tag = hashlib.sha256(text).hexdigest()[:16]
    return Paint(BuiltFile("text/html; charset=utf-8", bodies), tag)


def preloads(built: Built, module: str, language: str) -> str:
    """The `Link` header for a page drawn by `module`: the modules that `index.html` itself does
    not name yet, and the dictionary."""
    named = built.index
    parts: list[str] = []
    for source in (module, f"src/i18n/{language}.json"):
        chunk = built.needed_by(source)
        parts += [
            f"<{url}>; rel=preload; as=style; crossorigin"
            for url in chunk.styles
            if url not in named
        ]
        parts += [f"<{url}>; rel=modulepreload" for url in chunk.scripts if url not in named]
    return ", ".join(dict.fromkeys(parts))


def page_endpoint(built: Built) -> Callable[[Request], Awaitable[Response]]:
    """Answers every page address of `PAGES`."""
    paints = {
        (language, theme): paint(built.index, language, theme)
        for language in LANGUAGES
        for theme in THEMES
    }
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
        painted = paints[language, theme if theme in THEMES else "auto"]
        encoding = choose_encoding(request.headers.get("accept-encoding", ""), painted.file.bodies)
        headers = SECURITY | {
            "cache-control": "no-cache",
            "content-type": painted.file.media_type,
            "etag": f'"{painted.tag}-{encoding}"',
            "vary": "accept-encoding, accept-language, cookie",
        }
        link = links[module_of(request.url.path), language]
        if link:
            headers["link"] = link
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if encoding != "identity":
            headers["content-encoding"] = encoding
        return Response(painted.file.bodies[encoding], headers=headers)

    return endpoint


def module_of(path: str) -> str:
    """The module that draws the page at `path`; the fleet for an address that is none."""
    head = path.strip("/").partition("/")[0]
    for pattern, module in PAGES.items():
        if pattern.strip("/").partition("/")[0] == head:
            return module
    return PAGES["/"]


def not_built_endpoint(text: str) -> Callable[[Request], Awaitable[Response]]:
    """Answers page addresses of an installation without pages."""

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(
            text + "\n", status_code=503, headers={"cache-control": "no-store"}
        )

    return endpoint
