"""The server under virtual time: the real gateway, session and intake over a sink.

Only the listener is replaced: connections are `Wire`s. A kill loses what the sink did not commit;
a commit that was on its way is either done or not, as chance has it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Protocol

from vezha.gateway.admission import Admission
from vezha.gateway.listener import Gateway
from vezha.gateway.sink import EnrolmentRefused, FrameSink, Identity
from vezha.testing.fleet.journal import Journal
from vezha.testing.fleet.virtual import VirtualClock, VirtualLoop
from vezha.testing.fleet.virtualhost import VirtualHost
from vezha.testing.fleet.wiretap import Wire
from vezha.testing.sink import MemorySink
from vezha.wire import message as m
from vezha.wire import websocket as ws
from vezha.wire.limits import AGENT_PATH, SUBPROTOCOL
from vezha.world import World

SECRET = "simulated"  # noqa: S105 - of nobody
Stored = dict[tuple[str, int], tuple[int, tuple[float, ...]]]


class Storage(Protocol):
    """A sink that can be lost and opened again."""

    sink: Any
    """Has `fail_commits`: so many next commits fail."""
    sets_clocks: bool
    """Whether clocks may be set in a run on it."""

    def open(self) -> FrameSink:
        """The sink for a new life of the server, with what was durable."""
        ...

    def crash(self) -> None:
        """The server's process was killed."""
        ...

    def stored(self) -> Stored:
        """What is durable now."""
        ...

    def close(self) -> None:
        """The end of the run."""
        ...


class _JournalledSink(MemorySink):
    """Tells the journal what became durable."""

    def __init__(
        self, on_durable: Callable[[str, int], None], on_failure: Callable[[], None]
    ) -> None:
        super().__init__()
        self._on_durable = on_durable
        self._on_failure = on_failure

    def commit(self, batch: list[tuple[int, int, int, tuple[float, ...]]]) -> None:
        try:
            super().commit(batch)
        except OSError:
            self._on_failure()
            raise
        keys = {number: key for key, number in self.origins().items()}
        for origin, seq, _, _ in batch:
            self._on_durable(keys[origin], seq)


class MemoryStorage:
    """`MemorySink` as storage."""

    sets_clocks = True

    def __init__(self, journal: Journal, loop: VirtualLoop) -> None:
        self.sink: Any = _JournalledSink(
            lambda key, seq: journal.committed(key, seq, loop.time()),
            lambda: journal.trouble_all(loop.time()),
        )
        self._journal = journal

    def open(self) -> FrameSink:
        sink: FrameSink = self.sink
        return sink

    def crash(self) -> None:
        self.sink.crash()

    def stored(self) -> Stored:
        if self.sink.doubled:
            self._journal.violations.append(f"stored twice: {self.sink.doubled[:5]}")
        keys = {number: key for key, number in self.sink.origins().items()}
        return {(keys[o], seq): found for (o, seq), found in self.sink.frames.items()}

    def close(self) -> None:
        pass


class _Book:
    """Every simulated agent is known."""

    def check(self, agent_id: str, secret: str) -> Identity | None:
        return Identity(agent_id, agent_id.removeprefix("id-")) if secret == SECRET else None

    def enrol(self, token: str, host: str, facts: Mapping[str, Any]) -> tuple[Identity, str]:
        raise EnrolmentRefused("nobody enrols here")

    def state_told(self, identity: Identity, version: str, facts: Mapping[str, Any]) -> None:
        pass


class _VirtualGateway(Gateway):
    """A gateway whose listener is a function call."""

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        self._tasks = [
            asyncio.create_task(self.intake.run()),
            asyncio.create_task(self._report()),
        ]
        return 1


class VirtualServer:
    """Starts, stops, dies; hosts reach it through `dial`."""

    def __init__(
        self, loop: VirtualLoop, journal: Journal, storage: Storage, epoch_s: float
    ) -> None:
        self.loop = loop
        self.journal = journal
        self.storage = storage
        self.clock = VirtualClock(loop, epoch_s)
        self.delay_s: Callable[[], float] = lambda: 0.005
        self.gateway: Gateway | None = None
        self._wires: list[Wire] = []
        self._sink: FrameSink | None = None

    async def start(self) -> None:
        """A new life."""
        assert self.gateway is None
        self._sink = self.storage.open()
        gateway = _VirtualGateway(
            self._sink,
            _Book(),
            World(clock=self.clock),
            admission=Admission(per_s=5.0, burst=6.0),
        )
        await gateway.start("", 0, None)
        self.gateway = gateway

    def kill(self) -> None:
        """kill -9."""
        gateway, self.gateway = self.gateway, None
        if gateway is None:
            return
        self.loop.life += 1
        for task in gateway._tasks:
            task.cancel()
        for wire in self._wires:
            wire.forget_server()
        self._wires.clear()
        self.storage.crash()

    async def stop(self) -> None:
        """In good order."""
        gateway, self.gateway = self.gateway, None
        if gateway is None:
            return
        await gateway.stop()
        self.loop.life += 1
        for wire in self._wires:
            wire.forget_server()
        self._wires.clear()
        self.storage.crash()

    def dial(self, host: VirtualHost) -> Wire:
        """A connection of *host*. Raises OSError or ws.Refused, as dialling does."""
        gateway = self.gateway
        if gateway is None or host.cut_off:
            raise ConnectionRefusedError("nobody listens")
        request = SimpleNamespace(
            path=AGENT_PATH.encode(),
            headers={
                "Authorization": f"Bearer {host.identity.agent_id}.{SECRET}",
                "Sec-WebSocket-Protocol": SUBPROTOCOL,
            },
        )
        answer = gateway._route(request)  # type: ignore[arg-type]  # a request has no public maker
        if answer.listener is None:
            after = float(answer.response.headers.get("Retry-After", "0"))
            raise ws.Refused(int(answer.response.status), "", after)
        wire = Wire(self.loop, answer.listener, lambda: self.delay_s(), host.news, self._overhear)
        self._wires = [w for w in self._wires if w.server_open]
        self._wires.append(wire)
        return wire

    def _overhear(self, connection: Any, data: bytes) -> None:
        """Everything that the server calls durable must be."""
        if data[0] not in (m.ACK, m.WELCOME):
            return
        said = m.unpack(data)
        key = f"{connection.identity.agent_id}/{connection.session.hello.stream}"
        ranges = said.ranges if isinstance(said, m.Ack) else said.durable  # type: ignore[union-attr]
        self.journal.told(key, ranges, self.loop.time())
