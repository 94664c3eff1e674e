"""The launcher of this machine's agent, as a child of `vezha up`: with a lifeline, else the same."""

from __future__ import annotations

import os
import sys

from vezha.agent.launcher.run import main
from vezha.server import lifeline

_SHOWN = ("vezha", "agent")
"""Stands in the process's command line for whoever looks for it there (`ps`, our tests)."""


if __name__ == "__main__":
    lifeline.take(os.environ)
    sys.exit(main(sys.argv[1 + len(_SHOWN) :]))
