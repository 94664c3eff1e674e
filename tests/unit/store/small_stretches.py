"""Heads whose stretches are over after a few rows, so that packing happens in small tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vezha.store import head

SMALL = {"STRETCH_BYTES_MIN": 0, "STRETCH_ROWS": 4, "BLOCK_ROWS_MIN": 2, "BLOCK_BYTES_MIN": 1}


@contextmanager
def small_stretches() -> Iterator[None]:
    """Until the end of the block."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(head, name, value)
        yield
