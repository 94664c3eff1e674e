"""What forked processes are called."""

from __future__ import annotations

import pytest

from vezha.server.titles import laid_out

WORDS = ("vezha", "server", "data")


def test_words_end_with_nul_and_nul_fills_the_rest() -> None:
    assert laid_out(WORDS, 22) == b"vezha\0server\0data\0\0\0\0\0"


@pytest.mark.parametrize("size", range(30))
def test_it_is_never_longer_and_always_ended(size: int) -> None:
    line = laid_out(WORDS, size)
    assert len(line) == size
    assert line[-1:] in (b"", b"\0")  # else the kernel reads on into the environment
    assert b"vezha\0server\0data\0".startswith(line.rstrip(b"\0"))
