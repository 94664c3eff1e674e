"""Secrets: made from 32 random bytes, shown once, kept only as SHA-256.

A fast hash is enough here because the secrets are random: there is nothing to guess. The
prefix tells people, log filters and secret scanners what they found.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from vezha.access.limits import SECRET_BYTES
from vezha.world import Chance

SESSION_PREFIX = "vzs_"
API_TOKEN_PREFIX = "vzt_"  # noqa: S105 - not a secret, but its mark
ENROLMENT_PREFIX = "vze_"
AGENT_PREFIX = "vza_"

SECRET_CHARS = 4 + (SECRET_BYTES * 8 + 5) // 6
"""Length of every secret's text."""


def make_secret(prefix: str, chance: Chance) -> str:
    """A new secret: *prefix* and 32 random bytes in base64url."""
    return prefix + base64.urlsafe_b64encode(chance.token(SECRET_BYTES)).decode().rstrip("=")


def hash_secret(secret: str) -> str:
    """SHA-256 of the secret's text as 64 hex digits: what the ledger keeps."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def secret_fits(secret: str, secret_hash: str) -> bool:
    """Whether *secret* has that hash, compared in constant time."""
    return hmac.compare_digest(hash_secret(secret), secret_hash)
