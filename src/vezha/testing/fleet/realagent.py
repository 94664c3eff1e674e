"""A real agent in a process of its own, which can be killed and whose frames can be counted.

Its collectors all run at the tick, so it makes exactly one frame a second, and the value of
`vezha_agent_frames_total` in each is how many went before it in the same life: stored values must
be 0, 1, 2 … for each life, without a gap and without a double.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from vezha.agent.catalogue import COLLECTORS
from vezha.agent.enrol import enrol
from vezha.agent.spool import EPOCH_SHIFT, _scan, _Segment
from vezha.world import World

COUNTER = "vezha_agent_frames_total"


class RealAgent:
    """One agent with its state folder. `lives` are the frames that each ended life made."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.lives: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: tuple[str, ...] = ()
        """What it is run with, such as `ip netns exec NAME`."""
        folder.mkdir(parents=True, exist_ok=True)
        slower = [e.name for e in COLLECTORS if e.interval_s != 1]
        settings = "".join(f"[collectors.{n}]\nenabled = false\n" for n in slower)
        (folder / "agent.toml").write_text(settings)

    def enrol(self, address: str, token: str, fingerprint: str) -> None:
        """Get an identity. Raises AgentError."""
        enrol(World(), str(self.folder), address, token, fingerprint, self.name)

    def start(self) -> None:
        """A new life."""
        log = (self.folder / "agent.log").open("ab")
        self.process = subprocess.Popen(
            [
                *self.prefix,
                sys.executable,
                "-P",
                "-m",
                "vezha",
                "agent",
                "run",
                "--state",
                str(self.folder),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.close()

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._ended()

    def stop(self) -> None:
        """In good order: it sends what is left."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._ended()

    def _ended(self) -> None:
        """The spool's files say how many frames this life made: the last is never trimmed."""
        newest = -1
        for path in sorted((self.folder / "spool").glob("*.seg")):
            first = int(path.stem)
            offsets, _ = _scan(path.read_bytes(), _Segment(first, str(path), 0.0))
            if len(offsets):
                newest = max(newest, first + len(offsets) - 1)
        if newest >= 0:
            self.lives.append((newest & ((1 << EPOCH_SHIFT) - 1)) + 1)


def missing_and_doubled(values: list[float], lives: list[int]) -> tuple[int, int]:
    """How many frames are missing and how many too many, given the stored values of `COUNTER` in
    order of time and the frames that each life made."""
    got: list[list[int]] = []
    for value in map(int, values):
        if not got or value <= got[-1][-1]:
            got.append([])
        got[-1].append(value)
    wanted = [set(range(n)) for n in lives]
    missing = sum(len(w) for w in wanted[len(got) :])
    doubled = sum(len(g) for g in got[len(wanted) :])
    for stored, made in zip(got, wanted, strict=False):
        missing += len(made - set(stored))
        doubled += len(stored) - len(set(stored)) + len(set(stored) - made)
    return missing, doubled
