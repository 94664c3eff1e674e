"""The link: one thread that keeps one connection to the server and moves frames over it.

The session (`wire.agent_session`) decides what is next; this loop dials, sends, receives, and
backs off. While it is not connected the spool grows and is synced now and then.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from vezha import __version__
from vezha.agent.dial import Channel, Server, dial
from vezha.agent.identity import Identity
from vezha.agent.limits import (
    LINK_CALM_S,
    LINK_FAREWELL_S,
    LINK_HEARTBEAT_S,
    LINK_SILENT_SERVER_S,
    PLANNED_ABSENCE_S,
    SPOOL_SYNC_INTERVAL_S,
    URGENT_MESSAGES_MAX,
)
from vezha.agent.spool import Spool
from vezha.wire import message as m
from vezha.wire import websocket as ws
from vezha.wire.agent_session import AgentSession
from vezha.wire.errors import ProtocolError
from vezha.wire.limits import (
    AGENT_PATH,
    BACKOFF_MAX_S,
    BACKOFF_MIN_S,
    CROSSING_AGE_MAX_S,
    PROTOCOL_GENERATION,
    PROTOCOL_GENERATION_MIN,
    SCHEMAS_PER_HELLO_MAX,
    STATUS_INTERVAL_S,
    TRIPWIRES_CAPABILITY,
)
from vezha.wire.ranges import Ranges
from vezha.world import World

Say = Callable[[str], None]


def backoff_s(failures: int, retry_after_s: float, dice: Callable[[float, float], float]) -> float:
    """How long to wait before dial number *failures* + 1: full jitter, and never before the
    server asked for. (M. Brooker, "Exponential Backoff And Jitter", 2015.)"""
    ceiling = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2.0 ** min(failures, 10))
    wait = dice(0.0, ceiling)
    if retry_after_s > 0:
        wait = max(wait, dice(retry_after_s, 2.0 * retry_after_s))
    return wait


class Link:
    """One agent's connection, for ever."""

    def __init__(
        self,
        world: World,
        server: Server,
        identity: Identity,
        spool: Spool,
        facts: Callable[[], dict[str, Any]],
        say: Say,
    ) -> None:
        self._world = world
        self._server = server
        self._identity = identity
        self._spool = spool
        self._facts = facts
        self._say = say
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._stop = threading.Event()
        self.connected = False
        self.connects = 0
        self.failures_total = 0
        self.offset_ms = 0.0
        self.durable = Ranges()
        self.desired = m.Desired()
        self.on_tripwires: Callable[[m.Tripwires], None] | None = None
        """Told on the link's thread what to watch, at each connection and when it changes."""
        self._urgent: deque[tuple[float, m.Crossing]] = deque(maxlen=URGENT_MESSAGES_MAX)

    # called by other threads ---------------------------------------------------------------------

    def nudge(self) -> None:
        """There is something to send."""
        with contextlib.suppress(OSError):  # full: it wakes up anyway; closed: it has ended
            self._wake_write.send(b"x")

    def send_crossing(self, crossing: m.Crossing) -> None:
        """Send ahead of everything else; forgotten where that cannot be done soon."""
        self._urgent.append((self._world.clock.monotonic(), crossing))
        self.nudge()

    def stop(self) -> None:
        """Send what is left, say good-bye, end `run`."""
        self._stop.set()
        self.nudge()

    # the thread ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Dial, talk, back off, until stopped. Once."""
        try:
            self._run()
        finally:
            self._wake_read.close()
            self._wake_write.close()

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            began = self._world.clock.monotonic()
            retry_after_s = 0.0
            try:
                self._talk()
            except ws.Refused as error:
                retry_after_s = error.retry_after_s
                self._complain(f"refused: {error}")
            except ProtocolError as error:
                self._complain(f"protocol: {error}")
            except _SentAway as error:
                retry_after_s = error.retry_after_s
                self._complain(f"sent away: {error}")
            except OSError as error:
                self._complain(f"{error}")
            finally:
                self.connected = False
            if self._stop.is_set():
                return
            lasted = self._world.clock.monotonic() - began
            failures = 0 if lasted > LINK_CALM_S else failures + 1
            wait = backoff_s(
                failures - 1 if failures else 0, retry_after_s, self._world.chance.uniform
            )
            self._wait_disconnected(wait)

    def _complain(self, text: str) -> None:
        self.failures_total += 1
        self._say(f"{self._server.host}:{self._server.port}: {text}")

    def _wait_disconnected(self, seconds: float) -> None:
        until = self._world.clock.monotonic() + seconds
        while not self._stop.is_set():
            left = until - self._world.clock.monotonic()
            if left <= 0:
                break
            self._stop.wait(min(left, SPOOL_SYNC_INTERVAL_S))
            self._spool.sync()

    def _now_ms(self) -> int:
        return round(self._world.clock.now() * 1000)

    def _hello(self) -> m.Hello:
        return m.Hello(
            generation=PROTOCOL_GENERATION,
            generation_min=PROTOCOL_GENERATION_MIN,
            agent_id=self._identity.agent_id,
            stream=self._spool.stream,
            session=self._world.chance.token(8).hex(),
            next_seq=self._spool.next_seq,
            time_ms=self._now_ms(),
            version=__version__,
            schemas=self._spool.schema_ids(SCHEMAS_PER_HELLO_MAX),
            capabilities=[] if self.on_tripwires is None else [TRIPWIRES_CAPABILITY],
        )

    def _talk(self) -> None:
        """One connection from dialling to its end, which is always an exception, or the stop."""
        identity = self._identity
        channel = dial(
            self._world, self._server, AGENT_PATH, f"{identity.agent_id}.{identity.secret}"
        )
        try:
            session = AgentSession(self._hello())
            session.offset_ms = self.offset_ms  # until it is measured anew
            channel.send(session.start())
            conversation = _Conversation(self, channel, session)
            while not self._stop.is_set():
                conversation.turn()
            conversation.farewell()
        finally:
            channel.close()


