"""The state folder: everything that a server must not lose, in one place.

Who copies this folder while the server stands has a backup; who deletes it starts anew.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vezha.server.errors import StateError

DEFAULT = "state"


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths in the state folder; *path* is absolute."""

    path: Path

    @staticmethod
    def at(path: str | Path) -> StateFolder:
        """The folder at *path*, which need not be there yet."""
        return StateFolder(Path(path).absolute())

    @staticmethod
    def chosen(flag: str | None, environment: Mapping[str, str]) -> StateFolder:
        """The folder that the command line, else `VEZHA_STATE`, else the default names."""
        return StateFolder.at(flag or environment.get("VEZHA_STATE") or DEFAULT)

    @property
    def settings_file(self) -> Path:
        """What the operator wrote."""
        return self.path / "settings.toml"

    @property
    def ledger_file(self) -> Path:
        """The SQLite ledger, where no other database is set."""
        return self.path / "ledger.db"

    @property
    def address_file(self) -> Path:
        """Where the pages of the running server are, one line: the command line or the system may have chosen
        another address than the settings. Written by `vezha up`."""
        return self.path / "address"

    @property
    def store(self) -> Path:
        """Samples."""
        return self.path / "store"

    @property
    def tls(self) -> Path:
        """The channel's authority and certificate."""
        return self.path / "tls"

    @property
    def agent(self) -> Path:
        """The agent of this machine: its identity and its spool."""
        return self.path / "agent"

    @property
    def rules(self) -> Path:
        """The operator's own rule files."""
        return self.path / "rules"

    @property
    def delivered(self) -> Path:
        """Rule files that came as changes; `current` in it is a link to those in force."""
        return self.path / "delivered"

    @property
    def checklists(self) -> Path:
        """The operator's own checklists."""
        return self.path / "checklists"

    @property
    def scenarios(self) -> Path:
        """The operator's own scenarios."""
        return self.path / "scenarios"

    @property
    def dependencies(self) -> Path:
        """What depends on what, as the operator wrote it."""
        return self.path / "dependencies.toml"

    @property
    def run(self) -> Path:
        """Sockets and the lock; worthless after a stop."""
        return self.path / "run"

    @property
    def agent_file(self) -> Path:
        """The agent that new hosts fetch from the channel."""
        return self.run / "vezha-agent.pyz"

    @property
    def releases(self) -> Path:
        """What was signed and published: metadata, files, and the server's online key."""
        return self.path / "releases"

    @property
    def development_keys(self) -> Path:
        """The keys for trying out, made where nobody has made others."""
        return self.path / "development-keys"

    @property
    def logs(self) -> Path:
        """One log for each process."""
        return self.path / "logs"

    def make(self) -> None:
        """Make the folder and its parts, for this user only. Raises `StateError`."""
        for folder in (
            self.path,
            self.store,
            self.tls,
            self.rules,
            self.delivered,
            self.checklists,
            self.run,
            self.logs,
        ):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise StateError(
                    f"cannot make the state folder {folder} ({error.strerror}): choose another "
                    "with --state or VEZHA_STATE"
                ) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise StateError(
                f"cannot write to the state folder {self.path}: give this user the right to, or "
                "choose another with --state or VEZHA_STATE"
            )


class StateLock:
    """Held by the one supervisor of a state folder for as long as it lives.

    The kernel lets go of it with the process, so a lock never outlives a crash.
    """

    def __init__(self, state: StateFolder) -> None:
        """Take the lock. Raises `StateError` where another process has it."""
        path = state.run / "up.lock"
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(self._fd, 32).decode(errors="replace").strip()
            os.close(self._fd)
            raise StateError(
                f"Vezha already runs on the state folder {state.path}"
                + (f" (process {holder})" if holder else "")
                + ": stop that one first, or choose another folder with --state"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
