"""One agent's connection: picows hands over messages, the session judges, the intake writes.

Kept thin: what may come when is in `wire.server_session`, what becomes of a frame in `intake`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from vezha.gateway.change import new_bucket
from vezha.gateway.limits import SKEW_SHIFTED_MS, WRITE_BUFFER_BYTES_MAX
from vezha.gateway.schema_budget import OverBudget
from vezha.gateway.sink import Identity
from vezha.model.labels import Labels, labels_of
from vezha.wire import message as m
from vezha.wire.agent_session import Phase
from vezha.wire.errors import ProtocolError
from vezha.wire.frame import read_head
from vezha.wire.limits import MESSAGE_BYTES_MAX
from vezha.wire.ranges import Ranges
from vezha.wire.schema import FROM, tells_checks, unpack_schema
from vezha.wire.server_session import ServerSession

if TYPE_CHECKING:
    from vezha.gateway.listener import Gateway


_OVER_LIMIT = object()
"""Stands for a layout whose series the store does not take."""


class Stream:
    """One spool of one agent, across its connections."""

    __slots__ = ("durable", "origin", "received")

    def __init__(self, origin: int, stored: list[tuple[int, int]]) -> None:
        self.origin = origin
        self.received = Ranges(stored)
        self.durable = Ranges(stored)


def shift_of(skew_ms: int) -> int:
    """By how much stamps of a host are moved whose clock is *skew_ms* behind ours: whole seconds,
    so that its grid stays one; nothing while it is nearly right."""
    return round(skew_ms / 1000) * 1000 if abs(skew_ms) > SKEW_SHIFTED_MS else 0


class Connection(WSListener):
    """One WebSocket of one agent."""

    def __init__(self, gateway: Gateway, identity: Identity) -> None:
        self.gateway = gateway
        self.identity = identity
        self.session = ServerSession()
        self.stream: Stream | None = None
        self.row = -1
        self.said_bye = False
        self.takes_tripwires = False
        self.takes: frozenset[str] = frozenset()
        self.is_fetching = False
        self.fetch_bucket = new_bucket()
        self._transport: WSTransport | None = None
        self._layouts: dict[int, object] = {}
        self._parts: list[bytes] = []
        self._shift_ms = 0
        self._version = ""

    @property
    def extra(self) -> Labels:
        """The labels that the server sets on every series of this agent."""
        return labels_of({"instance": self.identity.host, "job": "node"})

    @property
    def address(self) -> str:
        """Where it comes from; empty where that is not known."""
        if self._transport is None:
            return ""
        peer = self._transport.underlying_transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else ""

    # picows calls these ------------------------------------------------------------------------

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self.session.phase is Phase.CLOSED:
            return
        kind = frame.msg_type
        if kind is WSMsgType.CLOSE:
            transport.disconnect()
            return
        if kind in (WSMsgType.PING, WSMsgType.PONG):
            return
        data = frame.get_payload_as_bytes()
        if self._parts or not frame.fin:
            # proxies may split a message
            self._parts.append(data)
            if sum(map(len, self._parts)) > MESSAGE_BYTES_MAX:
                self.refuse(ProtocolError("too_large", "a fragmented message"))
                return
            if not frame.fin:
                return
            data = b"".join(self._parts)
            self._parts = []
        try:
            self._take(data)
        except ProtocolError as error:
            self.refuse(error)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.session.phase = Phase.CLOSED
        self.gateway.disconnected(self)

    # what messages mean --------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        if data and data[0] <= m.BACKLOG and data[0] != 0:
            self._take_frame(data[1:])
            return
        said = self.session.receive(data)
        if self.row >= 0:
            self.gateway.heard(self.row)
        if isinstance(said, m.Hello):
            self._greet(said)
        elif isinstance(said, m.Schema):
            self._learn(said)
        elif isinstance(said, m.Status):
            if said.offset_ms:
                # measured by the agent over a short round trip, and told before its first frame:
                # our own view of a message that was long on its way would take the delay for a
                # wrong clock
                self._shift_ms = shift_of(round(said.offset_ms))
            self.gateway.told_status(self, said)
        elif isinstance(said, m.State):
            self.gateway.identities.state_told(self.identity, self._version, said.facts)
            self.gateway.desk.changes.state_told(self.identity, said)
        elif isinstance(said, m.Time):
            self.send(m.pack(m.TimeReply(said.agent_ms, self.gateway.wall_ms())))
        elif isinstance(said, m.Crossing):
            self.gateway.crossed(self, said)
        elif isinstance(said, m.Fetch):
            self.gateway.desk.fetch(self, said)
        elif isinstance(said, m.Progress):
            self.gateway.desk.progress(self, said)
        elif isinstance(said, m.Bye):
            self.said_bye = True
            self.gateway.told_bye(self, said)

    def _learn(self, said: m.Schema) -> None:
        sink = self.gateway.intake.sink
        if sink.known_schema(said.schema_id):
            return
        series = unpack_schema(said.schema_id, said.packed)
        over = self.gateway.schema_over_budget(self.identity, len(series), len(said.packed))
        if over is not None:
            self._layouts[said.schema_id] = over
            return
        self._layouts.pop(said.schema_id, None)
        sink.put_schema(said.schema_id, series)
        self.gateway.intake.wrote()

    def _take_frame(self, record: bytes) -> None:
        session = self.session
        if session.phase is not Phase.OPEN:
            raise ProtocolError("unexpected", f"a frame while {session.phase.value}")
        head = read_head(record)
        layout = self._layouts.get(head.schema_id)
        if layout is None:
            sink = self.gateway.intake.sink
            if not sink.known_schema(head.schema_id):
                raise ProtocolError("unknown_schema", f"{head.schema_id:016x}")
            layout = self._layouts[head.schema_id] = self._layout(head.schema_id)
        if layout is _OVER_LIMIT:
            self._pass_over("series_limit", head.seq)
            return
        if isinstance(layout, OverBudget):
            if self.gateway.monotonic() >= layout.until_s:
                # there is room again: it comes back and announces it
                del self._layouts[head.schema_id]
                raise ProtocolError("unknown_schema", f"{head.schema_id:016x}")
            self._pass_over("schema_limit", head.seq)
            return
        if head.width != len(layout.refs):  # type: ignore[attr-defined]
            raise ProtocolError("bad_frame", f"{head.width} values for its schema")
        fresh = head.seq not in session.received
        if fresh:
            assert self.stream is not None
            ts_ms = head.ts_ms + self._shift_ms
            # unpacks before the number counts as received: a bad frame must not look stored
            self.gateway.intake.put(self, layout, self.stream.origin, head, ts_ms, record)
            self.gateway.took_frame(self.row, ts_ms)
        else:
            self.gateway.intake.acknowledge(self)
        session.fresh(head.seq)

    def _pass_over(self, code: str, seq: int) -> None:
        """A frame that is not taken is acknowledged, so that the rest of the agent's data goes on;
        it is counted, and was told."""
        self.gateway.intake.counters.refuse(code)
        self.session.fresh(seq)
        self.gateway.intake.acknowledge(self)

    def _layout(self, schema_id: int) -> object:
        gateway = self.gateway
        sink = gateway.intake.sink
        extra = self.extra
        if tells_checks(sink.schema(schema_id)):
            extra = labels_of({FROM: self.identity.host})
        try:
            return sink.layout(schema_id, extra)
        except gateway.refusals as error:
            gateway.series_refused(self.identity.host, str(error))
            return _OVER_LIMIT

    def _greet(self, hello: m.Hello) -> None:
        if hello.agent_id != self.identity.agent_id:
            raise ProtocolError("unauthorized", "Hello names another agent")
        self._version = hello.version[:64]
        skew_ms = self.gateway.wall_ms() - hello.time_ms
        self.stream = self.gateway.greeted(self, hello, skew_ms)
        sink = self.gateway.intake.sink
        need = [s for s in hello.schemas if not sink.known_schema(s)]
        self.send(
            self.session.welcome(
                self.stream.received,
                list(self.stream.durable),
                self.gateway.intake.window,
                self.identity.host,
                need,
                self.gateway.wall_ms(),
            )
        )
        self.gateway.opened(self, hello)

    # talking back ----------------------------------------------------------------------------------

    def send_ack(self, window: int, now_ms: int) -> None:
        """What was marked is durable now: remember it, and tell the agent."""
        assert self.stream is not None
        for low, high in self.session.marked:
            self.stream.durable.add_range(low, high)
        if self.session.phase is Phase.OPEN:
            self.send(self.session.ack(window, now_ms))

    def send(self, data: bytes) -> None:
        """Send one binary message; an agent that does not read is hung up on."""
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        transport.send(WSMsgType.BINARY, data)
        if transport.underlying_transport.get_write_buffer_size() > WRITE_BUFFER_BYTES_MAX:
            self.gateway.intake.counters.refuse("too_slow")
            self.session.phase = Phase.CLOSED
            transport.disconnect(False)

    def refuse(self, error: ProtocolError, retry_after_s: float = 0.0) -> None:
        """Say what is wrong, count it, hang up."""
        self.gateway.refused(self, error)
        self.session.phase = Phase.CLOSED
        transport = self._transport
        if transport is None or transport.is_disconnected:
            return
        transport.send(WSMsgType.BINARY, m.pack(m.Error(error.code, error.text, retry_after_s)))
        transport.send_close(WSCloseCode.POLICY_VIOLATION)
        transport.disconnect()


class EnrolConnection(WSListener):
    """A new host's one exchange: ENROL with a token in the request, ENROLLED or ERROR back."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        self.gateway = gateway
        self.token = token
        self.began_s = time.monotonic()
        self.transport: WSTransport | None = None
        self._asked = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
            return
        if frame.msg_type is not WSMsgType.BINARY or self._asked:
            return
        self._asked = True
        try:
            said = m.unpack(frame.get_payload_as_bytes())
            if not isinstance(said, m.Enrol) or not frame.fin:
                raise ProtocolError("unexpected", "wants Enrol")
        except ProtocolError as error:
            self.answer(m.Error(error.code, error.text))
            return
        self.gateway.enrol(self, said)

    def answer(self, message: m.Enrolled | m.Error) -> None:
        """The one answer, and good-bye."""
        if isinstance(message, m.Error):
            self.gateway.intake.counters.refuse(message.code)
        transport = self.transport
        if transport is not None and not transport.is_disconnected:
            transport.send(WSMsgType.BINARY, m.pack(message))
            transport.send_close(WSCloseCode.OK)