class _SentAway(Exception):
    """The server told us why it hangs up."""

    def __init__(self, error: m.Error) -> None:
        super().__init__(f"{error.code}: {error.text}")
        self.retry_after_s = error.retry_after_s


class _Conversation:
    """One open connection: what was said when."""

    def __init__(self, link: Link, channel: Channel, session: AgentSession) -> None:
        self._link = link
        self._channel = channel
        self._session = session
        self._clock = link._world.clock
        now = self._clock.monotonic()
        self._heard_s = now
        self._said_s = now
        self._status_s = -1e9
        self._welcomed = False

    def turn(self) -> None:
        """Send what may be sent, then wait for news or the next heart-beat."""
        link = self._link
        self._send_urgent()
        self._send_frames()
        now = self._clock.monotonic()
        if self._welcomed and now - self._status_s >= STATUS_INTERVAL_S:
            self._tell_status()
            self._send(m.pack(m.Time(link._now_ms())))
        elif self._welcomed and now - self._said_s >= LINK_HEARTBEAT_S:
            self._send(m.pack(m.Time(link._now_ms())))
        wait = max(0.05, self._said_s + LINK_HEARTBEAT_S - now)
        self._receive(wait)
        if self._clock.monotonic() - self._heard_s > LINK_SILENT_SERVER_S:
            raise TimeoutError(f"the server said nothing for {LINK_SILENT_SERVER_S:.0f} s")

    def _receive(self, wait_s: float) -> None:
        link = self._link
        for data in self._channel.receive(link._wake_read.fileno(), wait_s):
            self._heard_s = self._clock.monotonic()
            self._take(data)
        with contextlib.suppress(BlockingIOError):
            while link._wake_read.recv(4096):
                pass

    def _take(self, data: bytes) -> None:
        link, session = self._link, self._session
        said = session.receive(data, link._now_ms())
        if isinstance(said, m.Error):
            raise _SentAway(said)
        if isinstance(said, m.Welcome):
            self._welcomed = True
            link.connected = True
            link.connects += 1
            link._say(f"connected to {link._server.host}:{link._server.port} as {said.host}")
            link.offset_ms = session.offset_ms
            self._tell_status()  # before any frame: the server corrects stamps by the offset
            self._send(m.pack(m.State(facts=link._facts())))
        elif isinstance(said, m.Desired):
            link.desired = said
        elif isinstance(said, m.Tripwires):
            if link.on_tripwires is not None:
                link.on_tripwires(said)
        elif isinstance(said, m.SendState):
            self._send(m.pack(m.State(facts=link._facts())))
        link.offset_ms = session.offset_ms
        link.durable = session.durable
        if isinstance(said, (m.Welcome, m.Ack)):
            link._spool.trim(session.durable)

    def _send_urgent(self) -> None:
        urgent = self._link._urgent
        while urgent and self._welcomed:
            at_s, crossing = urgent.popleft()
            if self._clock.monotonic() - at_s <= CROSSING_AGE_MAX_S:
                self._send(m.pack(crossing))

    def _send_frames(self) -> None:
        spool, session = self._link._spool, self._session
        for _ in range(256):  # then look at what the server says
            if self._link._urgent:
                self._send_urgent()
            found = session.next_frame(spool)
            if found is None:
                return
            seq, lane = found
            record = spool.read(seq)
            if record is None:
                session.skip(seq)
                continue
            schema_id = int.from_bytes(record[16:24], "little")
            if session.wants_schema(schema_id):
                packed = spool.schema(schema_id)
                if packed is None:
                    session.skip(seq)
                    continue
                self._send(m.pack(m.Schema(schema_id, packed)))
            self._send(lane + record)
            session.sent(seq)

    def _send(self, data: bytes) -> None:
        self._channel.send(data)
        self._said_s = self._clock.monotonic()

    def _tell_status(self) -> None:
        self._status_s = self._clock.monotonic()
        self._send(m.pack(self._status()))

    def _status(self) -> m.Status:
        link, spool = self._link, self._link._spool
        return m.Status(
            time_ms=link._now_ms(),
            next_seq=spool.next_seq,
            epoch_first_seq=spool.epoch_first_seq,
            spool_bytes=spool.size_bytes,
            spool_frames=spool.waiting(self._session.durable),
            dropped_frames=spool.dropped_frames,
            offset_ms=self._session.offset_ms,
        )

    def farewell(self) -> None:
        """Send what is left, wait a little for its ack, and go in good order."""
        until = self._clock.monotonic() + LINK_FAREWELL_S
        while self._welcomed and self._clock.monotonic() < until:
            self._send_frames()
            if not self._session.in_flight:
                break
            self._receive(0.1)
        if self._welcomed:
            self._send(m.pack(m.Bye("stopped", PLANNED_ABSENCE_S)))


def proxies() -> dict[str, str]:
    """The environment's variables that speak of proxies."""
    return {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}
