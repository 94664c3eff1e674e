"""One running agent, as the launcher holds it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Mapping

from vezha.agent.launcher.limits import PROTOCOL, READY, STOP_S, VARIABLE, Json


class Child:
    """One running agent."""

    def __init__(self, argv: list[str], environment: Mapping[str, str], told: Json) -> None:
        ours, theirs = socket.socketpair()
        told = {**told, "protocol": PROTOCOL, "fd": theirs.fileno()}
        environment = {**environment, VARIABLE: json.dumps(told)}
        self._process = subprocess.Popen(
            argv,
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the launcher, which ends it in good order
        )
        theirs.close()
        ours.setblocking(False)
        self._channel = ours
        self.is_ready = False
        self.pid = self._process.pid

    def fileno(self) -> int:
        """Readable when it says something or ends."""
        return self._channel.fileno()

    def hear(self) -> None:
        """Take what it said."""
        with contextlib.suppress(OSError):
            self.is_ready = READY in self._channel.recv(4096) or self.is_ready

    def exit_code(self) -> int | None:
        """Its exit code, None while it lives."""
        return self._process.poll()

    def end(self, wait_s: float = STOP_S) -> None:
        """Have it stop in good order, kill it where it does not."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(wait_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._channel.close()

    def cpu_s(self) -> tuple[float, float] | None:
        """Seconds for which it ran, and for which it ran or waited for a core; None where that
        cannot be known."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            ran_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return None
        waited_ns = 0
        try:
            for task in os.listdir(f"/proc/{self.pid}/task"):
                with open(f"/proc/{self.pid}/task/{task}/schedstat", "rb") as file:
                    waited_ns += int(file.read().split()[1])
        except (OSError, ValueError, IndexError):
            return ran_s, ran_s
        return ran_s, ran_s + waited_ns / 1e9

    def memory_bytes(self) -> int | None:
        """Resident memory, None where that cannot be known."""
        try:
            with open(f"/proc/{self.pid}/statm", "rb") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            return None
