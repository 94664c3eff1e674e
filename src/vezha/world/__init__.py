"""Clock, disk, network and chance: the only door to them.

Every loop takes a `World` and never calls `time`, `random`, `open` or `socket` by itself, so
that a whole fleet can run from a seed (`vezha.testing` has the twins). Runs on the standard
library (Python 3.10 or later), because the agent carries it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vezha.world.chance import Chance
from vezha.world.clock import Clock, SystemClock
from vezha.world.disk import AppendFile, Disk, SystemDisk
from vezha.world.network import Network, SystemNetwork

__all__ = [
    "AppendFile",
    "Chance",
    "Clock",
    "Disk",
    "Network",
    "SystemClock",
    "SystemDisk",
    "SystemNetwork",
    "World",
]


@dataclass(frozen=True)
class World:
    """What a loop may touch of the outside."""

    clock: Clock = field(default_factory=SystemClock)
    disk: Disk = field(default_factory=SystemDisk)
    network: Network = field(default_factory=SystemNetwork)
    chance: Chance = field(default_factory=Chance)
