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
from typing import Any, Protocol

from vezha import __version__
from vezha.agent.dial import Channel, Server, dial
from vezha.agent.identity import Identity
from vezha.agent.limits import (
    FETCH_ANSWER_S,
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


class Telling(Protocol):
    """Progress that waits to be told."""

    def untold(self) -> list[m.Progress]:
        """What is not acknowledged, oldest first."""
        ...

    def acked(self, number: int) -> None:
        """Up to this number it is in the ledger."""
        ...


class Fetches:
    """One question for a piece of a file at a time, from one thread to the link's and back."""

    def __init__(self, nudge: Callable[[], None]) -> None:
        self._nudge = nudge
        self._lock = threading.Condition()
        self._number = 0
        self._ask: m.Fetch | None = None
        self._is_sent = False
        self._answer: m.Chunk | None = None
        self._broken = False

    def ask(self, path: str, offset: int, length: int) -> m.Chunk:
        """Blocks. Raises OSError."""
        with self._lock:
            self._number = (self._number + 1) & 0xFFFFFFFF
            self._ask = m.Fetch(self._number, path, offset, length)
            self._is_sent, self._answer, self._broken = False, None, False
            self._nudge()
            done = self._lock.wait_for(
                lambda: self._answer is not None or self._broken, FETCH_ANSWER_S
            )
            self._ask = None
            if self._answer is None:
                raise OSError("no answer" if not done else "the connection ended")
            return self._answer

    def to_send(self) -> m.Fetch | None:
        """The question that was not sent yet."""
        with self._lock:
            if self._ask is None or self._is_sent:
                return None
            self._is_sent = True
            return self._ask

    def answered(self, chunk: m.Chunk) -> None:
        """An answer came; one to another question is too late."""
        with self._lock:
            if self._ask is not None and chunk.request == self._ask.request:
                self._answer = chunk
                self._lock.notify_all()

    def broke(self) -> None:
        """The connection ended."""
        with self._lock:
            if self._ask is not None and self._is_sent:
                self._broken = True
                self._lock.notify_all()


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
        self.capabilities: list[str] = []
        """Kinds of directives that the agent acts on."""
        self.on_desired: Callable[[m.Desired], None] | None = None
        """Told on the link's thread what the host should run, at each connection and when it
        changes."""
        self.state: Callable[[], m.State] | None = None
        """What the agent tells of itself; without it, the facts alone."""
        self.progress: Telling | None = None
        """What it tells of directives, until that is acknowledged."""
        self.sent_away = False
        """Whether the server was there and said to come later, last time."""
        self._fetches = Fetches(self.nudge)
        self._tell_state = threading.Event()
        self._tell_progress = threading.Event()
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

    def fetch(self, path: str, offset: int, length: int) -> m.Chunk:
        """A piece of a published file, when no frame waits to be sent. Blocks. Raises OSError
        where there is no connection, or it ends, or nothing comes in time."""
        return self._fetches.ask(path, offset, length)

    def tell_state(self) -> None:
        """What the agent tells of itself has changed."""
        self._tell_state.set()
        self.nudge()

    def tell_progress(self) -> None:
        """There is more progress to tell."""
        self._tell_progress.set()
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
                self.sent_away = error.status in (429, 503)
                self._complain(f"refused: {error}")
            except ProtocolError as error:
                self._complain(f"protocol: {error}")
            except _SentAway as error:
                retry_after_s = error.retry_after_s
                self.sent_away = error.code in ("busy", "stopping")
                self._complain(f"sent away: {error}")
            except OSError as error:
                self._complain(f"{error}")
            finally:
                self.connected = False
                self._fetches.broke()
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
            capabilities=self._capabilities(),
        )

    def _capabilities(self) -> list[str]:
        watches = [] if self.on_tripwires is None else [TRIPWIRES_CAPABILITY]
        return watches + self.capabilities

    def _state(self) -> m.State:
        return m.State(facts=self._facts()) if self.state is None else self.state()

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
        self.code = error.code
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
        self._delivers = False
        """Whether the server sent directives: then it also understands what we tell of them."""

    def turn(self) -> None:
        """Send what may be sent, then wait for news or the next heart-beat."""
        link = self._link
        self._send_urgent()
        self._send_frames()
        self._send_change()
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
            link.sent_away = False
            link._say(f"connected to {link._server.host}:{link._server.port} as {said.host}")
            link.offset_ms = session.offset_ms
            self._tell_status()  # before any frame: the server corrects stamps by the offset
            self._send(m.pack(link._state()))
        elif isinstance(said, m.Desired):
            self._delivers = True
            link._tell_progress.set()
            if link.on_desired is not None:
                link.on_desired(said)
        elif isinstance(said, m.Chunk):
            link._fetches.answered(said)
        elif isinstance(said, m.ProgressAck):
            if link.progress is not None:
                link.progress.acked(said.number)
        elif isinstance(said, m.Tripwires):
            if link.on_tripwires is not None:
                link.on_tripwires(said)
        elif isinstance(said, m.SendState):
            self._send(m.pack(link._state()))
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

    def _send_change(self) -> None:
        """What concerns change goes after the frames: they never wait for it."""
        link = self._link
        if not self._welcomed:
            return
        if link._tell_state.is_set():
            link._tell_state.clear()
            self._send(m.pack(link._state()))
        if not self._delivers:
            return
        if link.progress is not None and link._tell_progress.is_set():
            link._tell_progress.clear()
            for told in link.progress.untold():
                self._send(m.pack(told))
        ask = link._fetches.to_send()
        if ask is not None:
            self._send(m.pack(ask))

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
