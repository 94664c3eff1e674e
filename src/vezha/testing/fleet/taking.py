"""How the socket driver's hosts take change: each has a `ChangingAgent`, whose words go over the
host's own connection. Only hosts that have something to do are looked at."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from vezha import __version__
from vezha.testing.fleet.changes import Behaviour, ChangingAgent
from vezha.testing.fleet.inventory import Machine
from vezha.wire import message as m
from vezha.wire.limits import CONFIG_CAPABILITY, SCRIPT_CAPABILITY

CAPABILITIES = [CONFIG_CAPABILITY, SCRIPT_CAPABILITY]
"""A simulated host has one place for a version: it takes configurations, and no releases."""
LOOK_EVERY_S = 0.25


class HostTakes:
    """The delivery part of one host. `send` is its connection, while it has one."""

    def __init__(
        self, row: int, machine: Machine, behaviours: Mapping[str, Behaviour], seed: int
    ) -> None:
        chance = random.Random(seed * 1_000_003 + row)
        self.machine = machine
        self.agent = ChangingAgent(row, machine.name, chance, behaviours)
        self._ran = ""

    def state(self) -> m.State:
        """Everything that the host tells of itself."""
        agent = self.agent
        config: dict[str, Any] = {
            "sha256": agent.running,
            "effective_sha256": agent.running,
            "text": "",
            "generation": agent.generation,
            "drift": [],
        }
        release = {"version": __version__, "launcher": True, "generation": 0}
        return m.State(
            dict(self.machine.facts), config, release, sorted(agent.quarantined), CAPABILITIES
        )

    def hear(self, said: m.Desired | m.ProgressAck, now_s: float) -> None:
        """Take what the server says of change."""
        if isinstance(said, m.Desired):
            self.agent.take(said, now_s)
        else:
            self.agent.acked(said)

    def step(self, now_s: float, send: Callable[[bytes], object] | None) -> str | None:
        """Take the steps that are due and tell them; the hash that runs, where it is another now."""
        self.agent.tick(now_s)
        ran = None
        if self.agent.running != self._ran:
            ran = self._ran = self.agent.running
        if send is not None:
            for packed in self.agent.sends():
                send(packed)
            if ran is not None:
                send(m.pack(self.state()))
        return ran

    @property
    def is_idle(self) -> bool:
        """Whether nothing is due and all was heard."""
        return not self.agent.due and not self.agent.told
