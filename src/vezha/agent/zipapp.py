"""The agent as one file: a zip of its modules that Python runs.

Reproducible: the same sources give the same bytes on any machine, because times, modes, order and
compression are fixed and nothing is compiled. What is inside is named here and nowhere else.
"""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import vezha
from vezha.agent.errors import BuildError

PARTS = ("agent", "model", "trust", "wire", "world")
"""Packages of `vezha` that go in; one that is not there (yet) is left out."""
LEFT_OUT = ("model/columns.py", "agent/zipapp.py", "agent/collect/reference.py")
"""`columns` needs numpy; the agent does not build or document itself."""
SHEBANG = b"#!/usr/bin/env python3\n"
_TIME = (2020, 1, 1, 0, 0, 0)
_MODE = stat.S_IFREG | 0o644
_MAIN = """import sys

if sys.version_info < (3, 10):
    sys.exit("vezha-agent needs Python 3.10 or later; this is " + sys.version.split()[0])

from vezha.agent.command import main

sys.exit(main())
"""


def members(package: Path) -> list[tuple[str, bytes]]:
    """Names in the archive and contents, sorted. *package* is the folder of `vezha`.

    Raises `BuildError` where a source is not there.
    """
    found = {"__main__.py": _MAIN.encode(), "vezha/__init__.py": _source(package / "__init__.py")}
    for part in PARTS:
        for path in sorted((package / part).rglob("*.py")):
            name = path.relative_to(package).as_posix()
            if name not in LEFT_OUT:
                found[f"vezha/{name}"] = _source(path)
    return sorted(found.items())


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BuildError(f"{path} cannot be read: install Vezha from its sources anew") from error


def build_bytes(package: Path | None = None) -> bytes:
    """The whole file."""
    import io

    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    package = package or Path(vezha.__file__).parent
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in members(package):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, also when built elsewhere
            entry.external_attr = _MODE << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def build(path: Path, package: Path | None = None) -> int:
    """Write the file to *path*, executable, whole or not at all; its size in bytes.

    Raises `BuildError`.
    """
    content = build_bytes(package)
    temporary = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.chmod(0o755)
        os.replace(temporary, path)
    except OSError as error:
        raise BuildError(
            f"{path} cannot be written ({error.strerror}): choose another -o"
        ) from error
    return len(content)
