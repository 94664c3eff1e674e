"""One HTTP client per sender, over one set of trusted certificates for all."""

from __future__ import annotations

import contextlib
import importlib
import ssl
from functools import lru_cache

import httpx

from vezha.notify.limits import SEND_TIMEOUT_S


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    # reading the authorities takes longer than sending a message: once per process; and so does
    # importing what the first request would import, which would delay the first alert of all
    with contextlib.suppress(ImportError):
        importlib.import_module("anyio._backends._asyncio")
    return httpx.create_ssl_context()


def make_client() -> httpx.AsyncClient:
    """A client that follows no redirects: a message must not go where nobody sent it."""
    return httpx.AsyncClient(timeout=SEND_TIMEOUT_S, follow_redirects=False, verify=_trust())
