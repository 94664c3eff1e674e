"""Nudges arrive, get lost without harm, and work in folders with long names."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vezha.server.bus import Bus, socket_path
from vezha.server.limits import UNIX_PATH_BYTES_MAX


def heard_by(listener: Bus, *, by: Bus, topics: list[str]) -> list[str]:
    """What *listener* hears of *topics*; the topic "end" ends it."""

    async def listen() -> list[str]:
        heard: list[str] = []
        done = asyncio.Event()

        def hear(topic: str) -> None:
            heard.append(topic)
            if topic == "end":
                done.set()

        listener.subscribe(hear)
        for topic in topics:
            by.publish(topic)
        async with asyncio.timeout(10):
            await done.wait()
        return heard

    return asyncio.run(listen())


def test_a_nudge_reaches_the_others(tmp_path: Path) -> None:
    data, ops = Bus(tmp_path, "data"), Bus(tmp_path, "ops")
    try:
        assert heard_by(ops, by=data, topics=["alerts", "end"]) == ["alerts", "end"]
        assert data.stats() == {"dropped": 2.0}  # web was not there
    finally:
        data.close()
        ops.close()


def test_equal_nudges_that_wait_together_are_told_once(tmp_path: Path) -> None:
    data, ops = Bus(tmp_path, "data"), Bus(tmp_path, "ops")
    try:
        assert heard_by(ops, by=data, topics=["alerts"] * 5 + ["end"]) == ["alerts", "end"]
    finally:
        data.close()
        ops.close()


def test_a_flood_is_dropped_and_never_blocks(tmp_path: Path) -> None:
    data, ops = Bus(tmp_path, "data"), Bus(tmp_path, "ops")
    try:
        for _ in range(5000):
            data.publish("alerts")
        assert data.stats()["dropped"] > 0
    finally:
        data.close()
        ops.close()


def test_a_socket_left_by_a_crash_is_replaced(tmp_path: Path) -> None:
    first = Bus(tmp_path, "ops")
    second = Bus(tmp_path, "ops")
    data = Bus(tmp_path, "data")
    try:
        assert heard_by(second, by=data, topics=["end"]) == ["end"]
    finally:
        for bus in (first, second, data):
            bus.close()


@pytest.mark.parametrize("depth", [1, 40])
def test_long_folders_get_a_short_alias(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["a long name"] * depth)
    folder.mkdir(parents=True)
    assert len(socket_path(folder, "data").encode()) <= UNIX_PATH_BYTES_MAX
    data, ops = Bus(folder, "data"), Bus(folder, "ops")
    try:
        assert heard_by(ops, by=data, topics=["end"]) == ["end"]
    finally:
        data.close()
        ops.close()


def test_a_failing_subscriber_harms_no_other(tmp_path: Path) -> None:
    data, ops = Bus(tmp_path, "data"), Bus(tmp_path, "ops")
    seen: list[str] = []
    faults: list[object] = []

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: faults.append(context["exception"]))
        done = asyncio.Event()

        def fail(_topic: str) -> None:
            raise RuntimeError

        def hear(topic: str) -> None:
            seen.append(topic)
            done.set()

        ops.subscribe(fail)
        ops.subscribe(hear)
        data.publish("alerts")
        async with asyncio.timeout(10):
            await done.wait()

    try:
        asyncio.run(listen())
    finally:
        data.close()
        ops.close()
    assert seen == ["alerts"]
    assert len(faults) == 1
