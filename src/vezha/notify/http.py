"""One HTTP client per sender, over one set of trusted certificates for all."""

from __future__ import annotations

import ssl
from functools import lru_cache

import httpx

from vezha.notify.limits import SEND_TIMEOUT_S


@lru_cache(maxsize=1)
def _trust() -> ssl.SSLContext:
    # reading the authorities takes longer than sending a message: once per process
    return httpx.create_ssl_context()


def make_client() -> httpx.AsyncClient:
    """A client that follows no redirects: a message must not go where nobody sent it."""
    return httpx.AsyncClient(timeout=SEND_TIMEOUT_S, follow_redirects=False, verify=_trust())
