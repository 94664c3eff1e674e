"""The feed over a real Unix socket: columns in, an answer once they are durable."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vezha.gateway.feed import Feed
from vezha.gateway.intake import Intake
from vezha.gateway.sink import SeriesRefused
from vezha.model.columns import Matcher, MatchOp, Refs
from vezha.model.labels import Labels, metric
from vezha.testing.sink import MemorySink
from vezha.wire import feed
from vezha.wire.errors import ProtocolError


class Picky(MemorySink):
    def resolve(self, series: Sequence[Labels]) -> Refs:
        if any(("bad", "1") in s for s in series):
            raise SeriesRefused("too many series")
        return super().resolve(series)


def test_columns_arrive_and_are_answered_when_durable(tmp_path: Path) -> None:
    asyncio.run(_columns(tmp_path))


async def _columns(tmp_path: Path) -> None:
    sink = Picky()
    sink.fail_commits = 1
    intake = Intake(sink, lambda: 0, interval_s=0.01)
    deleted: list[object] = []

    def delete(matchers: object, start_ms: int | None, end_ms: int | None) -> int:
        deleted.append((matchers, start_ms, end_ms))
        return 2

    receiver = Feed(intake, str(tmp_path / "f.sock"), delete=delete)
    await receiver.start()
    assert (tmp_path / "f.sock").stat().st_mode & 0o077 == 0
    task = asyncio.create_task(intake.run())
    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "f.sock"))
    series = [(7, metric("a")), (2000, metric("b")), (3, metric("c", bad="1"))]
    writer.write(feed.pack_series(series))
    numbers = np.array([7, 2000, 3, 7], "<u4").tobytes()
    ts_ms = np.array([1, 1, 1, 2], "<i8").tobytes()
    values = np.array([1.5, 2.5, 3.5, 4.5], "<f8").tobytes()
    writer.write(feed.pack_samples(9, 4, numbers, ts_ms, values))
    length = int.from_bytes(await reader.readexactly(4), "little")
    answer = feed.unpack_feed(await reader.readexactly(length))
    assert answer == feed.BatchDurable(9, 1)
    assert sink.columns == {metric("a"): [(1, 1.5), (2, 4.5)], metric("b"): [(1, 2.5)]}
    assert intake.counters.commit_failures == 1
    writer.write(feed.pack_delete(feed.DeleteAsked(11, [("__name__", "=~", "a|b")], 5, None)))
    length = int.from_bytes(await reader.readexactly(4), "little")
    assert feed.unpack_feed(await reader.readexactly(length)) == feed.SeriesDeleted(11, 2)
    assert deleted == [([Matcher("__name__", MatchOp.RE, "a|b")], 5, None)]
    # a list, its series at one time and at one each; and under the same number another list
    for batch, at, told in ((12, [5], [7, 2000, 3]), (13, [6, 7, 8], None), (14, [9], [2000])):
        if told is not None:
            writer.write(feed.pack_list(4, np.array(told, "<u4").tobytes()))
        count = 1 if batch == 14 else 3
        times, column = np.array(at, "<i8").tobytes(), np.arange(count, dtype="<f8").tobytes()
        writer.write(feed.pack_rows(batch, 4, times, column))
        length = int.from_bytes(await reader.readexactly(4), "little")
        answer = feed.unpack_feed(await reader.readexactly(length))
        assert answer == feed.BatchDurable(batch, 0 if batch == 14 else 1)
    assert sink.columns[metric("a")][2:] == [(5, 0.0), (6, 0.0)]
    assert sink.columns[metric("b")][1:] == [(5, 1.0), (7, 1.0), (9, 0.0)]
    # a number that was never announced: the peer is broken, hang up
    writer.write(feed.pack_samples(10, 1, b"\xff\xff\xff\x00", ts_ms[:8], values[:8]))
    assert await reader.read() == b""
    writer.close()
    receiver.stop()
    task.cancel()
    await intake.finish()


@given(st.binary(max_size=60))
def test_rubbish(data: bytes) -> None:
    try:
        for body in feed.FeedInbox().feed(data):
            feed.unpack_feed(body)
        feed.unpack_feed(data)
    except ProtocolError:
        pass
