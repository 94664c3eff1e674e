"""What handlers work with. The server's composition root fills it in; tests fill in twins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vezha.ledger import Ledger
from vezha.world import World


def _silently(_topic: str) -> None:
    """Nobody listens: a nudge is only ever a hint."""


@dataclass(slots=True)
class Services:
    """The rooms below, as the API reaches them.

    `nudge(topic)` tells the other contours to look at the ledger again ("incidents", "outbox",
    "hosts" …); it never blocks and may be lost. `extra` holds objects of rooms that bring
    their own routes, by a name that they choose.
    """

    ledger: Ledger
    world: World
    nudge: Callable[[str], None] = _silently
    extra: dict[str, Any] = field(default_factory=dict)

    def now_ms(self) -> int:
        """The time of day in ms since the epoch."""
        return int(self.world.clock.now() * 1000)
