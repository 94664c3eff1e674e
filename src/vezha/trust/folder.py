"""The folder of what was published: `metadata/`, `targets/`, and the server's online key.

Files are written so that the newest timestamp comes last: whoever looks in between, or after a
crash, sees the earlier publication whole. Two writers (a person who publishes, the server that
signs anew) take turns by a lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping

from vezha.trust.artifact import Artifact
from vezha.trust.errors import TrustError
from vezha.trust.keys import SigningKey, load
from vezha.trust.repository import Files, newest_root_bytes
from vezha.world import World

ONLINE_KEY = "online.key"
_ORDER = (".root.json", ".targets.json", ".snapshot.json", "timestamp.json")


class ReleaseFolder:
    """One such folder; it need not be there yet."""

    def __init__(self, world: World, path: str) -> None:
        self._disk = world.disk
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether anything was published here."""
        return self._disk.exists(f"{self.path}/metadata/timestamp.json")

    def files(self) -> Files:
        """All metadata. Raises OSError."""
        folder = f"{self.path}/metadata"
        return {
            name: self._disk.read(f"{folder}/{name}")
            for name in self._disk.list_names(folder)
            if name.endswith(".json")
        }

    def root(self) -> bytes:
        """What new agents pin; empty where there is nothing. Raises OSError."""
        folder = f"{self.path}/metadata"
        names = [n for n in self._disk.list_names(folder) if n.endswith(".root.json")]
        return newest_root_bytes({n: self._disk.read(f"{folder}/{n}") for n in names})

    def online_key(self) -> SigningKey:
        """The key for snapshot and timestamp. Raises TrustError."""
        path = f"{self.path}/{ONLINE_KEY}"
        try:
            return load(self._disk.read(path), where=path)
        except OSError as error:
            raise TrustError(
                f"{path} cannot be read ({error.strerror}): only the server that serves these "
                "releases has it; publish there"
            ) from None

    def write_online_key(self, key: SigningKey) -> None:
        """Keep the online key, for this user only. Raises OSError."""
        self._disk.make_folder(self.path)
        self._disk.write_whole(f"{self.path}/{ONLINE_KEY}", key.pem(""), 0o600)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Keep metadata, the timestamp last. Raises OSError."""
        folder = f"{self.path}/metadata"
        self._disk.make_folder(folder)
        for ending in _ORDER:
            for name in sorted(files):
                if name.endswith(ending):
                    self._disk.write_whole(f"{folder}/{name}", files[name], 0o644)

    def read_artifact(self, artifact: Artifact) -> bytes:
        """A published file, checked. Raises OSError, Refused."""
        content = self._disk.read(f"{self.path}/targets/{artifact.path}", size=artifact.length + 1)
        artifact.check(content)
        return content

    def write_artifact(self, artifact: Artifact, content: bytes) -> None:
        """Keep a file, checked. Raises OSError, Refused."""
        artifact.check(content)
        path = f"{self.path}/targets/{artifact.path}"
        self._disk.make_folder(path.rpartition("/")[0])
        self._disk.write_whole(path, content, 0o644)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """One writer at a time. Raises OSError."""
        self._disk.make_folder(self.path)
        lock = os.open(f"{self.path}/.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
