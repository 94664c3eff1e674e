"""Memory that was freed goes back to the system.

The C library keeps what was freed between what is still in use; only the top of its heap goes back
by itself. After a burst (100,000 new series, a long request, a turn of the head) that is 10 to 20 MB
of a contour that nobody else can use until the next one; after a heavy query it is most of a worker.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

from vezha.server.contour import StopSignal
from vezha.server.limits import TRIM_EVERY_S


def trim_function() -> Callable[[], None] | None:
    """What gives free memory back; None where the C library has nothing for it."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int

    def give_back() -> None:
        trim(0)

    return give_back


def keep_trimmed(stop: StopSignal, every_s: float = TRIM_EVERY_S) -> None:
    """Trim now and then until *stop*, on a thread of its own."""
    trim = trim_function()
    if trim is None:
        return

    def work() -> None:
        while not stop.wait(every_s):
            trim()

    threading.Thread(target=work, name="trimming", daemon=True).start()
