"""What handlers work with. The server's composition root fills it in; tests fill in twins."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from vezha.access import Sessions
from vezha.access.refusals import Refusals
from vezha.api import limits
from vezha.api.metrics import ApiMetrics
from vezha.api.recognition import Recognition
from vezha.ledger import Ledger
from vezha.world import World

if TYPE_CHECKING:
    from vezha.api.fleet import Fleet
    from vezha.api.live import Hub
    from vezha.api.querying import Querying


def _silently(_topic: str) -> None:
    """Nobody listens: a nudge is only ever a hint."""


@dataclass(frozen=True, slots=True)
class AgentDoor:
    """How agents reach this server: the parts of the command that adds a host.

    `address` is host:port of the channel, `fingerprint` that of its certificate (hex), and
    `agent_hash()` the SHA-256 of the agent's file that the channel gives, or the empty string.
    """

    address: str = "127.0.0.1:8471"
    fingerprint: str = ""
    agent_hash: Callable[[], str] = str


@dataclass(slots=True)
class Services:
    """The rooms below, as the API reaches them.

    `nudge(topic)` tells the other contours to look at the ledger again ("incidents", "outbox",
    "hosts" …); it never blocks and may be lost. `querying` evaluates PromQL in its threads,
    `fleet` makes snapshots of all hosts, `hub` is the live stream's producer; they are None
    where no store is open. `extra`
    holds objects of rooms that bring their own routes, by a name that they choose.
    """

    ledger: Ledger
    world: World
    nudge: Callable[[str], None] = _silently
    querying: Querying | None = None
    fleet: Fleet | None = None
    hub: Hub | None = None
    door: AgentDoor = field(default_factory=AgentDoor)
    extra: dict[str, Any] = field(default_factory=dict)
    sessions: Sessions = field(init=False)
    recognition: Recognition = field(init=False)
    metrics: ApiMetrics = field(default_factory=ApiMetrics)
    refusals: Refusals = field(default_factory=Refusals)
    handler_threads: anyio.CapacityLimiter = field(init=False)
    sign_in_threads: anyio.CapacityLimiter = field(init=False)
    session_idle_s: float | None = None
    _ids: str = field(init=False)
    _numbers: Iterator[int] = field(init=False)

    def __post_init__(self) -> None:
        chance = self.world.chance
        self._ids = chance.token(4).hex()
        self._numbers = itertools.count(1)
        self.recognition = Recognition(self.ledger)
        if self.session_idle_s is None:
            self.sessions = Sessions(self.ledger, chance=chance)
        else:
            self.sessions = Sessions(self.ledger, chance=chance, idle_s=self.session_idle_s)
        self.handler_threads = anyio.CapacityLimiter(limits.HANDLER_THREADS)
        self.sign_in_threads = anyio.CapacityLimiter(limits.SIGN_IN_THREADS)

    def next_request_id(self) -> str:
        """A name for one request, which no other has."""
        return f"{self._ids}{next(self._numbers):08x}"

    def now_ms(self) -> int:
        """The time of day in ms since the epoch."""
        return int(self.world.clock.now() * 1000)
