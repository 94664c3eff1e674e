"""Change over the channel: directives go down, files are fetched, progress comes up.

The gateway decides nothing here: it sends the rows that it is given, serves the bytes of published
files piece by piece, and has progress written before it acknowledges it. Live data goes first: an
agent has one piece outstanding, and pieces wait for their turn in two buckets, the agent's and
everybody's.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from vezha.gateway.limits import (
    FETCH_BURST_BYTES,
    FETCH_BYTES_PER_S,
    FETCH_BYTES_PER_S_EACH,
    FETCH_WAIT_MAX_S,
    PROGRESS_GATHER_S,
    PROGRESS_PENDING_MAX,
    PROGRESS_RETRY_S,
    PUSHES_PER_SLICE,
)
from vezha.gateway.sink import Identity
from vezha.wire import message as m
from vezha.wire.agent_session import Phase
from vezha.wire.directive import KINDS
from vezha.wire.errors import ProtocolError
from vezha.wire.limits import (
    CHUNK_BYTES_MAX,
    DIRECTIVES_MAX,
    FETCH_PATH_CHARS_MAX,
    PROGRESS_DETAIL_BYTES_MAX,
    PROGRESS_TEXT_CHARS_MAX,
)

if TYPE_CHECKING:
    from vezha.gateway.connection import Connection
    from vezha.world import Clock

log = structlog.get_logger("vezha.gateway")

_PATH = re.compile(r"(?:metadata|targets)(?:/[A-Za-z0-9][A-Za-z0-9._+-]*)+")


class Changes(Protocol):
    """Somebody who knows what hosts should run, and keeps what they tell."""

    def directives_of(self, host: str) -> Sequence[dict[str, Any]]:
        """What a host should run now. Fast: called on the loop."""
        ...

    def read_published(self, path: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """The length of a published file and a piece of it; None where there is no such file.
        Blocks; on another thread. Raises OSError."""
        ...

    def write_progress(self, told: Sequence[tuple[Identity, m.Progress]]) -> None:
        """Keep what agents told, each number once. Blocks; on another thread. Raises an Exception
        where it could not be kept; then it is tried again."""
        ...

    def state_told(self, identity: Identity, state: m.State) -> None:
        """An agent told what it runs. Must not block."""
        ...


class NoChanges:
    """For servers, and tests, that deliver nothing."""

    def directives_of(self, host: str) -> Sequence[dict[str, Any]]:
        return ()

    def read_published(self, path: str, offset: int, length: int) -> tuple[int, bytes] | None:
        return None

    def write_progress(self, told: Sequence[tuple[Identity, m.Progress]]) -> None:
        """Nobody wants to know."""

    def state_told(self, identity: Identity, state: m.State) -> None:
        """Nobody wants to know."""


class Bucket:
    """A token bucket of bytes that may be overdrawn by one piece: who comes next waits longer."""

    def __init__(self, bytes_per_s: float, burst_bytes: float) -> None:
        self._rate = bytes_per_s
        self._burst = burst_bytes
        self._level = burst_bytes
        self._at = 0.0

    def wait_s(self, now: float) -> float:
        """In how many seconds the next piece may go."""
        self._level = min(self._burst, self._level + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        return max(0.0, -self._level / self._rate)

    def take(self, size: int) -> None:
        """A piece of *size* bytes goes."""
        self._level -= size


class ChangeDesk:
    """The gateway's part in delivery. All methods run on the event loop's thread."""

    def __init__(self, clock: Clock, changes: Changes | None = None) -> None:
        self.changes: Changes = changes or NoChanges()
        self.on_progress: Callable[[], None] = lambda: None
        """Called when progress was written."""
        self.fetched_bytes = 0
        self.progress_written = 0
        self._clock = clock
        self._all = Bucket(FETCH_BYTES_PER_S, FETCH_BURST_BYTES)
        self._pending: list[tuple[Connection, m.Progress]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = False

    # down ---------------------------------------------------------------------------------------------

    def greet(self, connection: Connection, capabilities: Iterable[str]) -> None:
        """A session is open: say what the host should run."""
        connection.takes = frozenset(capabilities) & frozenset(KINDS)
        self.tell(connection)

    def tell(self, connection: Connection) -> None:
        """Send what the host should run, of the kinds that its agent acts on."""
        if not connection.takes:
            return
        found = [
            entry
            for entry in self.changes.directives_of(connection.identity.host)
            if entry["kind"] in connection.takes
        ]
        connection.send(m.pack(m.Desired(found[:DIRECTIVES_MAX])))

    async def push(self, connections: Sequence[Connection]) -> None:
        """The directives of these have changed."""
        for number, connection in enumerate(connections, 1):
            if connection.session.phase is Phase.OPEN:
                self.tell(connection)
            if number % PUSHES_PER_SLICE == 0:
                await asyncio.sleep(0)

    def fetch(self, connection: Connection, ask: m.Fetch) -> None:
        """An agent wants a piece of a file. Raises ProtocolError."""
        if connection.is_fetching:
            raise ProtocolError("unexpected", "a second Fetch before the first was answered")
        if not 0 < ask.length <= CHUNK_BYTES_MAX or ask.offset < 0:
            raise ProtocolError("bad_message", "a Fetch of an impossible piece")
        if not 0 <= ask.request < 1 << 32 or len(ask.path) > FETCH_PATH_CHARS_MAX:
            raise ProtocolError("bad_message", "a Fetch with an impossible number or path")
        connection.is_fetching = True
        self._begin(self._fetch(connection, ask))

    async def _fetch(self, connection: Connection, ask: m.Fetch) -> None:
        found = None
        status = m.CHUNK_ABSENT
        if _PATH.fullmatch(ask.path) and ".." not in ask.path:
            try:
                found = await asyncio.to_thread(
                    self.changes.read_published, ask.path, ask.offset, ask.length
                )
            except OSError as error:
                log.error("published_file_unread", path=ask.path, error=str(error))
                status = m.CHUNK_LATER
        if found is None:
            answer = m.Chunk(ask.request, status, 0, 0, b"")
        else:
            total, piece = found
            answer = m.Chunk(ask.request, m.CHUNK_HERE, ask.offset, total, piece)
            now = self._clock.monotonic()
            wait_s = max(connection.fetch_bucket.wait_s(now), self._all.wait_s(now))
            if wait_s > FETCH_WAIT_MAX_S:
                # it takes nothing from the buckets: a whole fleet that asks makes no debt
                answer = m.Chunk(ask.request, m.CHUNK_LATER, 0, 0, b"")
                wait_s = FETCH_WAIT_MAX_S
            else:
                connection.fetch_bucket.take(len(piece))
                self._all.take(len(piece))
            if wait_s:
                await asyncio.sleep(wait_s)
            self.fetched_bytes += len(answer.data)
        connection.is_fetching = False
        if connection.session.phase is Phase.OPEN:
            connection.send(m.pack(answer))

    # up -----------------------------------------------------------------------------------------------

    def progress(self, connection: Connection, said: m.Progress) -> None:
        """An agent told of a directive; it is acknowledged once it is in the ledger. Raises
        ProtocolError."""
        if not 0 <= said.number < 1 << 63 or len(said.reason) > PROGRESS_TEXT_CHARS_MAX:
            raise ProtocolError("bad_message", "a Progress with an impossible number or reason")
        if len(str(said.detail)) > PROGRESS_DETAIL_BYTES_MAX:
            raise ProtocolError("too_large", "the detail of a Progress")
        if len(self._pending) >= PROGRESS_PENDING_MAX:
            raise ProtocolError("busy", "the ledger is behind with progress")
        self._pending.append((connection, said))
        if not self._writing:
            self._writing = True
            self._begin(self._write())

    async def _write(self) -> None:
        try:
            while self._pending:
                await asyncio.sleep(PROGRESS_GATHER_S)
                batch = self._pending[:]
                rows = [(connection.identity, said) for connection, said in batch]
                try:
                    await asyncio.to_thread(self.changes.write_progress, rows)
                except Exception as error:
                    # not acknowledged, so that nothing is lost; who reconnects tells it again
                    log.error("progress_unwritten", error=str(error)[:300])
                    await asyncio.sleep(PROGRESS_RETRY_S)
                    self._pending = [
                        (c, said) for c, said in self._pending if c.session.phase is Phase.OPEN
                    ]
                    continue
                del self._pending[: len(batch)]
                self.progress_written += len(batch)
                newest: dict[Connection, int] = {}
                for connection, said in batch:
                    newest[connection] = max(newest.get(connection, 0), said.number)
                for connection, number in newest.items():
                    if connection.session.phase is Phase.OPEN:
                        connection.send(m.pack(m.ProgressAck(number)))
                self.on_progress()
        finally:
            self._writing = False

    def _begin(self, what: Any) -> None:
        task = asyncio.ensure_future(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """End what runs; what was not acknowledged is told again."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def new_bucket() -> Bucket:
    """One agent's own."""
    return Bucket(FETCH_BYTES_PER_S_EACH, FETCH_BURST_BYTES)
