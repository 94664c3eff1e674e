"""The gateway: one listener, the connections by agent, and the fleet's series once a second."""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import numpy as np
import structlog
from picows import (
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from vezha.gateway.admission import Admission
from vezha.gateway.change import ChangeDesk, Changes
from vezha.gateway.connection import Connection, EnrolConnection, Stream
from vezha.gateway.fleet import SERIES, Fleet, FleetSeries
from vezha.gateway.intake import Intake
from vezha.gateway.limits import (
    ACKS_PER_SLICE,
    AGENT_FILE_BYTES_MAX,
    COMPLETENESS_STEP_S,
    ENROLMENTS_RUNNING_MAX,
    LISTEN_BACKLOG,
    LOOP_LATE_S,
    READ_BUFFER_BYTES,
    ROWS_ONE_BY_ONE_MAX,
    SILENCE_LOOK_S,
    STRAIN_KEPT_S,
    STREAMS_PER_AGENT_MAX,
    UPGRADE_TIMEOUT_S,
)
from vezha.gateway.schema_budget import LIMITS, OverBudget, SchemaBudgets
from vezha.gateway.sink import EnrolmentRefused, FrameSink, Identities, Identity, SeriesRefused
from vezha.gateway.strain import CONNECTS, LEDGER, REASONS, Strain
from vezha.model.columns import Times
from vezha.wire import message as m
from vezha.wire.agent_session import Phase
from vezha.wire.errors import ProtocolError
from vezha.wire.limits import (
    AGENT_FILE_PATH,
    AGENT_PATH,
    ENROL_PATH,
    MESSAGE_BYTES_MAX,
    SILENCE_S,
    SUBPROTOCOL,
    TRIPWIRES_CAPABILITY,
)
from vezha.world import World

log = structlog.get_logger("vezha.gateway")


class Gateway:
    """Accepts agents. All methods run on the event loop's thread."""

    def __init__(
        self,
        sink: FrameSink,
        identities: Identities,
        world: World,
        *,
        ca_pem: str = "",
        on_written: Callable[[], None] | None = None,
        on_crossing: Callable[[str, m.Crossing], None] | None = None,
        admission: Admission | None = None,
        agent_file: str = "",
        refusals: tuple[type[Exception], ...] = (SeriesRefused,),
        changes: Changes | None = None,
        root: Callable[[], str] = str,
    ) -> None:
        """*refusals* are what the sink raises where a series is over a limit; *root* gives the
        metadata of the keys that new agents pin."""
        self.desk = ChangeDesk(world.clock, changes)
        self._root = root
        self.refusals = refusals
        self._disk = world.disk
        self._agent_file = agent_file
        self.identities = identities
        self.strain = Strain()
        """Whether agents are slowed down, and why."""
        self._clock = world.clock
        self.intake = Intake(sink, self.wall_ms, on_written=on_written, on_strain=self._strained)
        self.fleet = Fleet(started_s=world.clock.monotonic())
        self._series = FleetSeries()
        self._ca_pem = ca_pem
        self._on_written = on_written
        self._on_crossing = on_crossing
        self.on_fenced: Callable[[str, str, str], None] = lambda host, old, new: None
        """Told when a connection took the place of one that was alive (host, both addresses): two
        agents with one identity, such as a copied or stolen one."""
        self.tripwires: Callable[[str], m.Tripwires] | None = None
        """What a host's agent is to watch; asked when it connects and at `push_tripwires`."""
        self._pushing: asyncio.Task[None] | None = None
        self._admission = admission or Admission()
        self._connections: dict[str, Connection] = {}
        self._schema_budgets = SchemaBudgets()
        self._streams: dict[str, OrderedDict[str, Stream]] = {}
        self._enrolling: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # life --------------------------------------------------------------------------------------------

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen, and begin to commit; the port, which is chosen if *port* is 0.
        Raises OSError. Without *tls* the caller must listen on loopback only."""
        self._server = await ws_create_server(
            self._route,
            host,
            port,
            ssl=tls,
            backlog=LISTEN_BACKLOG,
            websocket_handshake_timeout=UPGRADE_TIMEOUT_S,
            max_frame_size=MESSAGE_BYTES_MAX,
            read_buffer_init_size=READ_BUFFER_BYTES,
            logger_name="gateway",
        )
        self._tasks = [
            asyncio.create_task(self.intake.run()),
            asyncio.create_task(self._report()),
            asyncio.create_task(self._watch()),
        ]
        port_taken: int = self._server.sockets[0].getsockname()[1]
        return port_taken

    async def stop(self, retry_after_s: float = 1.0) -> None:
        """Stop listening, send the agents away, commit what came."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections.values()):
            connection.refuse(ProtocolError("stopping", "the server stops"), retry_after_s)
        tasks = self._tasks + ([self._pushing] if self._pushing is not None else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.desk.stop()
        await self.intake.finish()

    def monotonic(self) -> float:
        """Seconds that only pass."""
        return self._clock.monotonic()

    def wall_ms(self) -> int:
        """Now, in milliseconds since the epoch."""
        return int(self._clock.now() * 1000)

    # the door ------------------------------------------------------------------------------------------

    def _route(self, request: WSUpgradeRequest) -> Any:
        path = request.path.decode("latin-1").partition("?")[0]
        if path == "/healthz":
            return _answer(200, b"ok\n")
        if path == "/readyz":
            return self._say_ready()
        if path == AGENT_FILE_PATH:
            return self._give_agent_file()
        if path not in (AGENT_PATH, ENROL_PATH):
            return None
        wait_s = self._admission.ask(self._clock.monotonic())
        if wait_s:
            self.intake.counters.refuse("busy")
            self._strained(CONNECTS)
            return _answer(503, b"busy\n", {"Retry-After": f"{wait_s:.1f}"})
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not credential:
            self.intake.counters.refuse("unauthorized")
            return _answer(401, b"wants a bearer credential\n")
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        if SUBPROTOCOL not in [p.strip() for p in offered.split(",")]:
            return _answer(400, b"wants the subprotocol vezha.1\n")
        listener: WSListener
        if path == ENROL_PATH:
            if len(self._enrolling) >= ENROLMENTS_RUNNING_MAX:
                return _answer(503, b"busy\n", {"Retry-After": "2.0"})
            listener = EnrolConnection(self, credential)
        else:
            agent_id, _, secret = credential.partition(".")
            identity = self.identities.check(agent_id, secret)
            if identity is None:
                self.intake.counters.refuse("unauthorized")
                return _answer(401, b"unknown, revoked or wrong identity\n")
            listener = Connection(self, identity)
        response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": SUBPROTOCOL})
        return WSUpgradeResponseWithListener(response, listener)

    def _say_ready(self) -> Any:
        """Whether what an agent sends now is stored soon. A launcher asks, before it blames its
        trial for what did not arrive."""
        why = self.slowed()
        if not why:
            return _answer(200, b"ready\n")
        text = "; ".join(REASONS[reason] for reason in why)
        return _answer(503, f"{text}\n".encode(), {"Retry-After": f"{STRAIN_KEPT_S:.0f}"})

    def slowed(self) -> list[str]:
        """Why agents are slowed down now (`strain.REASONS`)."""
        return self.strain.reasons(self._clock.monotonic())

    def _strained(self, reason: str) -> None:
        self.strain.note(reason, self._clock.monotonic())

    def _give_agent_file(self) -> Any:
        """The agent's one file, for a new host: nothing secret, and small; its hash stands in the
        command that an operator copies."""
        try:
            return _answer(200, self._disk.read(self._agent_file, size=AGENT_FILE_BYTES_MAX))
        except OSError:
            return _answer(404, b"this server has no agent file; build one: vezha agent build\n")

    # what connections report ---------------------------------------------------------------------------

    def greeted(self, connection: Connection, hello: m.Hello, skew_ms: int) -> Stream:
        """An agent said HELLO: fence older connections, find its stream."""
        agent_id, host = connection.identity.agent_id, connection.identity.host
        old = self._connections.get(agent_id)
        if old is not None and old is not connection:
            heard_s = float(self.fleet.column("heard_s")[old.row]) if old.row >= 0 else -1e9
            if self._clock.monotonic() - heard_s < SILENCE_S:
                # an agent that comes back has lost its old connection: this one was alive
                self.on_fenced(host, old.address, connection.address)
            old.refuse(ProtocolError("fenced", "a newer connection took over"))
        self._connections[agent_id] = connection
        streams = self._streams.setdefault(agent_id, OrderedDict())
        stream = streams.get(hello.stream)
        if stream is None:
            sink = self.intake.sink
            origin = sink.origin(f"{agent_id}/{hello.stream[:64]}")
            stream = streams[hello.stream] = Stream(origin, sink.progress(origin))
        streams.move_to_end(hello.stream)
        while len(streams) > STREAMS_PER_AGENT_MAX:
            streams.popitem(last=False)
        row = connection.row = self.fleet.row(host)
        column = self.fleet.column
        column("connected")[row] = True
        column("seen")[row] = True
        column("absent_until_s")[row] = 0.0
        column("offset_s")[row] = skew_ms / 1000.0
        self.intake.counters.connects += 1
        self.heard(row)
        self._report_row(row)
        return stream

    def heard(self, row: int) -> None:
        """A host gave a sign of life."""
        self.fleet.column("heard_s")[row] = self._clock.monotonic()

    def took_frame(self, row: int, ts_ms: int) -> None:
        """A fresh frame of a host was written."""
        fleet = self.fleet
        fleet.column("heard_s")[row] = self._clock.monotonic()
        fleet.column("received")[row] += 1
        newest = fleet.column("newest_ms")
        if ts_ms > newest[row]:
            newest[row] = ts_ms

    def told_status(self, connection: Connection, status: m.Status) -> None:
        """An agent told how it is: how much it made, what waits, what it dropped."""
        column, row = self.fleet.column, connection.row
        self.fleet.told_dropped(row, status.dropped_frames)
        column("backlog_frames")[row] = status.spool_frames
        column("spool_bytes")[row] = status.spool_bytes
        column("offset_s")[row] = status.offset_ms / 1000.0

    def told_bye(self, connection: Connection, bye: m.Bye) -> None:
        """An agent goes on purpose."""
        until = self._clock.monotonic() + min(max(bye.back_in_s, 0.0), 3600.0)
        self.fleet.column("absent_until_s")[connection.row] = until

    def crossed(self, connection: Connection, crossing: m.Crossing) -> None:
        """A tripwire of an agent was crossed; its stamp is put on our clock."""
        if self._on_crossing is not None:
            offset_ms = round(float(self.fleet.column("offset_s")[connection.row]) * 1000)
            at_ms = crossing.time_ms + offset_ms
            self._on_crossing(connection.identity.host, replace(crossing, time_ms=at_ms))

    def opened(self, connection: Connection, hello: m.Hello) -> None:
        """A session is open: say what to watch."""
        if self.tripwires is not None and TRIPWIRES_CAPABILITY in hello.capabilities:
            connection.takes_tripwires = True
            connection.send(m.pack(self.tripwires(connection.identity.host)))
        self.desk.greet(connection, hello.capabilities)

    def push_desired(self, hosts: Collection[str]) -> None:
        """What these hosts should run has changed: tell those that are connected."""
        told = [c for c in self._connections.values() if c.takes and c.identity.host in hosts]
        if told:
            task = asyncio.ensure_future(self.desk.push(told))
            self._tasks.append(task)
            task.add_done_callback(self._tasks.remove)

    def push_tripwires(self) -> None:
        """The tripwires have changed: tell every agent, a slice at a time."""
        if self._pushing is not None:
            self._pushing.cancel()
        self._pushing = asyncio.ensure_future(self._push_tripwires())

    async def _push_tripwires(self) -> None:
        assert self.tripwires is not None
        for number, connection in enumerate(list(self._connections.values()), 1):
            if connection.takes_tripwires and connection.session.phase is Phase.OPEN:
                connection.send(m.pack(self.tripwires(connection.identity.host)))
            if number % ACKS_PER_SLICE == 0:
                await asyncio.sleep(0)

    def refused(self, connection: Connection, error: ProtocolError) -> None:
        """A connection broke the protocol, or is sent away."""
        self.intake.counters.refuse(error.code)
        if error.code == "busy":
            self._strained(LEDGER)
        if error.code not in ("stopping", "fenced"):
            log.warning(
                "agent_refused", host=connection.identity.host, code=error.code, text=error.text
            )

    def series_refused(self, host: str, why: str) -> None:
        """The store takes no more series of a host: what is over the limit is not stored."""
        log.error("series_over_limit", host=host, why=why)

    def schema_over_budget(self, identity: Identity, series: int, size: int) -> OverBudget | None:
        """What keeps a new schema of an agent from being learned; None if nothing does."""
        over = self._schema_budgets.take(identity.agent_id, series, size, self.monotonic())
        if over is not None and over.tell:
            log.error(
                "schemas_over_limit", host=identity.host, limit=over.limit,
                most=LIMITS[over.limit],
                why="its series change so often that their lists fill the store; frames of the new "
                "ones are passed over for now",
            )  # fmt: skip
        return over

    def disconnected(self, connection: Connection) -> None:
        """A connection ended. The host is silent from this moment, unless a newer one took over."""
        agent_id = connection.identity.agent_id
        if self._connections.get(agent_id) is not connection:
            return
        del self._connections[agent_id]
        if connection.row >= 0:
            self.fleet.column("connected")[connection.row] = False
            self._report_row(connection.row)

    def drop_agent(self, agent_id: str) -> None:
        """An agent was revoked: hang up, and report its host no more."""
        connection = self._connections.get(agent_id)
        if connection is not None:
            self.fleet.forget(connection.identity.host)
            connection.refuse(ProtocolError("unauthorized", "the identity was revoked"))

    def push(self, agent_id: str, message: m.Message) -> bool:
        """Send a message to an agent if it is connected."""
        connection = self._connections.get(agent_id)
        if connection is None or connection.session.phase is not Phase.OPEN:
            return False
        connection.send(m.pack(message))
        return True

    def seen(self) -> dict[str, int]:
        """When hosts gave their last sign of life, in ms since the epoch."""
        offset_s = self._clock.now() - self._clock.monotonic()
        seen = np.flatnonzero(self.fleet.column("seen")[: len(self.fleet.names)])
        heard = self.fleet.column("heard_s")[seen]
        stamps = ((heard + offset_s) * 1000).astype(np.int64).tolist()
        names = self.fleet.names
        return {names[row]: ms for row, ms in zip(seen.tolist(), stamps, strict=True)}

    @property
    def connected(self) -> int:
        """How many agents are connected."""
        return len(self._connections)

    # enrolment ---------------------------------------------------------------------------------------

    def enrol(self, connection: EnrolConnection, ask: m.Enrol) -> None:
        """Make a new agent, off the loop."""
        task = asyncio.ensure_future(self._enrol(connection, ask))
        self._enrolling.add(task)
        task.add_done_callback(self._enrolling.discard)

    async def _enrol(self, connection: EnrolConnection, ask: m.Enrol) -> None:
        try:
            identity, secret = await asyncio.to_thread(
                self.identities.enrol, connection.token, ask.host, ask.facts
            )
            root = await asyncio.to_thread(self._root)
        except EnrolmentRefused as error:
            log.warning("enrolment_refused", host=ask.host[:64], why=str(error))
            connection.answer(m.Error("enrolment", str(error)))
            return
        log.info("enrolled", host=identity.host, agent_id=identity.agent_id)
        connection.answer(m.Enrolled(identity.agent_id, secret, identity.host, self._ca_pem, root))

    # the fleet's series --------------------------------------------------------------------------------

    async def _report(self) -> None:
        seconds = 0
        while True:
            wait_s = 1.0 - self._clock.now() % 1.0
            due_s = self._clock.monotonic() + wait_s
            await asyncio.sleep(wait_s)
            if self._clock.monotonic() - due_s > LOOP_LATE_S:
                await asyncio.sleep(LOOP_LATE_S)  # what hosts sent meanwhile is read first
            seconds += 1
            if seconds % COMPLETENESS_STEP_S == 0:
                self.fleet.step()
            # the whole second as the stamp: a regular grid costs the store nothing
            self._write_rows(None, round(self._clock.now()) * 1000)

    async def _watch(self) -> None:
        """A host that hangs or is cut off is news in that tenth of a second, not at the next report."""
        while True:
            due_s = self._clock.monotonic() + SILENCE_LOOK_S
            await asyncio.sleep(SILENCE_LOOK_S)
            now_s = self._clock.monotonic()
            if now_s - due_s > LOOP_LATE_S:
                continue
            turned = self.fleet.turned(now_s)
            if len(turned) > ROWS_ONE_BY_ONE_MAX:
                self._write_rows(None, self.wall_ms())
                if self._on_written is not None:
                    self._on_written()
                continue
            for row in turned:
                self._report_row(row)

    def _report_row(self, row: int) -> None:
        """Report one host out of turn: a lost connection is news now, not in a second."""
        self._write_rows(row, self.wall_ms())
        if self._on_written is not None:
            self._on_written()

    def _write_rows(self, only: int | None, ts_ms: int) -> None:
        sink = self.intake.sink
        missing = self._series.missing(self.fleet)
        if missing:
            self._series.learn(sink.resolve(missing))
        rows, table = self.fleet.samples(self._clock.monotonic(), self.wall_ms(), only)
        if not len(rows):
            return
        refs = self._series.of(rows)
        stamps: Times = np.full(refs.size, ts_ms, np.int64)
        sink.write(refs.ravel(), stamps, np.ascontiguousarray(table).ravel())
        self.intake.wrote()
        assert refs.shape[1] == len(SERIES)


def _answer(status: int, body: bytes, headers: dict[str, str] | None = None) -> Any:
    if status == 200:
        response = WSUpgradeResponse.create_ok_response(body)
    else:
        response = WSUpgradeResponse.create_error_response(status, body, headers)
    return WSUpgradeResponseWithListener(response, None)
