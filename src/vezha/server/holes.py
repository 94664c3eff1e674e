"""Holes: free places in memory between what a fork shares, taken before the fork.

A child's first objects would come to lie in them, a few on each of thousands of pages, and of every
page that it writes to it gets a copy. Taken, they are never given back: about 2 MB, which lay idle
anyway, and children allocate side by side on pages of their own. For glibc's heap and Python's blocks
of up to 512 bytes; with other allocators nothing is done.
"""

from __future__ import annotations

import ctypes
import os
import sys

_SIZES = (65536, 32768, 16384, 8192, 4096, 2048, *range(1040, 0, -16))
"""Bytes that the heap is asked for, in turn: each as long as it has a hole for it; small ones
are kept apart by size."""
_CHUNK_HEAD_BYTES = 16
_POOL_BYTES = 16 << 10
_POOL_HEAD_BYTES = 48
_BLOCKS = range(16, 513, 16)
"""Sizes of Python's blocks; a pool, see CPython's obmalloc.c, has blocks of one size."""
_BLOCKS_BYTES_MAX = 1 << 20
"""Taken of one size at most, should pools look otherwise in some later Python."""


class _Heap(ctypes.Structure):
    """mallinfo2(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def take_holes() -> None:
    """Take all. While no other thread runs."""
    if sys.platform != "linux":
        return
    if "PYTHONMALLOC" not in os.environ and not sys.flags.dev_mode:
        _take_of_python()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallinfo2"):
        _take_of_heap(libc)


def _take_of_heap(libc: ctypes.CDLL) -> None:
    libc.mallinfo2.restype = _Heap
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    heap, end = libc.mallinfo2(), libc.sbrk(0)
    # what comes from the free end of the heap came from no hole
    first, last = end - heap.arena, end - heap.keepcost - _CHUNK_HEAD_BYTES
    for size in _SIZES:
        while (place := libc.malloc(size)) is not None:
            if not first <= place < last:
                libc.free(place)
                break


def _take_of_python() -> None:
    take, give = ctypes.pythonapi.PyObject_Malloc, ctypes.pythonapi.PyObject_Free
    take.restype, take.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    give.restype, give.argtypes = None, [ctypes.c_void_p]
    for size in _BLOCKS:
        for _ in range(_BLOCKS_BYTES_MAX // size):
            place = take(size)
            if place is None:
                return
            if place % _POOL_BYTES != _POOL_HEAD_BYTES:
                continue
            # the first of its pool: a new one, if the next one follows it
            follower = take(size)
            if follower is not None:
                give(follower)
            if follower == place + size:
                give(place)
                break
