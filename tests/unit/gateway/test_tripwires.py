"""Tripwires over real sockets: pushed at hello and when they change; crossings come at once."""

from __future__ import annotations

import time
from pathlib import Path

from tests.unit.gateway.test_channel import Host, Server, wait_for

from vezha.gateway.listener import Gateway
from vezha.testing.sink import MemorySink
from vezha.wire import message as m


class Told:
    """A server that keeps what it is told, and an agent that keeps what it is to watch."""

    def __init__(self, folder: Path) -> None:
        self.wires: list[dict[str, object]] = [{"id": "first"}]
        self.crossings: list[tuple[str, m.Crossing]] = []
        self.watched: list[m.Tripwires] = []
        self.server = Server(MemorySink())
        self.server.start()
        self.server.call(self._prepare)
        self.host = Host(self.server, folder / "spool")

    def _prepare(self, gateway: Gateway) -> None:
        gateway.tripwires = lambda host: m.Tripwires(1, [{**w, "host": host} for w in self.wires])
        gateway._on_crossing = lambda host, crossing: self.crossings.append((host, crossing))

    def stop(self) -> None:
        self.host.stop()
        self.server.stop()


def test_pushed_at_hello_and_when_they_change(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.host.link.on_tripwires = told.watched.append
    told.host.start()
    wait_for(lambda: len(told.watched) == 1)
    assert told.watched[0].wires == [{"id": "first", "host": "db-1"}]
    told.wires = []
    told.server.call(lambda gateway: gateway.push_tripwires())
    wait_for(lambda: len(told.watched) == 2)
    assert told.watched[1].wires == []
    told.stop()


def test_an_agent_that_watches_nothing_is_told_nothing(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.host.start()
    wait_for(lambda: told.host.link.connected)
    told.server.call(lambda gateway: gateway.push_tripwires())
    assert not any(c.takes_tripwires for c in told.server.gateway._connections.values())  # type: ignore[union-attr]
    told.stop()


def test_a_crossing_comes_with_our_stamp(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.host.link.on_tripwires = told.watched.append
    told.host.start()
    wait_for(lambda: bool(told.watched))

    def skew(gateway: Gateway) -> None:
        # The host's clock is half a second late.
        gateway.fleet.column("offset_s")[gateway._connections["a1"].row] = 0.5

    told.server.call(skew)
    told.host.link.send_crossing(m.Crossing("first", True, 1_000, 7.5, {"mountpoint": "/"}))
    wait_for(lambda: bool(told.crossings))
    assert told.crossings == [("db-1", m.Crossing("first", True, 1_500, 7.5, {"mountpoint": "/"}))]
    told.stop()


def test_a_crossing_is_not_kept_for_later(tmp_path: Path) -> None:
    told = Told(tmp_path)
    told.host.link.on_tripwires = told.watched.append
    told.host.link.send_crossing(m.Crossing("old", True, 1, 1.0))
    at_s, crossing = told.host.link._urgent.pop()
    told.host.link._urgent.append((at_s - 60.0, crossing))
    told.host.start()
    wait_for(lambda: bool(told.watched))
    told.host.link.send_crossing(m.Crossing("new", True, 1, 1.0))
    wait_for(lambda: bool(told.crossings))
    time.sleep(0.05)
    assert [c.tripwire for _, c in told.crossings] == ["new"]
    told.stop()
