"""How the supervisor starts a child: with streams, a lifeline and a session of its own.

One that has a `main` is forked, if the supervisor may fork; the others are programs.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vezha.server import lifeline
from vezha.server.children import Plan
from vezha.server.forked import fork
from vezha.server.image import MEMORY


class Running(Protocol):
    """A process of ours: `subprocess.Popen`, or `Forked`."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    def poll(self) -> int | None:
        """Its exit code (negative: the signal) once it has ended."""
        ...

    def wait(self) -> int:
        """Block until it has ended."""
        ...

    def terminate(self) -> None:
        """SIGTERM."""
        ...

    def kill(self) -> None:
        """SIGKILL."""
        ...


@dataclass(slots=True)
class Process:
    """What belongs to one running child."""

    running: Running
    lifeline: socket.socket
    output: int
    said: bytes = b""
    reason: str = ""
    last_line: str = ""


def start(plan: Plan, *, forks: bool) -> Process:
    """Start it. Raises OSError: no memory, no processes left, no such program."""
    ours, theirs = socket.socketpair()
    read, write = os.pipe()
    try:
        running = (_fork if forks and plan.main is not None else _run)(plan, theirs, write)
    except OSError:
        ours.close()
        os.close(read)
        raise
    finally:
        os.close(write)
        theirs.close()
    ours.setblocking(False)
    os.set_blocking(read, False)
    return Process(running, ours, read)


def _run(plan: Plan, theirs: socket.socket, write: int) -> Running:
    number = str(theirs.fileno())
    environment = {**MEMORY, **os.environ, **plan.environment, lifeline.VARIABLE: number}
    # A session of its own keeps the terminal's Ctrl-C from reaching it before our SIGTERM.
    popen: subprocess.Popen[bytes] = subprocess.Popen(
        plan.argv,
        stdin=subprocess.DEVNULL,
        stdout=write,
        stderr=write,
        pass_fds=(theirs.fileno(),),
        env=environment,
        start_new_session=True,
    )
    return popen


def _fork(plan: Plan, theirs: socket.socket, write: int) -> Running:
    main = plan.main
    assert main is not None

    def live(handed: Sequence[int]) -> int:
        os.environ.update(plan.environment)
        lifeline.hold(lifeline.Lifeline(socket.socket(fileno=handed[0]), forks=True))
        return main()

    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        streams = nothing.fileno(), write, write
        return fork(live, streams, (theirs.fileno(),), ("vezha", "server", plan.name))
