"""The lifeline: a socket pair between the supervisor and each of its children.

Up it the child says, one line each, `ready`, or `failed <sentence>` before it gives up for a
reason that the operator can mend. A child that was forked may also ask for a worker: `worker
<words>`, with descriptors along it. Its closing is news to both: the supervisor learns that the
child is gone, and a child whose supervisor was killed stops instead of going on as an orphan.
Standard library only: the agent's process holds one too.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import MutableMapping, Sequence

from vezha.server.limits import ORPHAN_STOP_TIMEOUT_S

VARIABLE = "VEZHA_LIFELINE_FD"
READY = "ready"
FAILED = "failed"
WORKER = "worker"
EXIT_ORPHANED = 70


class Lifeline:
    """The child's end."""

    def __init__(
        self, connection: socket.socket, *, watched: bool = True, forks: bool = False
    ) -> None:
        """Watch *connection*; when it ends, this process gets SIGTERM, and later is ended.

        Who is to fork wants no thread and watches it itself (not *watched*). *forks*: whether the
        other end starts workers.
        """
        self.connection = connection
        self.forks = forks
        self._lock = threading.Lock()
        if watched:
            threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def ready(self) -> None:
        """Tell the supervisor that this child serves."""
        self._say(READY)

    def failed(self, sentence: str) -> None:
        """Tell the supervisor why this child gives up."""
        self._say(f"{FAILED} {' '.join(sentence.split())}")

    def pass_on(self, environment: MutableMapping[str, str]) -> None:
        """Leave it in *environment* for the program that this process becomes."""
        self.connection.set_inheritable(True)
        environment[VARIABLE] = str(self.connection.fileno())

    def worker(self, words: Sequence[str], descriptors: Sequence[int]) -> None:
        """Ask for a worker called *words*, see `Nursery`. Raises OSError."""
        with self._lock:
            line = f"{WORKER} {json.dumps(list(words))}\n".encode()
            socket.send_fds(self.connection, [line], descriptors)

    def _say(self, line: str) -> None:
        try:
            with self._lock:
                self.connection.sendall(line.encode() + b"\n")
        except OSError:
            return  # The watching thread is already stopping us.

    def _watch(self) -> None:
        try:
            while self.connection.recv(64):
                pass
        except OSError:
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        # A child that hangs must not live on for ever; a real clock, because this is a last resort.
        time.sleep(ORPHAN_STOP_TIMEOUT_S)
        os._exit(EXIT_ORPHANED)


_held: Lifeline | None = None


def take(environment: MutableMapping[str, str], *, watched: bool = True) -> None:
    """Hold the lifeline that the supervisor left in *environment*, if it left one."""
    global _held
    number = environment.pop(VARIABLE, "")
    if number:
        connection = socket.socket(fileno=int(number))
        # Our own children must not keep the supervisor believing that we live.
        connection.set_inheritable(False)
        _held = Lifeline(connection, watched=watched)


def hold(lifeline: Lifeline | None) -> None:
    """Hold *lifeline* instead of what the parent of this fork held, which is closed here."""
    global _held
    if _held is not None:
        _held.connection.detach()  # its number may be another's by now
    _held = lifeline


def held() -> Lifeline | None:
    """This process's lifeline, where a supervisor started it."""
    return _held
