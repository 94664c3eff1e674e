"""The socket driver against a real gateway on loopback: connect, sample, be cut, come back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from vezha.gateway.listener import Gateway
from vezha.gateway.sink import EnrolmentRefused, Identity
from vezha.testing.fleet.inventory import machines
from vezha.testing.fleet.sockets import Credential, SocketFleet
from vezha.testing.sink import MemorySink
from vezha.world import World

HOSTS = 20


class Book:
    """Knows every simulated agent by the right secret."""

    def check(self, agent_id: str, secret: str) -> Identity | None:
        return Identity(agent_id, f"host-{agent_id}") if secret == "right" else None

    def enrol(self, token: str, host: str, facts: Mapping[str, Any]) -> tuple[Identity, str]:
        raise EnrolmentRefused("nobody enrols here")

    def state_told(self, identity: Identity, version: str, facts: Mapping[str, Any]) -> None:
        pass


async def until(condition: Any, seconds: float = 15.0) -> None:
    end = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < end, "waited in vain"
        await asyncio.sleep(0.02)


async def live_through_a_cut() -> None:
    sink = MemorySink()
    gateway = Gateway(sink, Book(), World())
    port = await gateway.start("127.0.0.1", 0, None)
    hosts = machines(HOSTS)
    own = [Credential(f"a{i}", "right") for i in range(HOSTS)]
    fleet = SocketFleet(hosts, own, f"127.0.0.1:{port}", rate=10.0)
    fleet.prepare(5)
    fleet.start()
    assert await fleet.wait_connected(HOSTS, 15.0)
    await until(lambda: len(sink.frames) > 2 * HOSTS)
    fleet.cut(range(5))
    await until(lambda: fleet.connected == HOSTS - 5)
    await asyncio.sleep(0.3)
    fleet.heal(range(5))
    assert await fleet.wait_connected(HOSTS, 15.0)
    await fleet.stop()
    await gateway.stop()
    assert fleet.tally.acked == fleet.tally.made == len(sink.frames)
    assert fleet.waiting() == 0
    assert not sink.doubled
    assert fleet.tally.percentiles_ms()["p50"] > 0
    assert all(len(values) == 100 for _, values in sink.frames.values())


async def be_refused() -> None:
    gateway = Gateway(MemorySink(), Book(), World())
    port = await gateway.start("127.0.0.1", 0, None)
    fleet = SocketFleet(
        machines(20), [Credential(f"a{i}", "wrong") for i in range(20)], f"127.0.0.1:{port}"
    )
    fleet.start()
    await until(lambda: fleet.tally.refusals.get("http_401", 0) >= 20)
    assert fleet.connected == 0
    await fleet.stop()
    await gateway.stop()


@pytest.mark.parametrize("story", [live_through_a_cut, be_refused])
def test_the_fleet_over_sockets(story: Any) -> None:
    asyncio.run(story())
