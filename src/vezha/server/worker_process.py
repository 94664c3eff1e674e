"""Workers: processes that compute for a contour, and how it starts one.

Where the supervisor forks, it is asked for one; else a worker is a program, `python -m
vezha.server.worker_process query|forecast ARGUMENTS... FD`: a door of its own, so that who starts a
worker need not load what the worker does, and a worker loads nothing for people to look at.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from vezha.server import lifeline
from vezha.server.limits import WORKER_START_TIMEOUT_S

if TYPE_CHECKING:
    from vezha.api.workers import WorkerProcess

_MODULE = "vezha.server.worker_process"
QUERY = ("query",)
"""The web contour's, for what is heavy."""
NAMES = ("query", "forecast")


def forecast(store: str, feed: str, folder: str) -> list[str]:
    """The ops contour's, with its arguments."""
    return ["forecast", store, feed, folder]


def start_worker(words: Sequence[str], theirs: socket.socket) -> WorkerProcess:
    """Start the worker that *words* name; *theirs* is its end of a socket. Raises OSError."""
    held = lifeline.held()
    if held is not None and held.forks:
        return _asked_for(held, words, theirs)
    return _run(words, theirs)


start_query = partial(start_worker, QUERY)


def _run(words: Sequence[str], theirs: socket.socket) -> WorkerProcess:
    popen: subprocess.Popen[bytes] = subprocess.Popen(
        [sys.executable, "-m", _MODULE, *words, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the contour; we end with it
    )
    return popen


def _asked_for(
    held: lifeline.Lifeline, words: Sequence[str], theirs: socket.socket
) -> WorkerProcess:
    answer, answering = socket.socketpair()
    with answer:
        with answering:
            held.worker(words, (theirs.fileno(), 2, answering.fileno()))
        answer.settimeout(WORKER_START_TIMEOUT_S)
        _, descriptors, _, _ = socket.recv_fds(answer, 1, 1)
    if not descriptors:
        raise OSError("the supervisor could not start a worker")
    return _Distant(descriptors[0])


class _Distant:
    """A process that is another's child, by its pidfd."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_inheritable(descriptor, False)

    def kill(self) -> None:
        """SIGKILL."""
        if self._descriptor >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self) -> None:
        """Block until it has ended."""
        if self._descriptor >= 0:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            poll.poll()
            os.close(self._descriptor)
            self._descriptor = -1


def main(given: Sequence[str]) -> None:
    """Be the worker that is named first."""
    # without this structlog loads rich into each of them, 4 MB
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    name, *rest = given
    importlib.import_module(f"vezha.server.{name}_worker").main(rest)


if __name__ == "__main__":
    main(sys.argv[1:])
