"""`python -m vezha.agent.launcher`, and the beginning of its one file."""

from __future__ import annotations

import sys

from vezha.agent.launcher.run import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
