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


def become(arguments: list[str]) -> NoReturn:
    """Replace this process, which keeps its id and its lifeline to the supervisor."""
    held = lifeline.held()
    if held is not None:
        connection = held._connection
        connection.set_inheritable(True)
        os.environ[lifeline.VARIABLE] = str(connection.fileno())
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", __name__, *arguments])  # noqa: S606


if __name__ == "__main__":
    lifeline.take(os.environ)
    sys.exit(main())
