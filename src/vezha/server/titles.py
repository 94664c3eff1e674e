"""What a forked process is called where people look: `ps`, `top`, `/proc/PID/cmdline`. Linux.

A fork has its parent's command line; this writes another one over it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

_COMM_BYTES_MAX = 15
_ARGUMENTS_START, _ARGUMENTS_END = 48 - 3, 49 - 3
"""Places in `/proc/PID/stat` behind the name, see proc(5)."""


def name_process(words: Sequence[str]) -> None:
    """Call this process *words*. Where the kernel does not let us it keeps its parent's name."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        short = f"{words[0]} {words[-1]}"  # there is room for no more
        Path("/proc/self/comm").write_bytes(short.encode()[:_COMM_BYTES_MAX])
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[_ARGUMENTS_START]), int(fields[_ARGUMENTS_END])
        if start:
            with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
                memory.seek(start)
                memory.write(laid_out(words, end - start))


def laid_out(words: Sequence[str], size: int) -> bytes:
    """The command line as *size* bytes: words that end with NUL, cut, the rest NUL."""
    line = b"".join(word.encode() + b"\0" for word in words)
    return line[: max(size - 1, 0)].ljust(size, b"\0")
