"""Clock, files and processes, as the launcher uses them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from vezha.agent.launcher.child import Child
from vezha.agent.launcher.limits import FACTORY, Json

try:  # hashlib without OpenSSL's 4 MB
    from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from hashlib import sha256

if TYPE_CHECKING:
    from vezha.agent.ground import Running


def own_command() -> list[str]:
    """This same launcher, started anew: its one file, else (in development) its sources."""
    file = os.path.abspath(sys.argv[0])
    if file.endswith(".pyz"):
        return [sys.executable, "-I", "-S", file]
    return [sys.executable, "-P", "-m", "vezha.agent.launcher"]


class Machine:
    """Clock, files and processes, as the launcher uses them. Tests have a twin of it."""

    def __init__(self, state: str, factory: str, config: str = "") -> None:
        self.state = state
        self.folder = os.path.join(state, "launcher")
        self.factory = factory
        self._config = config
        os.makedirs(os.path.join(self.folder, "slots"), mode=0o700, exist_ok=True)

    def now_ms(self) -> int:
        """The time of day."""
        return int(time.time() * 1000)

    def monotonic(self) -> float:
        """Seconds that never go back; the same clock in all processes of this machine."""
        return time.monotonic()

    def say(self, text: str) -> None:
        """One line for the journal."""
        print("vezha-launcher: " + text, file=sys.stderr, flush=True)

    def path_of(self, slot: str) -> str:
        """The agent's file of a slot."""
        if slot == FACTORY:
            return self.factory
        return os.path.join(self.folder, "slots", slot + ".pyz")

    def sha256_of(self, slot: str) -> str:
        """Of that file; empty where it cannot be read."""
        try:
            with open(self.path_of(slot), "rb") as file:
                return str(sha256(file.read()).hexdigest())
        except OSError:
            return ""

    def free_bytes(self) -> int:
        """Room on the disk of the state folder."""
        stat = os.statvfs(self.folder)
        return stat.f_bavail * stat.f_frsize

    def read(self, name: str) -> Json | None:
        """A JSON object of the launcher's folder, None where there is none."""
        try:
            with open(os.path.join(self.folder, name), "rb") as file:
                found = json.loads(file.read(1 << 20))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def write(self, name: str, value: Json) -> None:
        """Keep one, whole and synced. Raises OSError."""
        path = os.path.join(self.folder, name)
        fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, json.dumps(value, indent=1).encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(path + ".new", path)
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self, name: str) -> None:
        """Forget one."""
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self.folder, name))

    def start(self, pair: Json, is_trial: bool) -> Running:
        """Start the agent of *pair*. Raises OSError."""
        argv = [
            sys.executable,
            "-I",
            "-S",
            self.path_of(pair["slot"]),
            "run",
            "--state",
            self.state,
        ]
        if self._config:
            argv += ["--config", self._config]
        return Child(argv, os.environ, {**pair, "trial": is_trial})

    def probe(self, probe: Json) -> Any:
        """Ask in a process of its own whether the server answers; the process."""
        argv = [*own_command(), "--probe", json.dumps(probe)]
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def wait(self, channels: list[Any], timeout_s: float) -> None:
        """Until one of *channels* is readable."""
        select.select(channels, [], [], timeout_s)
