"""The agent's side of a session: what to send next, what an answer means. No I/O, no clock.

Rules:
1. HELLO first; nothing else until WELCOME.
2. What the spool holds at that moment is backlog; every later frame is live and goes first.
3. At most `window` frames are unacknowledged; the backlog leaves a few places to live frames.
4. An ack covers ranges; what the server calls durable is never sent again.
5. A schema goes ahead of the first frame that names it, unless the server knows it.
"""

from __future__ import annotations

from enum import Enum
from typing import List, Optional, Protocol, Tuple, Union  # noqa: UP035

from vezha.wire import message as m
from vezha.wire.errors import ProtocolError
from vezha.wire.limits import (
    PROTOCOL_GENERATION_MIN,
    WINDOW_FRAMES_MAX,
    WINDOW_LIVE_RESERVE_FRAMES,
)
from vezha.wire.ranges import Ranges


class Phase(Enum):
    """Where a session stands."""

    NEW = "new"
    HELLO_SENT = "hello sent"
    OPEN = "open"
    CLOSED = "closed"


class SpoolView(Protocol):
    """What the session must know of the spool."""

    @property
    def next_seq(self) -> int:
        """The number that the next frame will get."""
        ...

    def stored_from(self, seq: int) -> Optional[int]:  # noqa: UP045  3.10 is fine, mypy too
        """The smallest stored number >= *seq*, or None."""
        ...


ServerSaid = Union[  # noqa: UP007
    m.Welcome, m.Ack, m.Desired, m.Tripwires, m.SendState, m.TimeReply, m.Chunk, m.ProgressAck,
    m.Error,
]  # fmt: skip
_OPEN_ONLY = (
    m.Ack, m.Desired, m.Tripwires, m.SendState, m.TimeReply, m.Chunk, m.ProgressAck,
)  # fmt: skip


class AgentSession:
    """One connection of an agent, from HELLO to the end."""

    def __init__(self, hello: m.Hello) -> None:
        self.phase = Phase.NEW
        self.durable = Ranges()
        self.window = 0
        self._hello = hello
        self._split = hello.next_seq
        self._live_cursor = hello.next_seq
        self._backlog_cursor = 0
        self._in_flight: set[int] = set()
        self._known_schemas: set[int] = set()
        self.offset_ms = 0.0

    def start(self) -> bytes:
        """The HELLO to send on a new connection."""
        assert self.phase is Phase.NEW
        self.phase = Phase.HELLO_SENT
        return m.pack(self._hello)

    def receive(self, data: bytes, now_ms: int) -> ServerSaid:
        """Take a message of the server. Raises ProtocolError; then hang up."""
        said = m.unpack(data)
        if isinstance(said, m.Error):
            self.phase = Phase.CLOSED
            return said
        if isinstance(said, m.Welcome):
            return self._welcomed(said, now_ms)
        if not isinstance(said, _OPEN_ONLY) or self.phase is not Phase.OPEN:
            raise ProtocolError("unexpected", f"{type(said).__name__} while {self.phase.value}")
        if isinstance(said, m.Ack):
            self._acked(said)
        elif isinstance(said, m.TimeReply):
            self._told_time(said.agent_ms, said.server_ms, now_ms)
        return said

    def _welcomed(self, said: m.Welcome, now_ms: int) -> m.Welcome:
        if self.phase is not Phase.HELLO_SENT:
            raise ProtocolError("unexpected", f"Welcome while {self.phase.value}")
        if said.generation < PROTOCOL_GENERATION_MIN:
            raise ProtocolError("generation", f"the server speaks generation {said.generation}")
        for low, high in said.durable:
            self.durable.add_range(low, high)
        self._known_schemas = set(self._hello.schemas) - set(said.need_schemas)
        self.window = max(1, min(said.window, WINDOW_FRAMES_MAX))
        self._told_time(self._hello.time_ms, said.time_ms, now_ms)
        self.phase = Phase.OPEN
        return said

    def _acked(self, said: m.Ack) -> None:
        for low, high in said.ranges:
            self.durable.add_range(low, high)
        self._in_flight = {s for s in self._in_flight if s not in self.durable}
        self.window = max(1, min(said.window, WINDOW_FRAMES_MAX))

    def _told_time(self, asked_ms: int, server_ms: int, now_ms: int) -> None:
        # Cristian's algorithm: the server read its clock half-way through the round trip.
        # A round trip over a second says little about half-ways.
        if 0 <= now_ms - asked_ms <= 1000:
            self.offset_ms = server_ms - (asked_ms + now_ms) / 2

    def next_frame(self, spool: SpoolView) -> Optional[Tuple[int, bytes]]:  # noqa: UP006, UP045
        """The number of the frame to send now and its lane's prefix, or None to wait."""
        if self.phase is not Phase.OPEN or len(self._in_flight) >= self.window:
            return None
        live = spool.stored_from(self._live_cursor)
        if live is not None:
            return live, m.LIVE_PREFIX
        reserve = min(WINDOW_LIVE_RESERVE_FRAMES, self.window - 1)
        if len(self._in_flight) >= self.window - reserve:
            return None
        old = self._next_backlog(spool)
        return None if old is None else (old, m.BACKLOG_PREFIX)

    def _next_backlog(self, spool: SpoolView) -> Optional[int]:  # noqa: UP045
        seq: Optional[int] = self._backlog_cursor  # noqa: UP045
        while seq is not None and seq < self._split:
            stored = spool.stored_from(self.durable.next_missing(seq))
            if stored is None or stored >= self._split:
                self._backlog_cursor = self._split
                return None
            if stored not in self.durable:
                self._backlog_cursor = stored
                return stored
            seq = stored
        return None

    def sent(self, seq: int) -> None:
        """The frame *seq*, given by `next_frame`, is on its way."""
        self._in_flight.add(seq)
        if seq >= self._split:
            self._live_cursor = seq + 1
        else:
            self._backlog_cursor = seq + 1

    def skip(self, seq: int) -> None:
        """The frame *seq* cannot be read from the spool any more."""
        if seq >= self._split:
            self._live_cursor = seq + 1
        else:
            self._backlog_cursor = seq + 1

    def wants_schema(self, schema_id: int) -> bool:
        """Whether the server must be told of this schema; asked once, then it counts as told."""
        if schema_id in self._known_schemas:
            return False
        self._known_schemas.add(schema_id)
        return True

    @property
    def in_flight(self) -> List[int]:  # noqa: UP006
        """Numbers sent on this connection and not yet durable."""
        return sorted(self._in_flight)
