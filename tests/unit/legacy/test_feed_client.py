"""Both ends of the feed: written means durable, and a data contour that is away is said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from vezha.gateway.feed import Feed
from vezha.gateway.intake import Intake
from vezha.legacy.batch import batch_of
from vezha.legacy.errors import NotNow
from vezha.legacy.feed import FeedClient, _by_sources
from vezha.legacy.limits import SERIES_FORGOTTEN_MIN, SERIES_WINDOW_S
from vezha.legacy.series import SeriesTable
from vezha.model.labels import Labels, metric
from vezha.testing.sink import MemorySink
from vezha.wire.feed import BatchDurable


def test_survives_a_restart_of_the_data_contour(tmp_path: Path) -> None:
    asyncio.run(_restart(tmp_path))


async def _restart(tmp_path: Path) -> None:
    path = str(tmp_path / "feed.sock")
    table = SeriesTable()
    client = FeedClient(path, table)
    a, b = table.number(metric("a")), table.number(metric("b"))
    with pytest.raises(NotNow, match="away"):
        await client.write(batch_of([a], [1], [1.0]))
    for life in range(2):
        sink = MemorySink()
        intake = Intake(sink, lambda: 0, interval_s=0.01)
        receiver = Feed(intake, path)
        await receiver.start()
        task = asyncio.create_task(intake.run())
        assert await client.write(batch_of([a, b], [1, 1], [1.0, 2.0])) == 0
        assert sink.columns == {metric("a"): [(1, 1.0)], metric("b"): [(1, 2.0)]}
        if life == 0:
            client.close()  # as a vanished peer would
            await asyncio.sleep(0.01)
        receiver.stop()
        task.cancel()
        await intake.finish()
    client.close()
    await asyncio.sleep(0.01)


def test_what_is_sent_together_again_is_named_by_a_list(tmp_path: Path) -> None:
    asyncio.run(_lists(tmp_path))


async def _lists(tmp_path: Path) -> None:
    path = str(tmp_path / "feed.sock")
    table = SeriesTable()
    client = FeedClient(path, table)
    numbers = [table.number(metric("m", n=str(i))) for i in range(500)]
    sink = MemorySink()
    intake = Intake(sink, lambda: 0, interval_s=0.001)
    receiver = Feed(intake, path)
    await receiver.start()
    task = asyncio.create_task(intake.run())
    told: dict[str, list[tuple[int, float]]] = {}
    for at in range(700):
        # more lists than are kept, some again, some with another middle, two times or one
        low = at * 7 % 300
        some = numbers[low : low + 100]
        if at % 5 == 0:
            some[50] = numbers[499]
        times = [at + i % 2 if at % 3 == 0 else at for i in range(100)]
        values = [float(at * 100 + i) for i in range(100)]
        assert await client.write(batch_of(some, times, values)) == 0
        for number, ts, value in zip(some, times, values, strict=True):
            told.setdefault(str(number), []).append((ts, value))
    assert sink.columns == {table.labels(int(n)): samples for n, samples in told.items()}
    client.close()
    receiver.stop()
    task.cancel()
    await intake.finish()


def test_too_slow_is_not_now(tmp_path: Path) -> None:
    asyncio.run(_slow(tmp_path))


async def _slow(tmp_path: Path) -> None:
    intake = Intake(MemorySink(), lambda: 0, interval_s=0.01)  # never runs
    receiver = Feed(intake, str(tmp_path / "feed.sock"))
    await receiver.start()
    table = SeriesTable()
    client = FeedClient(str(tmp_path / "feed.sock"), table, timeout_s=0.05)
    with pytest.raises(NotNow, match="in time"):
        await client.write(batch_of([table.number(metric("a"))], [1], [1.0]))
    client.close()
    receiver.stop()
    await intake.finish()


def test_who_is_stopped_as_the_answer_comes_is_stopped(tmp_path: Path) -> None:
    asyncio.run(_stopped(tmp_path))


async def _stopped(tmp_path: Path) -> None:
    intake = Intake(MemorySink(), lambda: 0, interval_s=0.01)  # never runs
    receiver = Feed(intake, str(tmp_path / "feed.sock"))
    await receiver.start()
    table = SeriesTable()
    client = FeedClient(str(tmp_path / "feed.sock"), table)
    writing = asyncio.create_task(client.write(batch_of([table.number(metric("a"))], [1], [1.0])))
    while not client._waiting:
        await asyncio.sleep(0.001)
    (batch,) = client._waiting
    client.answered(BatchDurable(batch, 0))
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    client.close()
    receiver.stop()
    await intake.finish()


def test_new_series_are_told_in_parts_that_end_with_a_source() -> None:
    def series(sizes: list[int]) -> list[tuple[int, Labels]]:
        flat = [(s, i) for s, size in enumerate(sizes) for i in range(size)]
        return [
            (n, metric("m", n=str(i), instance=f"h{s}", job="j")) for n, (s, i) in enumerate(flat)
        ]

    for sizes, expected in (
        ([], []),
        ([1], [1]),
        ([700, 600, 500], [1_300, 500]),
        ([999, 1, 5], [1_000, 5]),
        ([45_000], [20_000, 20_000, 5_000]),
    ):
        parts = list(_by_sources(series(sizes)))
        assert [len(part) for part in parts] == expected
        assert [one for part in parts for one in part] == series(sizes)


def test_dead_series_are_forgotten_and_the_living_told_again(tmp_path: Path) -> None:
    asyncio.run(_dead(tmp_path))


async def _dead(tmp_path: Path) -> None:
    path = str(tmp_path / "feed.sock")
    sink = MemorySink()
    intake = Intake(sink, lambda: 0, interval_s=0.001)
    receiver = Feed(intake, path)
    await receiver.start()
    task = asyncio.create_task(intake.run())
    table = SeriesTable()
    client = FeedClient(path, table)
    names = [metric("m", n=str(i)) for i in range(SERIES_FORGOTTEN_MIN)]
    living = [*names[-100:], *names[:3]]
    told: dict[Labels, list[tuple[int, float]]] = {}

    async def send(some: list[Labels], ts_ms: int) -> None:
        numbers = [table.number(labels) for labels in some]
        assert await client.write(batch_of(numbers, [ts_ms] * len(some), [1.0] * len(some))) == 0
        for labels in some:
            told.setdefault(labels, []).append((ts_ms, 1.0))

    assert not table.make_room(0.0)
    await send(names, 1)
    await send(names[:3], 2)
    # all were sent in the first window
    assert not table.make_room(SERIES_WINDOW_S)
    await send(living[:100], 3)
    await send(living[100:], 4)
    await send(living[:100], 5)
    assert not table.make_room(1.5 * SERIES_WINDOW_S)
    late = asyncio.create_task(client.write(batch_of([table.number(names[9])], [6], [1.0])))
    await asyncio.sleep(0)  # on its way as the memory is begun anew
    assert table.make_room(2 * SERIES_WINDOW_S)
    assert len(table) == 0
    await send(living[50:], 7)
    await send(living[:50], 8)
    assert len(table) == len(living)
    # in the next window everything lives
    assert not table.make_room(3 * SERIES_WINDOW_S)
    await send(living, 9)
    await late
    told[names[9]].append((6, 1.0))
    assert sink.columns == told
    client.close()
    receiver.stop()
    task.cancel()
    await intake.finish()


def test_numbers_of_before_are_not_taken_for_others(tmp_path: Path) -> None:
    asyncio.run(_void(tmp_path))


async def _void(tmp_path: Path) -> None:
    path = str(tmp_path / "feed.sock")
    sink = MemorySink()
    intake = Intake(sink, lambda: 0, interval_s=0.001)
    receiver = Feed(intake, path)
    await receiver.start()
    task = asyncio.create_task(intake.run())
    table = SeriesTable(series_max=1)
    client = FeedClient(path, table)
    # it must dial first, and meanwhile the table is full and gets another series
    writing = asyncio.create_task(client.write(batch_of([table.number(metric("a"))], [1], [1.0])))
    await asyncio.sleep(0)
    assert table.make_room()
    table.number(metric("b"))
    with pytest.raises(NotNow, match="anew"):
        await writing
    assert sink.columns == {}
    client.close()
    receiver.stop()
    task.cancel()
    await intake.finish()
