"""The socket driver: a whole fleet in one process, one real connection per host.

Rules:
1. The session is the agent's own (`wire.agent_session`), so are the back-off and the messages;
   only collecting and the disk are replaced (by `Vitals` and `MemorySpool`).
2. Each host has its own moment within the second; `SLOTS_PER_S` bursts make one second, and the
   values of a burst are one numpy step.
3. A host begins to sample when it is first welcomed. One that is cut off later goes on
   sampling, and sends its backlog afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSInvalidStatusError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from vezha import __version__
from vezha.agent.limits import PLANNED_ABSENCE_S
from vezha.agent.link import backoff_s
from vezha.testing.fleet.changes import Behaviour
from vezha.testing.fleet.inventory import Machine
from vezha.testing.fleet.limits import DIALLING_MAX, FAREWELL_S, SERIES_DEFAULT, SLOTS_PER_S
from vezha.testing.fleet.memoryspool import MemorySpool
from vezha.testing.fleet.programs import program_series
from vezha.testing.fleet.series import series_of
from vezha.testing.fleet.taking import CAPABILITIES, LOOK_EVERY_S, HostTakes
from vezha.testing.fleet.tally import Tally
from vezha.testing.fleet.vitals import Floats, Vitals
from vezha.wire import message as m
from vezha.wire.agent_session import AgentSession, Phase
from vezha.wire.errors import ProtocolError
from vezha.wire.frame import CODEC_PLANES, CODEC_RAW, VERSION, ZLIB_LEVEL
from vezha.wire.limits import (
    AGENT_PATH,
    BACKOFF_MAX_S,
    HANDSHAKE_TIMEOUT_S,
    PROTOCOL_GENERATION,
    PROTOCOL_GENERATION_MIN,
    STATUS_INTERVAL_S,
    SUBPROTOCOL,
)
from vezha.wire.schema import pack_schema
from vezha.world import World

_HEAD = struct.Struct("<BBHIQQq")
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class Credential:
    """What enrolment gave a simulated host."""

    agent_id: str
    secret: str


class SimulatedAgent(WSListener):
    """One host: its session, its spool, and its connection when it has one."""

    def __init__(self, fleet: SocketFleet, row: int, machine: Machine, own: Credential) -> None:
        self.fleet = fleet
        self.row = row
        self.machine = machine
        self.spool = MemorySpool()
        self.takes = HostTakes(row, machine, fleet.behaviours, fleet.seed)
        self.connected = False
        self.started = False
        self.held = False
        self.hung = False
        self._own = own
        self._stream = fleet.world.chance.token(16).hex()
        self._session: AgentSession | None = None
        self._transport: WSTransport | None = None
        self._waiting: deque[tuple[int, float]] = deque()
        self._failures = 0
        self._connected_s = 0.0
        self._status_s = 0.0
        self._retry_after_s = 0.0
        self._schema_id, self._packed_schema = fleet.schema_of(machine)

    # sampling -----------------------------------------------------------------------------------------

    def sampled(self, record: bytes, now: float) -> None:
        """A frame was made: keep it, and send what may be sent."""
        self.spool.append(record)
        if self.connected:
            self._waiting.append((self.spool.next_seq - 1, now))
            if not self.hung:
                self._pump(now)

    # connecting ---------------------------------------------------------------------------------------

    async def dial(self) -> None:
        """Connect once. Raises what picows and the network raise."""
        fleet = self.fleet
        credential = f"{self._own.agent_id}.{self._own.secret}"
        await ws_connect(
            lambda: self,
            fleet.url,
            ssl_context=fleet.tls,
            websocket_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            extra_headers={
                "Authorization": f"Bearer {credential}",
                "Sec-WebSocket-Protocol": SUBPROTOCOL,
            },
            read_buffer_init_size=1024,
            max_redirects=0,
        )

    def next_wait_s(self, retry_after_s: float, now: float) -> float:
        """How long to wait before the next dial, as the real link does."""
        lasted = now - self._connected_s if self._connected_s else 0.0
        self._failures = 0 if lasted > BACKOFF_MAX_S else self._failures + 1
        self._connected_s = 0.0
        after = max(retry_after_s, self._retry_after_s)
        self._retry_after_s = 0.0
        return backoff_s(max(self._failures - 1, 0), after, self.fleet.world.chance.uniform)

    def on_ws_connected(self, transport: WSTransport) -> None:
        fleet = self.fleet
        self._transport = transport
        self._connected_s = fleet.loop.time()
        hello = m.Hello(
            generation=PROTOCOL_GENERATION,
            generation_min=PROTOCOL_GENERATION_MIN,
            agent_id=self._own.agent_id,
            stream=self._stream,
            session=f"{random.getrandbits(64):016x}",
            next_seq=self.spool.next_seq,
            time_ms=self._clock_ms(),
            version=__version__,
            schemas=[self._schema_id],
            capabilities=CAPABILITIES,
        )
        self._session = AgentSession(hello)
        transport.send(WSMsgType.BINARY, self._session.start())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
            return
        session = self._session
        if frame.msg_type is not WSMsgType.BINARY or session is None or self.hung:
            return
        try:
            said = session.receive(frame.get_payload_as_bytes(), self._clock_ms())
        except ProtocolError as error:
            self.fleet.tally.refuse(error.code)
            transport.disconnect(False)
            return
        if isinstance(said, m.Ack):
            self._acked(session)
        elif isinstance(said, m.Welcome):
            self._welcomed(session, transport)
        elif isinstance(said, (m.Desired, m.ProgressAck)):
            self.takes.hear(said, self.fleet.world.clock.now())
            self.fleet.busy.add(self)
        elif isinstance(said, m.Error):
            self.fleet.tally.refuse(said.code)
            self._retry_after_s = said.retry_after_s

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if transport is not self._transport:
            return
        self._transport = None
        self._session = None
        self._waiting.clear()
        if self.connected:
            self.connected = False
            self.fleet.lost(self)

    # talking --------------------------------------------------------------------------------------------

    def _welcomed(self, session: AgentSession, transport: WSTransport) -> None:
        self.connected = self.started = True
        self.fleet.won(self)
        self.fleet.tally.acked += self.spool.trim(session.durable)
        transport.send(WSMsgType.BINARY, m.pack(self.takes.state()))
        self.takes.agent.reconnect()
        self.fleet.busy.add(self)
        now = self.fleet.loop.time()
        self._status_s = now - random.uniform(0.0, STATUS_INTERVAL_S)
        self._pump(now)

    def _acked(self, session: AgentSession) -> None:
        fleet = self.fleet
        fleet.tally.acked += self.spool.trim(session.durable)
        now = fleet.loop.time()
        waiting = self._waiting
        while waiting and waiting[0][0] in session.durable:
            fleet.tally.note(now - waiting.popleft()[1])
        if self.spool.records:
            self._pump(now)

    def _pump(self, now: float) -> None:
        session, transport = self._session, self._transport
        if session is None or transport is None or session.phase is not Phase.OPEN:
            return
        tally = self.fleet.tally
        while (found := session.next_frame(self.spool)) is not None:
            seq, lane = found
            record = self.spool.records[seq]
            if session.wants_schema(self._schema_id):
                told = m.pack(m.Schema(self._schema_id, self._packed_schema))
                transport.send(WSMsgType.BINARY, told)
            transport.send(WSMsgType.BINARY, lane + record)
            session.sent(seq)
            tally.sent += 1
            tally.bytes_sent += len(record)
        if now - self._status_s >= STATUS_INTERVAL_S:
            self._status_s = now
            transport.send(WSMsgType.BINARY, m.pack(self._status(session)))

    def _status(self, session: AgentSession) -> m.Status:
        spool = self.spool
        return m.Status(
            time_ms=self._clock_ms(),
            next_seq=spool.next_seq,
            epoch_first_seq=spool.epoch_first_seq,
            spool_bytes=spool.size_bytes,
            spool_frames=len(spool.records),
            dropped_frames=spool.dropped_frames,
            offset_ms=session.offset_ms,
        )

    def take_steps(self) -> str | None:
        """What change asks of it now; the hash that runs, where it is another than before."""
        transport = self._transport if self.connected else None
        send = None if transport is None else (lambda b: transport.send(WSMsgType.BINARY, b))
        return self.takes.step(self.fleet.world.clock.now(), send)

    def _clock_ms(self) -> int:
        return round((self.fleet.world.clock.now() + self.machine.skew_s) * 1000)

    # the story's hand -------------------------------------------------------------------------------------

    def say_bye(self) -> None:
        """Go in good order."""
        if self._transport is not None and self.connected:
            self._transport.send(WSMsgType.BINARY, m.pack(m.Bye("stopped", PLANNED_ABSENCE_S)))
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    def hang_up(self) -> None:
        """The connection breaks without a good-bye."""
        if self._transport is not None:
            self._transport.disconnect(False)


class SocketFleet:
    """All hosts of a fleet, on the running loop. `vitals` is what a story may change."""

    def __init__(
        self,
        machines: Sequence[Machine],
        credentials: Sequence[Credential],
        address: str,
        *,
        ca_pem: str = "",
        series: int = SERIES_DEFAULT,
        programs: bool = False,
        seed: int = 1,
        world: World | None = None,
        rate: float = 1.0,
        behaviours: Mapping[str, Behaviour] | None = None,
    ) -> None:
        """*address* is `host:port`; without *ca_pem* it is plain text on loopback.
        *programs*: each has the series of what runs on it as well. *rate* is frames a second of
        each host. *behaviours* says by hash what a version does."""
        assert len(machines) == len(credentials) > 0
        assert rate >= 0.5, "slower hosts would have to send heart-beats between their frames"
        self.world = world or World()
        self.loop = asyncio.get_running_loop()
        self.tls = _tls(ca_pem) if ca_pem else None
        self.url = f"{'wss' if ca_pem else 'ws'}://{address}{AGENT_PATH}"
        self.tally = Tally()
        self.vitals = Vitals(machines, self.world.clock.now(), series, seed, programs)
        self.connected = 0
        self.seed = seed
        self.behaviours = {} if behaviours is None else behaviours
        self.busy: set[SimulatedAgent] = set()
        """Those that have steps to take or to tell."""
        self.ran: Callable[[int, str], None] = lambda row, sha256: None
        """Called with a host's row as it begins to run another version."""
        self._series = series
        self._programs = programs
        self._interval_s = 1.0 / rate
        self._schemas: dict[str, tuple[int, bytes]] = {}
        self.agents = [
            SimulatedAgent(self, i, machine, own)
            for i, (machine, own) in enumerate(zip(machines, credentials, strict=True))
        ]
        self._stock: list[list[tuple[int, bytes]]] = []
        self._dialling = asyncio.Semaphore(DIALLING_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def schema_of(self, machine: Machine) -> tuple[int, bytes]:
        """The schema's name and packed bytes, one per role."""
        role = machine.role
        if role.name not in self._schemas:
            self._schemas[role.name] = pack_schema(
                (*series_of(role, self._series), *(program_series(role) if self._programs else ()))
            )
        return self._schemas[role.name]

    # life --------------------------------------------------------------------------------------------------

    def prepare(self, turns: int) -> None:
        """Make the payloads of the first *turns* samples of every host now.

        Packing is half of a generator's work, and a real fleet does it on its own machines.
        Costs some 600 bytes for each 100 values. Later turns are packed when they are due.
        """
        now = self.world.clock.now()
        everyone = slice(0, len(self.agents))
        for turn in range(turns):
            at_s = now + turn * self._interval_s
            self._stock.append(pack_rows(self.vitals.sample(everyone, at_s)))

    def start(self, connects_per_s: float = 1_000.0) -> None:
        """Begin to sample and to connect; the first dials are spread at that rate."""
        self._spawn(self._sample())
        self._spawn(self._take_change())
        for i, agent in enumerate(self.agents):
            self._spawn(self._keep_connected(agent, i / connects_per_s))

    async def stop(self) -> None:
        """Stop sampling, wait a little for the last acks, say good-bye."""
        self._stopping = True
        until = self.loop.time() + FAREWELL_S
        while self.loop.time() < until and any(
            a.connected and a.spool.records for a in self.agents
        ):
            await asyncio.sleep(0.05)
        for agent in self.agents:
            agent.say_bye()
        await asyncio.sleep(0.2)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_connected(self, count: int, timeout_s: float) -> bool:
        """Whether *count* hosts were connected within *timeout_s*."""
        until = self.loop.time() + timeout_s
        while self.connected < count and self.loop.time() < until:
            await asyncio.sleep(0.05)
        return self.connected >= count

    def waiting(self) -> int:
        """Frames that no ack covers yet."""
        return sum(len(a.spool.records) for a in self.agents)

    def _spawn(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # connecting ----------------------------------------------------------------------------------------------

    async def _keep_connected(self, agent: SimulatedAgent, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        while not self._stopping:
            if agent.held:
                await asyncio.sleep(0.2)
                continue
            retry_after_s = await self._dial(agent)
            if retry_after_s is None:
                return  # `lost` begins anew
            await asyncio.sleep(agent.next_wait_s(retry_after_s, self.loop.time()))

    async def _dial(self, agent: SimulatedAgent) -> float | None:
        """None where it worked, else the seconds that the server asked for."""
        async with self._dialling:
            self.tally.dials += 1
            try:
                await agent.dial()
            except WSInvalidStatusError as error:
                self.tally.refuse(_status_of(error))
                return _retry_after_of(error)
            except (WSError, OSError, asyncio.TimeoutError) as error:
                self.tally.refuse(type(error).__name__)
                return 0.0
        with contextlib.suppress(asyncio.TimeoutError):
            # A server may accept and send away at once; then this dial failed too.
            await asyncio.wait_for(self._welcome(agent), HANDSHAKE_TIMEOUT_S)
        if agent.connected:
            return None
        agent.hang_up()
        return 0.0

    async def _welcome(self, agent: SimulatedAgent) -> None:
        while not agent.connected and agent._transport is not None:
            await asyncio.sleep(0.02)

    def won(self, agent: SimulatedAgent) -> None:
        """An agent was welcomed."""
        self.connected += 1
        self.tally.connects += 1

    def lost(self, agent: SimulatedAgent) -> None:
        """A connection ended."""
        self.connected -= 1
        self.tally.disconnects += 1
        if not self._stopping:
            wait_s = agent.next_wait_s(0.0, self.loop.time())
            self._spawn(self._keep_connected(agent, wait_s))

    # taking change ---------------------------------------------------------------------------------------------

    async def _take_change(self) -> None:
        while not self._stopping:
            for agent in list(self.busy):
                sha256 = agent.take_steps()
                if sha256 is not None:
                    self.ran(agent.row, sha256)
                if agent.takes.is_idle:
                    self.busy.discard(agent)
            await asyncio.sleep(LOOK_EVERY_S)

    # sampling --------------------------------------------------------------------------------------------------

    async def _sample(self) -> None:
        """Slot after slot, each host once per interval."""
        n = len(self.agents)
        slots = min(n, max(1, round(SLOTS_PER_S * self._interval_s)))
        edges = [round(i * n / slots) for i in range(slots + 1)]
        phases_ms = [int(i * 1000 * self._interval_s / n) for i in range(n)]
        interval_ms = round(self._interval_s * 1000)
        # both clocks, so that stamps are the wall's and the pace is steady
        base_s = self.loop.time()
        base_ms = round(self.world.clock.now() * 1000)
        base_ms -= base_ms % interval_ms
        turn = 0
        while not self._stopping:
            # A machine that is too slow for the whole fleet must not make a burst of the past.
            behind = int((self.loop.time() - base_s) / self._interval_s) - turn
            if behind > 0:
                self.tally.skipped_turns += behind
                turn += behind
            for slot in range(slots):
                due = base_s + (turn + slot / slots) * self._interval_s
                wait = due - self.loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                else:
                    await asyncio.sleep(0)
                self.tally.late_s_max = max(self.tally.late_s_max, -wait)
                rows = slice(edges[slot], edges[slot + 1])
                stamp_ms = base_ms + turn * interval_ms
                self._burst(rows, turn, stamp_ms, phases_ms)
            if turn < len(self._stock):
                self._stock[turn] = []
            turn += 1

    def _burst(self, rows: slice, turn: int, stamp_ms: int, phases_ms: list[int]) -> None:
        if turn < len(self._stock):
            payloads = self._stock[turn][rows]
        else:
            true_s = (stamp_ms + phases_ms[rows.start]) / 1000
            payloads = pack_rows(self.vitals.sample(rows, true_s))
        now = self.loop.time()
        width = self.vitals.width
        made = 0
        for agent, (codec, payload) in zip(self.agents[rows], payloads, strict=True):
            if not agent.started:
                continue
            made += 1
            ts_ms = stamp_ms + phases_ms[agent.row] + round(agent.machine.skew_s * 1000)
            head = _HEAD.pack(
                VERSION, codec, 0, width, agent.spool.next_seq, agent._schema_id, ts_ms
            )
            body = head + payload
            agent.sampled(body + _CRC.pack(zlib.crc32(body)), now)
        self.tally.made += made

    # the story's hand ------------------------------------------------------------------------------------------

    def rows(self, choose: Callable[[Machine], bool]) -> list[int]:
        """Rows of the hosts that *choose* likes."""
        return [a.row for a in self.agents if choose(a.machine)]

    def cut(self, rows: Iterable[int]) -> None:
        """These hosts lose the network; they go on sampling."""
        for row in rows:
            self.agents[row].held = True
            self.agents[row].hang_up()

    def heal(self, rows: Iterable[int]) -> None:
        """They get it back."""
        for row in rows:
            self.agents[row].held = False
            self.agents[row]._failures = 0

    def hang(self, rows: Iterable[int], hung: bool = True) -> None:
        """These agents stop to answer with their connections open, or go on."""
        for row in rows:
            self.agents[row].hung = hung

    def restart(self, rows: Iterable[int]) -> None:
        """These hosts reboot: good-bye, counters at zero, a new epoch."""
        now = self.world.clock.now()
        for row in rows:
            agent = self.agents[row]
            agent.say_bye()
            agent.spool.new_epoch()
            self.vitals.restart(row, now)


def pack_rows(values: Floats) -> list[tuple[int, bytes]]:
    """Codec and payload of each row of float64[hosts, series], as `wire.frame` packs them."""
    hosts, width = values.shape
    raw = np.ascontiguousarray(values).view(np.uint8).reshape(hosts, width, 8)
    planes = np.ascontiguousarray(raw.transpose(0, 2, 1)).reshape(hosts, 8 * width)
    out = []
    for row in range(hosts):
        packed = zlib.compress(planes[row], ZLIB_LEVEL)
        if len(packed) < 8 * width:
            out.append((CODEC_PLANES, packed))
        else:
            out.append((CODEC_RAW, raw[row].tobytes()))
    return out


def _tls(ca_pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.load_verify_locations(cadata=ca_pem)
    return context


def _status_of(error: WSHandshakeError) -> str:
    return f"http_{int(error.response.status)}" if error.response is not None else "http"


def _retry_after_of(error: WSHandshakeError) -> float:
    headers = error.response.headers if error.response is not None else {}
    try:
        return float(headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
