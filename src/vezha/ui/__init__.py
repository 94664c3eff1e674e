"""The pages: serves what `frontend/` was built into, and the first paint.

Comes in: GET requests of browsers for page addresses and for hashed files.
Goes out: one HTML page in the reader's language and theme, with a strict Content-Security-Policy
and with `Link` headers that name every file the page will need; files that were compressed when
they were built, cacheable for ever.
Refuses: everything that is data. The pages get that from the public API like anybody else.

`routes()` is what the web contour mounts. Without built files it serves one plain sentence that
says how to build them.
"""

from __future__ import annotations

from pathlib import Path

from starlette.routing import BaseRoute, Route

from vezha.ui.built import STATIC, Built, load
from vezha.ui.errors import NotBuiltError
from vezha.ui.files import file_endpoint, plain_endpoint
from vezha.ui.page import PAGES, lost_endpoint, not_built_endpoint, page_endpoint

__all__ = ["PAGES", "STATIC", "Built", "NotBuiltError", "load", "routes"]


def routes(static: Path = STATIC) -> list[BaseRoute]:
    """The routes of all page addresses and of the built files in `static`."""
    try:
        built = load(static)
    except NotBuiltError as error:
        return [Route(path, not_built_endpoint(str(error))) for path in PAGES]
    page = page_endpoint(built)
    return [
        *(Route(path, page) for path in PAGES),
        Route("/assets/{name:path}", file_endpoint(built)),
        *(Route(f"/{name}", plain_endpoint(built, name)) for name in built.plain),
        Route("/{rest:path}", lost_endpoint(page_endpoint(built, 404))),
    ]
