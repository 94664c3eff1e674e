"""Which build this is: a name made from the content of the agent's file."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass

from vezha import __version__
from vezha.agent.errors import BuildError

FROM_SOURCES = "source"
"""Stands for the build id where the agent does not run from its one file."""


@dataclass(frozen=True)
class Build:
    """One build of the agent."""

    build: str
    version: str


def own() -> Build:
    """The build that runs."""
    try:
        from vezha import _build  # type: ignore[attr-defined]
    except ImportError:
        return Build(FROM_SOURCES, __version__)
    return Build(str(_build.ID), str(_build.VERSION))


def of_file(content: bytes) -> Build:
    """The build that an agent's file says it is. Raises BuildError."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = archive.read("vezha/_build.py").decode()
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise BuildError(
            f"this is not an agent's file with a build id ({error}): make it with "
            "`vezha agent build`"
        ) from None
    found = dict(re.findall(r'^(ID|VERSION) = "([A-Za-z0-9.+_-]{1,64})"$', text, re.MULTILINE))
    if set(found) != {"ID", "VERSION"}:
        raise BuildError("this agent's file has no build id: make it with `vezha agent build`")
    return Build(found["ID"], found["VERSION"])
