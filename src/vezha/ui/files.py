"""The hashed files: never compressed here, never asked for twice."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from vezha.ui.built import Built
from vezha.ui.encoding import choose_encoding

FOR_EVER = "public, max-age=31536000, immutable"


def file_endpoint(built: Built) -> Callable[[Request], Awaitable[Response]]:
    """Answers `/assets/{name}`."""

    async def endpoint(request: Request) -> Response:
        file = built.files.get(request.path_params["name"])
        if file is None:
            # A page of an older version may ask for a file that is gone; it must not remember that.
            return PlainTextResponse(
                "There is no such file. Reload the page.\n",
                status_code=404,
                headers={"cache-control": "no-store"},
            )
        encoding = choose_encoding(request.headers.get("accept-encoding", ""), file.bodies)
        headers = {
            "cache-control": FOR_EVER,
            "content-type": file.media_type,
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
        }
        if encoding != "identity":
            headers["content-encoding"] = encoding
        return Response(file.bodies[encoding], headers=headers)

    return endpoint


def plain_endpoint(built: Built, name: str) -> Callable[[Request], Awaitable[Response]]:
    """Answers `/{name}`: asked for again each time, since its name says nothing of its content."""

    async def endpoint(_request: Request) -> Response:
        file = built.plain[name]
        headers = {
            "cache-control": "no-cache",
            "content-type": file.media_type,
            "x-content-type-options": "nosniff",
        }
        return Response(file.bodies["identity"], headers=headers)

    return endpoint
