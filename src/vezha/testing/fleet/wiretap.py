"""The network between a simulated host and the simulated server.

Messages of one connection arrive in order, each after its own delay. A cut either breaks the
connection at once for both ends, or swallows everything (a black hole) until it is healed or an
end loses patience; what was on its way then arrives late, as TCP would have it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from picows import WSMsgType

from vezha.testing.fleet.virtual import VirtualLoop

Check = Callable[[Any, bytes], None]


class Wire:
    """One connection: a channel for the agent's side, a transport for the server's."""

    def __init__(
        self,
        loop: VirtualLoop,
        listener: Any,
        delay_s: Callable[[], float],
        wake: Callable[[], None],
        check: Check,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._delay_s = delay_s
        self._wake = wake
        self._check = check
        self._up: deque[bytes] = deque()
        self._down: deque[bytes | None] = deque()
        self._up_at = self._down_at = 0.0
        self.hole = False
        self.inbox: deque[bytes] = deque()
        self.wait_s = 1.0
        self.agent_open = True
        self.server_open = True
        self.underlying_transport = SimpleNamespace(
            get_write_buffer_size=lambda: 0, get_extra_info=lambda _name: None
        )
        listener.on_ws_connected(self)

    # the agent's side: what `agent.dial.Channel` gives -------------------------------------------

    def send(self, *what: Any) -> None:
        """`send(data)` is the agent's, `send(kind, data)` the server's."""
        if len(what) == 1:
            if not self.agent_open:
                raise ConnectionResetError("the connection is broken")
            self._up.append(what[0])
            self._up_at = self._schedule(self._up_at, self._arrive_up)
        elif self.server_open:
            self._check(self._listener, what[1])
            self._down.append(what[1])
            self._down_at = self._schedule(self._down_at, self._arrive_down)

    def receive(self, _wake: int, wait_s: float) -> list[bytes]:
        """What came; never waits, but remembers for how long it would have."""
        self.wait_s = wait_s
        messages = list(self.inbox)
        self.inbox.clear()
        if not messages and not self.agent_open:
            raise ConnectionResetError("the server hung up")
        return messages

    def close(self) -> None:
        """The agent hangs up."""
        self.agent_open = False
        if not self.hole:
            self._loop.call_later(self._delay_s(), self._end_server)

    # the server's side: what `picows.WSTransport` gives ---------------------------------------------

    @property
    def is_disconnected(self) -> bool:
        """Whether the server's end is closed."""
        return not self.server_open

    def send_close(self, *_how: Any) -> None:
        """A close frame; `disconnect` follows."""

    def disconnect(self, _graceful: bool = True) -> None:
        """The server hangs up, after what it sent."""
        if not self.server_open:
            return
        self._down.append(None)
        self._down_at = self._schedule(self._down_at, self._arrive_down)
        self._loop.call_soon(self._end_server)

    # the network's side -----------------------------------------------------------------------------

    def cut(self) -> None:
        """Both ends learn at once that the connection is broken; what was on its way is lost."""
        self._up.clear()
        self._down.clear()
        self.agent_open = False
        self._end_server()
        self._wake()

    def forget_server(self) -> None:
        """The server's process died: its objects hear nothing any more, the agent soon does."""
        self.server_open = False
        self._up.clear()
        self._down.append(None)
        self._down_at = self._schedule(self._down_at, self._arrive_down)

    def heal(self) -> None:
        """The black hole ends: what was swallowed arrives now."""
        self.hole = False
        for _ in range(len(self._up)):
            self._up_at = self._schedule(self._up_at, self._arrive_up)
        for _ in range(len(self._down)):
            self._down_at = self._schedule(self._down_at, self._arrive_down)
        if not self.agent_open:
            self._loop.call_at(self._up_at, self._end_server)

    def _schedule(self, last_at: float, arrive: Callable[[], None]) -> float:
        at = max(self._loop.time() + self._delay_s(), last_at)
        self._loop.call_at(at, arrive)
        return at

    def _arrive_up(self) -> None:
        if self.hole or not self._up:
            return
        data = self._up.popleft()
        if self.server_open:
            frame = SimpleNamespace(
                msg_type=WSMsgType.BINARY, fin=True, get_payload_as_bytes=lambda: data
            )
            self._listener.on_ws_frame(self, frame)

    def _arrive_down(self) -> None:
        if self.hole or not self._down:
            return
        data = self._down.popleft()
        if data is None:
            self.agent_open = False
        elif self.agent_open:
            self.inbox.append(data)
        self._wake()

    def _end_server(self) -> None:
        if self.server_open:
            self.server_open = False
            self._listener.on_ws_disconnected(self)
