"""The server's side of a session: order of messages, duplicates, acks. No I/O, no clock.

Rules:
1. HELLO first, once; frames only after WELCOME was sent.
2. A frame's number is new (`fresh`) or a replay (dropped, yet acknowledged again).
3. An ack names ranges that are durable: `mark` takes the picture when a batch is sealed, `ack`
   gives the message once that batch is on disk. What arrived in between waits for the next.
4. A newer connection of the same agent fences this one; nothing it sends counts after that.
"""

from __future__ import annotations

from vezha.wire import message as m
from vezha.wire.agent_session import Phase
from vezha.wire.errors import ProtocolError
from vezha.wire.limits import PROTOCOL_GENERATION, PROTOCOL_GENERATION_MIN, RANGES_PER_MESSAGE_MAX
from vezha.wire.ranges import Ranges

AgentSaid = (
    m.Hello | m.Schema | m.Status | m.State | m.Crossing | m.Bye | m.Time | m.Fetch | m.Progress
)
_OPEN_ONLY = (m.Schema, m.Status, m.State, m.Crossing, m.Bye, m.Time, m.Fetch, m.Progress)


class ServerSession:
    """One connection of one agent, as the server sees it."""

    __slots__ = ("_dirty_low", "epoch_first", "hello", "marked", "next_seq", "phase", "received")

    def __init__(self) -> None:
        self.phase = Phase.NEW
        self.hello: m.Hello | None = None
        self.received = Ranges()
        self.next_seq = 0
        self.epoch_first = 0
        self._dirty_low = -1
        self.marked: list[tuple[int, int]] = []

    def receive(self, data: bytes) -> AgentSaid:
        """Take a message that is not a frame. Raises ProtocolError; then say it and hang up."""
        said = m.unpack(data)
        if isinstance(said, m.Hello):
            if self.phase is not Phase.NEW:
                raise ProtocolError("unexpected", f"Hello while {self.phase.value}")
            if (
                said.generation < PROTOCOL_GENERATION_MIN
                or said.generation_min > PROTOCOL_GENERATION
            ):
                raise ProtocolError("generation", f"the agent speaks {said.generation}")
            if not said.stream or not 0 <= said.next_seq < 1 << 63:
                raise ProtocolError("bad_message", "Hello names no stream or no sequence number")
            self.hello = said
            self.next_seq = said.next_seq
            self.phase = Phase.HELLO_SENT
            return said
        if not isinstance(said, _OPEN_ONLY) or self.phase is not Phase.OPEN:
            raise ProtocolError("unexpected", f"{type(said).__name__} while {self.phase.value}")
        if isinstance(said, m.Status):
            self.next_seq = max(self.next_seq, said.next_seq)
            self.epoch_first = said.epoch_first_seq
        return said

    def welcome(
        self,
        received: Ranges,
        durable: list[tuple[int, int]],
        window: int,
        host: str,
        need_schemas: list[int],
        now_ms: int,
    ) -> bytes:
        """Open the session. *received* is shared with earlier connections of the same stream, so
        that a reconnect continues exactly where the last connection stood; only *durable*
        ranges are told."""
        assert self.hello is not None
        assert self.phase is Phase.HELLO_SENT
        self.phase = Phase.OPEN
        self.received = received
        return m.pack(
            m.Welcome(
                generation=min(PROTOCOL_GENERATION, self.hello.generation),
                time_ms=now_ms,
                window=window,
                host=host,
                durable=durable[-RANGES_PER_MESSAGE_MAX:],
                need_schemas=need_schemas,
            )
        )

    def fresh(self, seq: int) -> bool:
        """Whether frame *seq* is new; replays are acknowledged with the next batch again."""
        if seq >= self.next_seq:
            self.next_seq = seq + 1
        if self._dirty_low < 0 or seq < self._dirty_low:
            self._dirty_low = seq
        return self.received.add(seq)

    def mark(self) -> bool:
        """A batch is being sealed: remember what to acknowledge. True if there is something."""
        if self._dirty_low < 0:
            return False
        self.marked = self.received.touched_since(self._dirty_low, RANGES_PER_MESSAGE_MAX)
        self._dirty_low = -1
        return True

    def ack(self, window: int, now_ms: int) -> bytes:
        """The ack for what was marked, now that it is durable."""
        return m.pack(m.Ack(window, now_ms, self.marked))
