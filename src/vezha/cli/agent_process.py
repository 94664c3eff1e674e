"""The agent of this machine as a process of its own, without the command line's memory.

`vezha agent run` becomes this one: Typer and what it imports would stay resident for ever, half
as much again as the agent itself.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from vezha.agent.command import main
from vezha.server import lifeline

_SHOWN = ("vezha", "agent")
"""Stands in the process's command line for whoever looks for it there (`ps`, our tests)."""


def become(arguments: list[str]) -> NoReturn:
    """Replace this process, which keeps its id and its lifeline to the supervisor."""
    held = lifeline.held()
    if held is not None:
        held.pass_on(os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    safe_path = ["-P"] if sys.flags.safe_path else []
    command = [sys.executable, *safe_path, "-m", __name__, *_SHOWN, *arguments]
    os.execv(sys.executable, command)  # noqa: S606


if __name__ == "__main__":
    lifeline.take(os.environ)
    sys.exit(main(sys.argv[1 + len(_SHOWN) :]))
