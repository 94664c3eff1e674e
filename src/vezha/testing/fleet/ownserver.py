"""`vezha up` as a child of the demo or of a benchmark, on a state folder of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_VEZHA = (sys.executable, "-P", "-m", "vezha")
_READY = "Ctrl-C stops it"
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0


class ServerFailed(Exception):
    """It did not start; the text says what to look at."""


@dataclass
class OwnServer:
    """`vezha up` as a child; its words are passed on."""

    state: Path
    assignments: Sequence[str] = ()
    loud: bool = True
    """Whether what it says is printed."""
    served: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    port: int = 0
    password: str = ""
    """The first administrator's, where it was told."""

    def start(self) -> None:
        """Wait until it serves. Raises ServerFailed."""
        self._process = subprocess.Popen(
            [*_VEZHA, "up", "--state", str(self.state), "--no-agent", *self._options()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us; we stop it when the play is over
        )
        threading.Thread(target=self._read, daemon=True).start()
        if not self.served.wait(START_TIMEOUT_S) or self._process.poll() is not None:
            self.stop()
            raise ServerFailed("the server did not start; what it said stands above")

    def prepare(self) -> None:
        """The ledger and the certificates. Raises ServerFailed."""
        done = subprocess.run(
            [*_VEZHA, "server", "prepare", "--state", str(self.state), *self._options()],
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise ServerFailed("the state folder could not be prepared; the reason stands above")

    def _options(self) -> list[str]:
        return [word for text in self.assignments for word in ("--set", text)]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if self.loud:
                print(line, end="", flush=True)
            words = line.split()
            if words[:1] == ["Open"]:
                self.url = words[1]
            elif words[:2] == ["Sign", "in"] and "password" in words:
                self.password = words[words.index("password") + 1]
            elif words[:1] == ["Agents"]:
                self.port = int("".join(c for c in line.partition("port")[2][:7] if c.isdigit()))
            if line.startswith(_READY):
                self.served.set()
        self.served.set()

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.poll() is not None

    def stop(self) -> None:
        """As Ctrl-C does."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
