"""Both ends of the channel over real sockets: restarts, cuts, full disks, nothing lost or doubled."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from vezha.access.certificate import ensure_certificates, fingerprint
from vezha.agent.dial import server_of
from vezha.agent.enrol import enrol
from vezha.agent.errors import AgentError
from vezha.agent.identity import Identity as AgentIdentity
from vezha.agent.identity import load_identity
from vezha.agent.launcher.limits import PROBE_SLOW
from vezha.agent.launcher.probe import probe_main
from vezha.agent.link import Link
from vezha.agent.spool import Spool
from vezha.gateway import schema_budget
from vezha.gateway.admission import Admission
from vezha.gateway.limits import SCHEMA_SERIES_PER_HOUR, SCHEMAS_PER_HOUR, STRAIN_KEPT_S
from vezha.gateway.listener import Gateway
from vezha.gateway.schema_budget import OverBudget, SchemaBudgets
from vezha.gateway.sink import EnrolmentRefused, Identity, SeriesRefused
from vezha.model.labels import Labels, metric
from vezha.testing.sink import MemoryLayout, MemorySink
from vezha.wire.frame import pack_frame
from vezha.wire.schema import pack_schema
from vezha.world import World

SERIES = (metric("node_load1"), metric("node_load5"))


class Book:
    """Identities in memory."""

    def __init__(self) -> None:
        self.secrets = {"a1": ("secret-1", "db-1")}
        self.told: list[Mapping[str, Any]] = []

    def check(self, agent_id: str, secret: str) -> Identity | None:
        known = self.secrets.get(agent_id)
        return Identity(agent_id, known[1]) if known and known[0] == secret else None

    def enrol(self, token: str, host: str, facts: Mapping[str, Any]) -> tuple[Identity, str]:
        if token != "once":
            raise EnrolmentRefused("the token is unknown, used or expired")
        self.secrets["a2"] = ("secret-2", host)
        return Identity("a2", host), "secret-2"

    def state_told(self, identity: Identity, version: str, facts: Mapping[str, Any]) -> None:
        self.told.append(facts)


class Server:
    """A gateway on a thread of its own, which can be stopped or killed and started again."""

    def __init__(
        self, sink: MemorySink, tls: ssl.SSLContext | None = None, ca_pem: str = ""
    ) -> None:
        self.sink = sink
        self.book = Book()
        self.tls = tls
        self.ca_pem = ca_pem
        self.port = 0
        self.admission: Admission | None = None
        self.gateway: Gateway | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        ready = threading.Event()
        self._loop = loop = asyncio.new_event_loop()

        async def begin() -> None:
            self.gateway = Gateway(
                self.sink, self.book, World(), ca_pem=self.ca_pem, admission=self.admission
            )
            self.gateway.intake._interval_s = 0.02
            self.port = await self.gateway.start("127.0.0.1", self.port, self.tls)
            ready.set()

        def run() -> None:
            beginning = loop.create_task(begin())
            loop.run_forever()
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0.01))
            assert beginning.done()
            loop.close()

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert ready.wait(10)

    def call(self, function: Callable[[Gateway], Any]) -> Any:
        """Run *function* on the gateway's loop."""
        assert self._loop is not None
        assert self.gateway is not None

        async def on_loop() -> Any:
            return function(self.gateway)  # type: ignore[arg-type]

        return asyncio.run_coroutine_threadsafe(on_loop(), self._loop).result(10)

    def stop(self) -> None:
        assert self._loop is not None
        assert self.gateway is not None
        assert self._thread is not None
        asyncio.run_coroutine_threadsafe(self.gateway.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def kill(self) -> None:
        """End without any good-bye and without a last commit."""
        assert self._loop is not None
        assert self.gateway is not None
        assert self._thread is not None
        gateway = self.gateway

        async def abort() -> None:
            for task in gateway._tasks:
                task.cancel()
            if gateway._server is not None:
                gateway._server.close()
            for connection in list(gateway._connections.values()):
                if connection._transport is not None:
                    connection._transport.disconnect(False)

        asyncio.run_coroutine_threadsafe(abort(), self._loop).result(10)
        time.sleep(0.02)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        gateway.intake._thread.shutdown()
        self.sink.crash()


class Host:
    """An agent without its collectors."""

    def __init__(self, server: Server, folder: Path, **how: Any) -> None:
        self.world = World()
        self.spool = Spool(self.world, str(folder), 1 << 24, 1e9)
        self.said: list[str] = []
        self.link = Link(
            self.world,
            server_of(f"127.0.0.1:{server.port}", **({"plaintext": True} | how)),
            AgentIdentity("a1", "secret-1", "db-1", ""),
            self.spool,
            lambda: {"os": "test"},
            self.said.append,
        )
        self.schema_id, packed = pack_schema(SERIES)
        self.spool.put_schema(self.schema_id, packed)
        self.thread = threading.Thread(target=self.link.run)
        self.produced: set[int] = set()

    def start(self) -> None:
        self.thread.start()

    def sample(self, n: int = 1) -> None:
        for _ in range(n):
            seq = self.spool.next_seq
            ts_ms = 1_700_000_000_000 + 1000 * (seq & 0xFFFFFF)
            self.spool.append(
                seq, self.schema_id, pack_frame(seq, self.schema_id, ts_ms, [seq % 97, 1.0])
            )
            self.produced.add(seq)
        self.link.nudge()

    def stop(self) -> None:
        self.link.stop()
        self.thread.join(15)
        assert not self.thread.is_alive()
        self.spool.close()


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def _hang_up(gateway: Gateway) -> None:
    transport = gateway._connections["a1"]._transport
    assert transport is not None
    transport.disconnect(False)


@pytest.fixture
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vezha.agent.link.BACKOFF_MAX_S", 0.05)


@pytest.mark.usefixtures("quick_backoff")
def test_nothing_lost_and_nothing_doubled(tmp_path: Path) -> None:
    sink = MemorySink()
    server = Server(sink)
    server.start()
    host = Host(server, tmp_path / "spool")
    host.start()
    for round_ in range(6):
        host.sample(150)
        time.sleep(0.05)
        if round_ % 3 == 0:
            server.kill()
            host.sample(50)
            server.start()
        elif round_ % 3 == 1:
            server.stop()
            host.sample(50)
            server.start()
        else:
            sink.fail_commits = 1
    host.sample(5)
    wait_for(lambda: {s for _, s in sink.frames} == host.produced)
    assert not sink.doubled
    wait_for(lambda: host.spool.waiting(host.link.durable) == 0)
    assert sink.frames[0, 7][1] == (7.0, 1.0)
    host.stop()
    server.stop()


@pytest.mark.usefixtures("quick_backoff")
def test_the_series_of_the_fleet_tell_what_happens(tmp_path: Path) -> None:
    sink = MemorySink()
    server = Server(sink)
    server.start()
    host = Host(server, tmp_path / "spool")
    host.start()
    host.sample(3)
    up = metric("up", instance="db-1", job="node")
    wait_for(lambda: [v for _, v in sink.columns.get(up, [])][-1:] == [1.0])
    wait_for(lambda: server.book.told == [{"os": "test"}])
    # dropped without a good-bye: at once, not at the next second
    server.call(_hang_up)
    wait_for(lambda: 0.0 in [v for _, v in sink.columns[up]], 0.5)
    wait_for(lambda: sink.columns[up][-1][1] == 1.0)
    host.stop()
    absent = metric("vezha_agent_planned_absence", instance="db-1", job="node")
    wait_for(lambda: sink.columns[absent][-1][1] == 1.0)
    server.stop()


def test_a_hanging_agent_is_silent_after_three_seconds(tmp_path: Path) -> None:
    sink = MemorySink()
    server = Server(sink)
    server.start()
    host = Host(server, tmp_path / "spool")
    host.start()
    host.sample(1)
    wait_for(lambda: bool(sink.frames))
    up = metric("up", instance="db-1", job="node")
    server.call(lambda g: g.fleet.column("heard_s").__setitem__(0, g._clock.monotonic() - 3.1))
    wait_for(lambda: sink.columns[up][-1][1] == 0.0)
    host.sample(2)
    wait_for(lambda: sink.columns[up][-1][1] == 1.0)
    host.stop()
    server.stop()


@pytest.mark.usefixtures("quick_backoff")
def test_tls_enrolment_and_revocation(tmp_path: Path) -> None:
    world = World()
    files = ensure_certificates(world, str(tmp_path / "tls"), ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.certificate, files.key)
    ca_pem = Path(files.authority).read_text()
    sink = MemorySink()
    server = Server(sink, context, ca_pem)
    server.start()
    address = f"127.0.0.1:{server.port}"
    print_ = fingerprint(world, files.certificate)
    with pytest.raises(AgentError, match="used or expired"):
        enrol(world, str(tmp_path / "a"), address, "twice", print_)
    with pytest.raises(AgentError, match="fingerprint"):
        enrol(world, str(tmp_path / "a"), address, "once", "00" * 32)
    with pytest.raises(AgentError, match=r"verif|certificate"):
        enrol(world, str(tmp_path / "a"), address, "once", "")
    identity = enrol(world, str(tmp_path / "a"), address, "once", print_, "web-1")
    assert load_identity(world, str(tmp_path / "a")) == identity
    assert (tmp_path / "a" / "identity.json").stat().st_mode & 0o777 == 0o600
    assert identity.secret not in repr(identity)
    host = Host(server, tmp_path / "spool", plaintext=False, ca_pem=identity.ca_pem)
    host.start()
    host.sample(20)
    wait_for(lambda: len(sink.frames) == 20)
    del server.book.secrets["a1"]
    server.call(lambda g: g.drop_agent("a1"))
    wait_for(lambda: any("401" in line for line in host.said))
    host.stop()
    server.stop()


@pytest.mark.usefixtures("quick_backoff")
def test_a_storm_is_admitted_at_its_pace(tmp_path: Path) -> None:
    server = Server(MemorySink())
    server.admission = Admission(per_s=20.0, burst=2.0)
    server.start()
    hosts = [Host(server, tmp_path / f"s{i}") for i in range(6)]
    for i, host in enumerate(hosts):
        server.book.secrets[f"b{i}"] = (f"s{i}", f"h{i}")
        host.link._identity = AgentIdentity(f"b{i}", f"s{i}", f"h{i}", "")
        host.start()
    wait_for(lambda: all(h.link.connected for h in hosts))
    assert any("503" in line for h in hosts for line in h.said)
    for host in hosts:
        host.stop()
    server.stop()


def probed(server: Server) -> int:
    """What a launcher's probe says of that server."""
    return probe_main({"host": "127.0.0.1", "port": server.port, "plaintext": True})


@pytest.mark.usefixtures("quick_backoff")
def test_who_is_told_to_come_later_can_tell_that_from_a_server_that_is_well(tmp_path: Path) -> None:
    server = Server(MemorySink())
    server.start()
    assert probed(server) == 0
    assert server.call(lambda g: g.slowed()) == []
    server.stop()
    # our own gateway turns agents away
    server.admission = Admission(per_s=0.01, burst=0.5)
    server.start()
    host = Host(server, tmp_path / "spool")
    host.start()
    wait_for(lambda: host.link.sent_away)
    assert probed(server) == PROBE_SLOW
    assert server.call(lambda g: g.slowed()) == ["connects"]
    host.stop()
    server.stop()
    with pytest.raises(OSError):
        probed(server)


@pytest.mark.usefixtures("quick_backoff")
def test_a_server_that_cannot_store_says_so(tmp_path: Path) -> None:
    sink = MemorySink()
    server = Server(sink)
    server.start()
    host = Host(server, tmp_path / "spool")
    host.start()
    sink.fail_commits = 1
    host.sample(1)
    wait_for(lambda: probed(server) == PROBE_SLOW)
    assert server.call(lambda g: g.slowed()) == ["commits"]
    # a while after it stores again it is forgotten
    wait_for(lambda: sink.fail_commits == 0 and len(sink.frames) == 1)
    late_s = time.monotonic() + STRAIN_KEPT_S + 1.0
    assert server.call(lambda g: g.strain.reasons(late_s)) == []
    host.stop()
    server.stop()


@pytest.mark.usefixtures("quick_backoff")
def test_the_newest_connection_fences_the_older(tmp_path: Path) -> None:
    sink = MemorySink()
    server = Server(sink)
    server.start()
    first = Host(server, tmp_path / "spool")
    first.start()
    first.sample(3)
    wait_for(lambda: len(sink.frames) == 3)
    second = Host(server, tmp_path / "other")
    second.start()
    second.sample(3)
    wait_for(lambda: any("fenced" in line for line in first.said))
    wait_for(lambda: len(sink.frames) == 6)
    first.stop()
    second.stop()
    server.stop()


@pytest.mark.usefixtures("quick_backoff")
def test_series_over_the_limit_do_not_stop_the_rest(tmp_path: Path) -> None:
    class Full(MemorySink):
        def layout(self, schema_id: int, extra: Labels) -> MemoryLayout:
            if len(self._schemas[schema_id]) == 1:
                raise SeriesRefused("too many series")
            return super().layout(schema_id, extra)

    sink = Full()
    server = Server(sink)
    server.start()
    host = Host(server, tmp_path / "spool")
    host.start()
    host.sample(2)
    over_id, packed = pack_schema((metric("too_much"),))
    host.spool.put_schema(over_id, packed)
    seq = host.spool.next_seq
    host.spool.append(seq, over_id, pack_frame(seq, over_id, 1, [1.0]))
    host.sample(2)
    wait_for(lambda: len(sink.frames) == 4)
    wait_for(lambda: host.spool.waiting(host.link.durable) == 0)
    assert server.call(lambda g: g.intake.counters.refused) == {"series_limit": 1}
    host.stop()
    server.stop()


@pytest.mark.usefixtures("quick_backoff")
def test_schemas_over_the_limit_do_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(schema_budget.LIMITS, "SCHEMAS_PER_HOUR", 3)
    sink = MemorySink()
    server = Server(sink)
    server.start()
    host = Host(server, tmp_path / "spool")
    host.start()
    host.sample(2)

    def sample_pod(number: int) -> None:
        schema_id, packed = pack_schema((metric("pod", n=str(number)),))
        host.spool.put_schema(schema_id, packed)
        seq = host.spool.next_seq
        host.spool.append(seq, schema_id, pack_frame(seq, schema_id, 1, [1.0]))

    for number in range(6):
        sample_pod(number)
    host.sample(2)
    sample_pod(0)  # one that is known costs nothing
    # the host's own schema and two of pods; four of pods are passed over, and nothing waits
    wait_for(lambda: host.spool.waiting(host.link.durable) == 0)
    wait_for(lambda: len(sink.frames) == 7)
    assert server.call(lambda g: g.intake.counters.refused) == {"schema_limit": 4}

    # once there is room again, what was passed over is announced anew
    monkeypatch.setitem(schema_budget.LIMITS, "SCHEMAS_PER_HOUR", 10)
    server.call(drop_budgets)
    sample_pod(5)
    wait_for(lambda: len(sink.frames) == 8)
    host.sample(1)
    wait_for(lambda: len(sink.frames) == 9)
    host.stop()
    server.stop()


def drop_budgets(gateway: Gateway) -> None:
    """As if the hour were over."""
    for connection in gateway._connections.values():
        for schema_id, layout in list(connection._layouts.items()):
            if isinstance(layout, OverBudget):
                connection._layouts[schema_id] = OverBudget(layout.limit, 0.0, False)


def test_a_budget_fills_up_again() -> None:
    budgets = SchemaBudgets()
    for _ in range(SCHEMAS_PER_HOUR):
        assert budgets.take("a", 10, 100, 1_000.0) is None
    over = budgets.take("a", 10, 100, 1_000.0)
    assert over is not None
    assert (over.limit, over.until_s, over.tell) == ("SCHEMAS_PER_HOUR", 1_003.0, True)
    again = budgets.take("a", 10, 100, 1_001.0)
    assert again is not None
    assert not again.tell
    assert budgets.take("b", 10, 100, 1_001.0) is None
    assert budgets.take("a", 10, 100, 1_004.0) is None
    assert budgets.take("d", SCHEMA_SERIES_PER_HOUR, 100, 2_000.0) is None
    many = budgets.take("d", SCHEMA_SERIES_PER_HOUR // 2, 100, 2_000.0)
    assert many is not None
    assert (many.limit, many.until_s) == ("SCHEMA_SERIES_PER_HOUR", 3_800.0)
    assert budgets.take("d", SCHEMA_SERIES_PER_HOUR // 2, 100, 3_800.0) is None
    # one that is larger than all of it may still be announced by who spent nothing
    assert budgets.take("c", 10 * SCHEMA_SERIES_PER_HOUR, 100, 2_000.0) is None
