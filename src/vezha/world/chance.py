"""Chance: seeded where it is repeated, from the system where it must not be guessed."""

from __future__ import annotations

import random
import secrets


class Chance:
    """Random numbers. With a seed everything repeats, tokens too: seeds are for tests."""

    def __init__(self, seed: int | None = None) -> None:
        self._seeded = seed is not None
        self._random = random.Random(seed)

    def uniform(self, low: float, high: float) -> float:
        """A float between *low* and *high*."""
        return self._random.uniform(low, high)

    def randrange(self, stop: int) -> int:
        """A whole number in [0, stop)."""
        return self._random.randrange(stop)

    def token(self, size_bytes: int) -> bytes:
        """*size_bytes* that nobody can guess (unless seeded)."""
        if self._seeded:
            return self._random.randbytes(size_bytes)
        return secrets.token_bytes(size_bytes)
