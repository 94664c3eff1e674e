"""The launcher's one file, taken out of the agent's own: its package, and nothing else of Vezha."""

from __future__ import annotations

from collections.abc import Iterable

from vezha.agent.archive import pack

FOLDER = "vezha/agent/launcher/"
_ABOVE = ("vezha/__init__.py", "vezha/agent/__init__.py")
_MAIN = b"""import sys

from vezha.agent.launcher.run import main

sys.exit(main(sys.argv[1:]))
"""


def launcher_bytes(members: Iterable[tuple[str, bytes]]) -> bytes | None:
    """The file, out of the *members* (name, content) of the agent's; None where there is no launcher
    among them. Not compressed, so that the launcher needs no zlib in its memory for ever."""
    found = {n: c for n, c in members if n in _ABOVE or n.startswith(FOLDER)}
    if f"{FOLDER}run.py" not in found:
        return None
    return pack([("__main__.py", _MAIN), *sorted(found.items())], compressed=False)
