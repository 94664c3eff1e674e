"""The built files, read once into memory: they are small and never change while we run."""

from __future__ import annotations

import json
import mimetypes
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vezha.ui.errors import NotBuiltError

STATIC = Path(__file__).with_name("static")

NOT_BUILT = (
    "The pages of Vezha are not built in this installation. "
    "In a source checkout run `python hatch_build.py`; else install the wheel of Vezha."
)

PLAIN = (
    "worker.js", "app.webmanifest", "icon.svg", "apple-touch-icon.png", "icon-192.png",
    "icon-512.png",
)  # fmt: skip

_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class BuiltFile:
    """One file with its content in each encoding there is (`identity`, `br`, `gzip`)."""

    media_type: str
    bodies: dict[str, bytes]


@dataclass(frozen=True)
class Chunk:
    """A module of the build with everything that it needs before it can run."""

    scripts: tuple[str, ...]
    styles: tuple[str, ...]


@dataclass(frozen=True)
class Built:
    """What the build has left: the page, the files by name below `/assets/`, the modules."""

    index: str
    files: dict[str, BuiltFile]
    chunks: dict[str, Chunk] = field(default_factory=dict)
    # language -> key -> the name of a page, and of the product ("brand"); "parts": module -> its words
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    # files beside the page whose names cannot be hashes: the service worker, the icon
    plain: dict[str, BuiltFile] = field(default_factory=dict)

    def needed_by(self, source: str) -> Chunk:
        """The files of the module `source` (a path inside `frontend/`); empty if unknown."""
        return self.chunks.get(source, Chunk((), ()))


def load(static: Path = STATIC) -> Built:
    """Reads a build. Raises `NotBuiltError` where there is none."""
    page = static / "index.html"
    if not page.is_file():
        raise NotBuiltError(NOT_BUILT)
    files: dict[str, BuiltFile] = {}
    for path in sorted((static / "assets").rglob("*")):
        if not path.is_file() or path.suffix in (".br", ".gz"):
            continue
        bodies = {"identity": path.read_bytes()}
        for encoding, suffix in (("br", ".br"), ("gzip", ".gz")):
            packed = path.with_name(path.name + suffix)
            if packed.is_file():
                bodies[encoding] = packed.read_bytes()
        files[path.relative_to(static / "assets").as_posix()] = BuiltFile(media_type(path), bodies)
    entries = _document(static / "manifest.json")
    return Built(
        index=page.read_text("utf-8"),
        files=files,
        chunks={name: resolve(entries, name) for name in entries},
        names=_document(static / "names.json"),
        plain={
            path.name: BuiltFile(media_type(path), {"identity": path.read_bytes()})
            for path in (static / name for name in PLAIN)
            if path.is_file()
        },
    )


def _document(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    assert isinstance(found, dict)
    return found


def resolve(entries: dict[str, Any], name: str) -> Chunk:
    """The module `name` of a Vite manifest and, once each, all that it imports at once."""
    scripts: list[str] = []
    styles: list[str] = []
    seen: set[str] = set()

    def visit(key: str) -> None:
        if key in seen or key not in entries:
            return
        seen.add(key)
        entry = entries[key]
        scripts.append("/" + entry["file"])
        styles.extend("/" + style for style in entry.get("css", ()))
        for imported in entry.get("imports", ()):
            visit(imported)

    visit(name)
    return Chunk(tuple(scripts), tuple(styles))


def media_type(path: Path) -> str:
    """The type that a browser must be told; unknown ones are only bytes."""
    known = _TYPES.get(path.suffix)
    return known or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
