"""Where the host that is measured lies, and what its collectors share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from vezha.agent.catalogue import Option
from vezha.agent.collect.kernelfile import SharedFile
from vezha.world import World

NO_OPTIONS: Mapping[str, Option] = MappingProxyType({})


class Host:
    """Folders and options as one collector sees them."""

    def __init__(
        self,
        world: World,
        proc: str = "/proc",
        sys: str = "/sys",
        root: str = "/",
        options: Mapping[str, Option] = NO_OPTIONS,
        shared: dict[str, SharedFile] | None = None,
        state: str = ".",
        check_job: Mapping[str, Any] = NO_OPTIONS,
    ) -> None:
        self.world = world
        self.proc_folder = proc
        self.sys_folder = sys
        self.root_folder = root
        self.state_folder = state
        self.check_job = check_job
        """What the process that runs checks is told."""
        self._options = options
        self._shared = {} if shared is None else shared

    def with_options(self, options: Mapping[str, Option]) -> Host:
        """The same host with one collector's options; shared files stay shared."""
        return Host(
            self.world,
            self.proc_folder,
            self.sys_folder,
            self.root_folder,
            options,
            self._shared,
            self.state_folder,
            self.check_job,
        )

    @property
    def has_checks(self) -> bool:
        """Whether this host is to run checks from outside."""
        return any(
            self.check_job["host"] in one.get("hosts", ["*"]) or "*" in one.get("hosts", ["*"])
            for one in self.check_job.get("checks", {}).values()
        )

    def proc(self, path: str) -> str:
        """Path of *path* below /proc."""
        return f"{self.proc_folder}/{path}"

    def sys(self, path: str) -> str:
        """Path of *path* below /sys."""
        return f"{self.sys_folder}/{path}"

    def root(self, path: str) -> str:
        """Path of the host's absolute *path*."""
        if self.root_folder in ("", "/"):
            return path
        return os.path.join(self.root_folder, path.lstrip("/"))

    def shared(self, path: str) -> SharedFile:
        """The one `SharedFile` of *path*, for collectors of the same group."""
        return self._shared.setdefault(path, SharedFile(path))

    def close_shared(self) -> None:
        """Close the files that collectors share."""
        for file in self._shared.values():
            file.close()

    def text(self, option: str) -> str:
        """A collector's option that is text."""
        return str(self._options[option])

    def number(self, option: str) -> float:
        """A collector's option that is a number."""
        value = self._options[option]
        assert isinstance(value, (int, float))
        return value
