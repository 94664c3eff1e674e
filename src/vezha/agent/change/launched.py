"""What the launcher told this process, and the lock of the agent's folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vezha.agent.errors import AgentError
from vezha.agent.limits import LOCK_LOOK_S, LOCK_WAIT_S
from vezha.world import World

VARIABLE = "VEZHA_AGENT_LAUNCHED"
LOCK = "agent.lock"
PROTOCOL = 1


@dataclass
class Launched:
    """The launcher's word: which pair this process is."""

    slot: str
    sha256: str
    config: str
    trial: bool
    channel: socket.socket

    def ready(self) -> None:
        """Ready to take over."""
        self._say(b"R")

    def nudge(self) -> None:
        """There is a request."""
        self._say(b"N")

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            self.channel.send(word)

    @property
    def is_alone(self) -> bool:
        """Whether the launcher is gone."""
        try:
            return self.channel.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def watch(self, gone: Callable[[], None]) -> None:
        """Call *gone* when the launcher ends: nobody would start this process again."""

        def wait() -> None:
            with contextlib.suppress(OSError):
                while self.channel.recv(64):
                    pass
            gone()

        threading.Thread(target=wait, name="launcher", daemon=True).start()


def launched(environment: Mapping[str, str]) -> Launched | None:
    """What the launcher told; None where this process was started without one."""
    try:
        told = json.loads(environment.get(VARIABLE, ""))
        if told["protocol"] != PROTOCOL:
            return None
        channel = socket.socket(fileno=int(told["fd"]))
        channel.set_inheritable(False)
        return Launched(
            str(told["slot"]),
            str(told["sha256"]),
            str(told["config"]),
            bool(told["trial"]),
            channel,
        )
    except (ValueError, KeyError, TypeError, OSError):
        return None


def take_lock(world: World, state: str, by: Launched | None) -> int:
    """Wait until this is the one agent at work in its folder; a descriptor to keep. The kernel
    lets go of it with the process. Raises AgentError."""
    world.disk.make_folder(state)
    path = f"{state}/{LOCK}"
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise AgentError(f"{path} cannot be made: {error.strerror}") from None
    until = world.clock.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass
        else:
            return lock
        if by is not None and by.is_alone:
            raise AgentError("the launcher is gone")
        if world.clock.monotonic() > until:
            raise AgentError(
                f"another agent works in {state}: stop that one first, or name another folder "
                "with --state"
            )
        world.clock.sleep(LOCK_LOOK_S)
