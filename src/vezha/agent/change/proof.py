"""Proof of running: what the agent on trial says of itself, once a second, for the launcher."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from vezha.agent.collect.runner import Runner
from vezha.agent.limits import FAILURES_BEFORE_LEFT_OUT, PROOF_LAG_S
from vezha.wire.ranges import Ranges
from vezha.world import World


def failing(runners: Iterable[Runner]) -> list[str]:
    """Collectors that have failed several times in a row."""
    return sorted(
        r.name
        for r in runners
        if r.failures >= FAILURES_BEFORE_LEFT_OUT or (r.late >= 1 and r.hung)
    )


def is_acknowledged(durable: Ranges, first: int, until: int) -> bool:
    """Whether every frame from number *first* up to *until* (exclusive) is durable at the server,
    and there was one."""
    return until > first and durable.next_missing(first) >= until


class ProofWriter:
    """Writes `proof.json` after each tick, until the trial is over."""

    def __init__(
        self,
        world: World,
        folder: str,
        build: str,
        config: str,
        trouble: str,
        failing_now: Callable[[], list[str]],
    ) -> None:
        self._world = world
        self._path = f"{folder}/proof.json"
        self._build = build
        self._config = config
        self._trouble = trouble
        self._failing = failing_now
        self._made: deque[tuple[float, int]] = deque()
        self._written_s = -1e9

    def tick(
        self, first: int, next_seq: int, durable: Ranges, connected: bool, sent_away: bool
    ) -> None:
        """Frames up to *next_seq* (exclusive) were made. Never raises: a full disk is no proof."""
        now = self._world.clock.monotonic()
        self._made.append((now, next_seq))
        while len(self._made) > 1 and self._made[1][0] <= now - PROOF_LAG_S:
            self._made.popleft()
        if now - self._written_s < 0.5:
            return
        self._written_s = now
        at_s, until = self._made[0]
        try:
            acked = at_s <= now - PROOF_LAG_S and is_acknowledged(durable, first, until)
            missing = durable.next_missing(first)
            gap = missing < until and any(high >= until for _, high in durable)
        except IndexError:
            return  # the link's thread is adding to it: look again at the next tick
        told: dict[str, Any] = {
            "build": self._build,
            "config": self._config,
            "trouble": self._trouble,
            "pid": os.getpid(),
            "monotonic_s": now,
            "connected": connected,
            "acked": acked,
            "gap": gap,
            "failing": self._failing(),
            "sent_away": sent_away,
        }
        try:
            # not synced: after a crash of the machine it would be of no use
            with open(f"{self._path}.new", "w", encoding="utf-8") as file:
                json.dump(told, file)
            os.replace(f"{self._path}.new", self._path)
        except OSError:
            return
