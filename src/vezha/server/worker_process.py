"""A worker's process: `python -m vezha.server.worker_process query|forecast ARGUMENTS... FD`.

A door of its own, so that who starts a worker need not load what the worker does, and a worker
loads nothing for people to look at.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

_MODULE = "vezha.server.worker_process"
QUERY_ARGV = (sys.executable, "-m", _MODULE, "query")
"""How the web contour starts one for queries; the number of the socket is appended."""


def forecast_argv(store: str, feed: str, folder: str) -> list[str]:
    """How the ops contour starts the forecast; the number of the socket is appended."""
    return [sys.executable, "-m", _MODULE, "forecast", store, feed, folder]


def main(given: Sequence[str]) -> None:
    """Be the worker that is named first."""
    # without this structlog loads rich into each of them, 4 MB
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]
    name, *rest = given
    importlib.import_module(f"vezha.server.{name}_worker").main(rest)


if __name__ == "__main__":
    main(sys.argv[1:])
