"""A real `vezha up` for tests: started, asked, stopped, killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vezha.server.lifeline import VARIABLE

START_TIMEOUT_S = 150.0
STOP_TIMEOUT_S = 30.0
_LAST_LINE = "Ctrl-C stops it"


@dataclass
class RunningVezha:
    """One `vezha up` on free ports. `lines` is what it printed."""

    state: Path
    assignments: Sequence[str] = ()
    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def start(self) -> RunningVezha:
        """Start it and wait until it says that it serves."""
        sets = ["web.listen=127.0.0.1:0", "channel.listen=127.0.0.1:0", *self.assignments]
        # As in a shell's background job, where SIGINT is ignored at first.
        command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
        command += [sys.executable, "-P", "-m", "vezha", "up", "--state", str(self.state)]
        command += [word for text in sets for word in ("--set", text)]
        self.lines.clear()
        # A lifeline to us: when pytest is killed, nothing goes on running.
        self._lifeline, theirs = socket.socketpair()
        environment = {**os.environ, **self.environment, VARIABLE: str(theirs.fileno())}
        self.process = subprocess.Popen(
            [*command, *self.options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs.fileno(),),
            env=environment,
            text=True,
        )
        theirs.close()
        self._served = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._served.wait(START_TIMEOUT_S) or self.process.poll() is not None:
            self.kill()
            raise AssertionError("vezha up did not come up:\n" + self.told())
        return self

    @property
    def url(self) -> str:
        """The address of the pages and the API."""
        return self._row("Open")

    @property
    def channel_port(self) -> int:
        """Where agents connect."""
        return int(re.findall(r"port (\d+)", self._row("Agents"))[0])

    @property
    def password(self) -> str:
        """The first admin's one-time password, where it was printed."""
        return str(re.findall(r"with the password (\S+)", self._row("Sign in"))[0])

    def told(self) -> str:
        """What it printed, and the ends of its logs: for the message of a failed test."""
        logs = sorted(self.state.glob("logs/*.log"))
        ends = ["\n".join(log.read_text().splitlines()[-30:]) for log in logs]
        parts = [f"--- {log.name}\n{end}" for log, end in zip(logs, ends, strict=True)]
        return "\n".join([*self.lines, *parts])

    def processes(self) -> dict[str, int]:
        """The children's process ids by name ("data", "ops", "web", "agent"). Linux only."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                words = (folder / "cmdline").read_text().split("\0")
            except (OSError, ValueError, IndexError):
                continue
            if parent == self.process.pid and "vezha" in words:
                # what is being forked has its parent's name for a moment
                if words[words.index("vezha") + 1] in ("up", "worker"):
                    continue
                verb = words[words.index("vezha") + 1 :]
                found[verb[1] if verb[0] == "server" else verb[0]] = int(folder.name)
        return found

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does, and wait; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            told = self.told()
            self.kill()
            raise AssertionError(f"vezha up did not stop in {STOP_TIMEOUT_S} s:\n{told}") from None
        finally:
            self._close()

    def kill(self) -> None:
        """kill -9, without a chance to clean up."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        self._lifeline.close()
        self._reader.join(5)
        if self.process.stdout is not None and not self._reader.is_alive():
            self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith(_LAST_LINE):
                self._served.set()
        self._served.set()

    def _row(self, title: str) -> str:
        for line in self.lines:
            if line.startswith(f"  {title}"):
                return line.strip().removeprefix(title).strip()
        raise AssertionError(f"vezha up printed no row {title!r}:\n" + "\n".join(self.lines))
