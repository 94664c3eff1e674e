"""The image: what `vezha up` loads before it forks, so that its children have it in common.

Whatever all of them need is read, checked and compiled once, and lies in memory once. A module
belongs here as soon as one long-lived child loads it: who does not use it does not pay for it.
Nothing here opens a file, a socket or a database of ours, and no thread may run.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Iterable, MutableMapping
from pathlib import Path

from vezha.server.holes import take_holes

_ARENAS = "MALLOC_ARENA_MAX"
MEMORY = {_ARENAS: "1"}
"""How children allocate, unless the operator says otherwise. With an arena for each thread what one
freed is of no use to the others, a quarter of the web contour's memory after heavy queries; and
threads that hold the interpreter's lock do not contend for the allocator's."""
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""Else numpy starts threads as it is loaded, which a fork would lose."""
_MADV_NOHUGEPAGE = 15
_M_ARENA_MAX = -8
"""Of mallopt(3)."""
MODULES = (
    "vezha.server.preparation",
    "vezha.server.data",
    "vezha.server.ops",
    "vezha.server.web",
    "vezha.server.query_worker",
    "vezha.server.forecast_worker",
)
_LATER = (
    "_strptime",
    "anyio._backends._asyncio",
    "encodings.idna",
    "httpcore",
    "httptools",
    "numpy.ma",
    "stringprep",
    "tuf.api.serialization.json",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "websockets.extensions.permessage_deflate",
)
"""What these would load only when they use it: as a rule in each process for itself."""

_FOR_PEOPLE = ("rich", "httpx._main")
"""Which nothing here prints for: structlog would load the one (4 MB), httpx the other (its command, with
pygments, 1 MB), and both do without."""


def load(environment: MutableMapping[str, str], modules: Iterable[str] = ()) -> None:
    """Load *modules* and what contours are made of, and leave all of it alone from then on."""
    for name, value in _ONE_THREAD.items():
        environment.setdefault(name, value)
    for module in _FOR_PEOPLE:
        sys.modules.setdefault(module, None)  # type: ignore[arg-type]
    gc.disable()  # looking through what stays anyway makes holes that children would fill
    for module in (*modules, *MODULES, *_LATER):
        importlib.import_module(module)
    _allocate_as_children_should(environment)
    gc.collect()
    gc.freeze()
    take_holes()
    _keep_pages_small()
    gc.enable()


def _keep_pages_small() -> None:
    """Where the system makes huge pages by itself it would make a child's own ones of shared ones."""
    import ctypes

    libc = ctypes.CDLL(None)
    with contextlib.suppress(OSError, AttributeError):
        for line in Path("/proc/self/maps").read_text().splitlines():
            place, rights, _, _, inode, *name = line.split()
            if rights == "rw-p" and inode == "0" and name in ([], ["[heap]"]):
                first, end = (int(number, 16) for number in place.split("-"))
                libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), _MADV_NOHUGEPAGE)


def _allocate_as_children_should(environment: MutableMapping[str, str]) -> None:
    """`MALLOC_ARENA_MAX` is read when a program begins, which this one has."""
    import ctypes

    libc = ctypes.CDLL(None)
    with contextlib.suppress(AttributeError):  # not glibc
        if _ARENAS not in environment:
            libc.mallopt(_M_ARENA_MAX, int(MEMORY[_ARENAS]))
        libc.malloc_trim(0)
    for name, value in MEMORY.items():
        environment.setdefault(name, value)
