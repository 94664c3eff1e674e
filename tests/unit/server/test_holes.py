"""Holes in memory are taken, so that what comes after lies elsewhere."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc"
)
# In a process of its own, where nothing else takes or makes holes.
SCENE = """
import ctypes, sys
from vezha.server.holes import take_holes

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]


def blocks(count):
    return [bytes(60) for _ in range(count)]


def chunks(count):
    return [libc.malloc(600) for _ in range(count)]


small, large = blocks(8_000), chunks(4_000)
places = {id(one) for one in small} | set(large)
for one in large[::2]:
    libc.free(one)
del small[::2]
if sys.argv[1] == "take":
    take_holes()
fresh = blocks(2_000)
again = chunks(500)
print(sum(id(one) in places for one in fresh), sum(one in places for one in again))
"""


def in_holes(how: str) -> tuple[int, int]:
    """How many of 2,000 small objects and 500 larger ones come to lie where others have been."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", SCENE, how],
        stdout=subprocess.PIPE,
        env={"PATH": "", "MALLOC_ARENA_MAX": "1"},
        text=True,
        timeout=60,
        check=True,
    )
    small, large = map(int, done.stdout.split())
    return small, large


def test_what_comes_after_lies_elsewhere() -> None:
    assert in_holes("take") == (0, 0)


def test_otherwise_it_would_not() -> None:
    small, large = in_holes("leave")
    assert small > 1_500
    assert large > 400
