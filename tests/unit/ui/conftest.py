"""A small build of pages, as Vite leaves it."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import BaseRoute

INDEX = """<!doctype html>
<html lang="en">
  <head>
    <script type="module" crossorigin src="/assets/index-1.js"></script>
    <link rel="stylesheet" crossorigin href="/assets/index-1.css">
  </head>
  <body><div id="app"></div></body>
</html>
"""
MANIFEST = {
    "index.html": {"file": "assets/index-1.js", "css": ["assets/index-1.css"], "isEntry": True},
    "src/pages/Fleet.tsx": {"file": "assets/Fleet-2.js", "imports": ["index.html", "_paint.js"]},
    "src/pages/Host.tsx": {
        "file": "assets/Host-3.js",
        "imports": ["index.html", "_paint.js"],
        "css": ["assets/Host-3.css"],
    },
    "_paint.js": {"file": "assets/paint-4.js", "imports": ["index.html"]},
    "src/i18n/en.json": {"file": "assets/en-5.js"},
    "src/i18n/uk.json": {"file": "assets/uk-6.js"},
}


@dataclass(frozen=True)
class Client:
    """Asks routes as a browser would, without a socket."""

    routes: list[BaseRoute]

    def get(self, address: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """One GET."""

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=Starlette(routes=self.routes))
            async with httpx.AsyncClient(transport=transport, base_url="http://vezha") as client:
                return await client.get(address, headers=headers)

        return asyncio.run(ask())


@pytest.fixture
def static(tmp_path: Path) -> Path:
    """A folder with a build."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(INDEX)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    names = {"uk": {"brand": "Вежа", "page.incidents": "Інциденти <"}}
    (folder / "names.json").write_text(json.dumps(names), "utf-8")
    script = folder / "assets" / "index-1.js"
    script.write_text("export const tower = 1;\n")
    (folder / "assets" / "index-1.js.gz").write_bytes(gzip.compress(script.read_bytes(), mtime=0))
    (folder / "assets" / "index-1.js.br").write_bytes(b"brotli stands here")
    (folder / "assets" / "inter-7.woff2").write_bytes(b"wOF2")
    return folder
