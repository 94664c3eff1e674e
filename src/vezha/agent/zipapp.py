"""The agent as one file: a zip of its modules that Python runs.

Reproducible: the same sources give the same bytes on any machine, because times, modes, order and
compression are fixed and nothing is compiled. What is inside is named here and nowhere else.

With it go python-tuf, securesystemslib and h11 (which checks by HTTP need), as they are installed here (pure Python; ed25519 is
checked without `cryptography`), and their licences. Each of their files is compared with the hash
that its package was installed with. Only the child processes that verify a change or run checks import them.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import vezha
from vezha.agent.archive import pack
from vezha.agent.errors import BuildError

PARTS = ("agent", "checks", "model", "trust", "wire", "world")
"""Packages of `vezha` that go in; one that is not there (yet) is left out."""
LEFT_OUT = (
    "model/columns.py",
    "agent/zipapp.py",
    "agent/collect/reference.py",
    "checks/config.py",
    "trust/keys.py",
    "trust/repository.py",
    "trust/folder.py",
)
"""`columns` needs numpy, `checks.yml` is the server's and YAML; the agent does not build, document or
sign itself."""
CARRIED = {
    "tuf": ("tuf/__init__.py", "tuf/api/"),
    "securesystemslib": ("securesystemslib/",),
    "h11": ("h11/",),
}
"""Packages that are not ours, and which of their modules go in."""
_MAIN = """import sys

if sys.version_info < (3, 10):
    sys.exit("vezha-agent needs Python 3.10 or later; this is " + sys.version.split()[0])

from vezha.agent.command import main

sys.exit(main())
"""
_BUILD = """ID = "{id}"
VERSION = "{version}"
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
    for name in CARRIED:
        found.update(_carried(name))
    version = vezha.__version__
    found["vezha/_build.py"] = _BUILD.format(id=build_id(found.items()), version=version).encode()
    return sorted(found.items())


def build_id(contents: Iterable[tuple[str, bytes]]) -> str:
    """Names a build by its content: the SHA-256 of all names and hashes, cut to 16 digits."""
    digest = hashlib.sha256()
    for name, content in sorted(contents):
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


def _carried(package: str) -> dict[str, bytes]:
    """The modules and licences of an installed package. Raises `BuildError`."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        files = []
    found = {}
    for path in files:
        name = path.as_posix()
        is_licence = ".dist-info/licenses/" in name
        is_module = name.endswith(".py") and name.startswith(CARRIED[package])
        if "/test_" in name or not (is_licence or is_module):
            continue
        content = _source(Path(str(path.locate())))
        if path.hash is None or _record_hash(content) != path.hash.value:
            raise BuildError(f"{path.locate()} was changed after it was installed: install anew")
        found[f"licenses/{package}/{path.name}" if is_licence else name] = content
    # a folder without __init__.py is no package inside a zip
    for name in list(found):
        folder = name.rpartition("/")[0]
        if name.endswith(".py") and f"{folder}/__init__.py" not in found:
            found[f"{folder}/__init__.py"] = b""
    if not found:
        raise BuildError(f"the package {package} is not installed: run script/install")
    return found


def _record_hash(content: bytes) -> str:
    """SHA-256 as a wheel's RECORD writes it."""
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _source(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BuildError(f"{path} cannot be read: install Vezha from its sources anew") from error


def build_bytes(package: Path | None = None) -> bytes:
    """The whole file."""
    return pack(members(package or Path(vezha.__file__).parent))


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
