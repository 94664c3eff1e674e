"""The nursery: workers that contours ask the supervisor for, and that it forks for them.

A contour runs threads and so must not fork by itself; the supervisor runs none. A request comes
along the contour's lifeline, with three descriptors: the worker's socket, its standard error, and
where the answer goes, which is a descriptor of the worker's process (pidfd): by it the contour sees
its end and may kill it, and no other process that has got its number since.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vezha.server import lifeline
from vezha.server.forked import Forked, fork
from vezha.server.limits import WORKERS_MAX

REQUEST_DESCRIPTORS = 3
WorkerMain = Callable[[Sequence[str]], None]
"""What a worker does, given its arguments; the last one is the number of its socket."""


@dataclass(slots=True)
class Nursery:
    """Workers by what they do. *mains* are all there are. *tell* gets whose worker ended how."""

    mains: Mapping[str, WorkerMain]
    tell: Callable[[str, str, int], None]
    _all: list[tuple[str, str, Forked]] = field(default_factory=list)

    def start(self, whose: str, request: str, descriptors: Sequence[int]) -> None:
        """Do as the contour *whose* wishes; a request that makes no sense goes unanswered.

        Takes the *descriptors* over.
        """
        try:
            words = wanted(request, self.mains)
            if words and len(descriptors) == REQUEST_DESCRIPTORS and len(self._all) < WORKERS_MAX:
                connection, error, answer = descriptors
                worker = self._fork(words, connection, error)
                self._all.append((whose, words[0], worker))
                _answer(answer, worker.pid)
        except OSError:
            pass  # no room for one more: the contour sees that there is no answer
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, words: Sequence[str], connection: int, error: int) -> Forked:
        name, *arguments = words
        main = self.mains[name]

        def live(handed: Sequence[int]) -> int:
            lifeline.hold(None)  # the supervisor's, if it has one
            main([*arguments, str(handed[0])])
            return 0

        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
            streams = nothing.fileno(), error, error
            return fork(live, streams, (connection,), ("vezha", "worker", name))

    def look(self) -> None:
        """See who has ended."""
        for one in list(self._all):
            whose, name, worker = one
            code = worker.poll()
            if code is not None:
                self._all.remove(one)
                self.tell(whose, name, code)

    def close(self) -> None:
        """End all."""
        for _, _, worker in self._all:
            worker.kill()
            worker.wait()
        self._all.clear()


def wanted(request: str, known: Mapping[str, object]) -> list[str]:
    """The words of *request*: a worker that is *known* and its arguments; [] for anything else."""
    try:
        words = json.loads(request)
    except ValueError:
        return []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return []
    return words if words and words[0] in known else []


def _answer(to: int, pid: int) -> None:
    process = os.pidfd_open(pid)
    try:
        with socket.socket(fileno=os.dup(to)) as answer, contextlib.suppress(OSError):
            answer.setblocking(False)
            socket.send_fds(answer, [b"."], [process])
    finally:
        os.close(process)
