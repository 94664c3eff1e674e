"""The feed's receiving end: samples of other contours (remote write, OTLP, scrapes) by columns."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import structlog

from vezha.gateway.intake import Intake
from vezha.gateway.limits import FEED_NUMBERS_MAX
from vezha.gateway.sink import SeriesRefused
from vezha.model.columns import Matcher, MatchOp, Refs, Times, Values
from vezha.wire import feed
from vezha.wire.errors import ProtocolError

log = structlog.get_logger("vezha.feed")


Delete = Callable[[Sequence[Matcher], "int | None", "int | None"], int]


class Feed:
    """Listens on a Unix socket, which only this user can open."""

    def __init__(
        self,
        intake: Intake,
        path: str,
        refusals: tuple[type[Exception], ...] = (SeriesRefused,),
        on_written: Callable[[], None] | None = None,
        delete: Delete | None = None,
    ) -> None:
        """*refusals* are what `FrameSink.resolve` raises where a series is over a limit; *delete*
        takes matchers and bounds (ms) and gives how many series lost samples."""
        self.delete = delete
        self.intake = intake
        self.refusals = refusals
        self.on_written = on_written
        self._path = path
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. Raises OSError."""
        Path(self._path).unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: _Feeder(self), self._path)
        finally:
            os.umask(before)

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        Path(self._path).unlink(missing_ok=True)


class _Feeder(asyncio.Protocol):
    """One connection."""

    def __init__(self, owner: Feed) -> None:
        self._owner = owner
        self._inbox = feed.FeedInbox()
        self._refs: npt.NDArray[np.int32] = np.full(1024, -1, np.int32)
        self._lists: dict[int, Refs] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not of asyncio's class, but do as it says
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._inbox.feed(data):
                self._take(feed.unpack_feed(body))
        except ProtocolError as error:
            log.error("feed_broken", error=str(error))
            if self._transport is not None:
                self._transport.abort()

    def _take(self, message: feed.FeedMessage) -> None:
        if isinstance(message, feed.SeriesAnnounced):
            self._learn(message)
        elif isinstance(message, feed.SamplesFed):
            self._write_samples(message)
        elif isinstance(message, feed.RowsFed):
            self._write_rows(message)
        elif isinstance(message, feed.ListAnnounced):
            self._lists[message.list] = self._refs_of(message.numbers)
        elif isinstance(message, feed.DeleteAsked):
            self._delete(message)
        else:
            raise ProtocolError("unexpected", f"feed: {type(message).__name__}")

    def _learn(self, message: feed.SeriesAnnounced) -> None:
        numbers = np.array([number for number, _ in message.series], np.int64)
        if not len(numbers):
            return
        top = int(numbers.max())
        if top >= FEED_NUMBERS_MAX:
            raise ProtocolError("too_large", f"feed: series number {top}")
        if top >= len(self._refs):
            grown = np.full(max(len(self._refs) * 5 // 4, top + 1), -1, np.int32)
            grown[: len(self._refs)] = self._refs
            self._refs = grown
        sink = self._owner.intake.sink
        try:
            self._refs[numbers] = sink.resolve([labels for _, labels in message.series])
        except self._owner.refusals:
            # one by one, so that only those over the limit stay without a reference
            for number, labels in message.series:
                try:
                    self._refs[number] = sink.resolve([labels])[0]
                except self._owner.refusals as error:
                    log.warning("series_refused", why=str(error))

    def _refs_of(self, raw: memoryview) -> Refs:
        numbers = np.frombuffer(raw, "<u4")
        if len(numbers) and int(numbers.max()) >= len(self._refs):
            raise ProtocolError("bad_message", "feed: a number was never announced")
        refs: Refs = self._refs[numbers].astype(np.int64)
        return refs

    def _write_samples(self, message: feed.SamplesFed) -> None:
        refs = self._refs_of(message.numbers)
        ts_ms = np.frombuffer(message.ts_ms, "<i8").astype(np.int64)
        self._write(message.batch, refs, ts_ms, np.frombuffer(message.values, "<f8"))

    def _write_rows(self, message: feed.RowsFed) -> None:
        refs = self._lists.get(message.list)
        size = 0 if refs is None else 8 * len(refs)
        times = len(message.columns) - size
        if refs is None or times not in (8, size):
            raise ProtocolError("bad_message", "feed: rows do not fit their list")
        ts_ms = np.frombuffer(message.columns[:times], "<i8")
        if times != size:
            ts_ms = np.full(len(refs), ts_ms[0])
        self._write(message.batch, refs, ts_ms, np.frombuffer(message.columns[times:], "<f8"))

    def _write(self, batch: int, refs: Refs, ts_ms: Times, values: Values) -> None:
        known = refs >= 0
        refused = int(len(refs) - np.count_nonzero(known))
        intake = self._owner.intake
        if refused:
            refs, ts_ms, values = refs[known], ts_ms[known], values[known]
        if len(refs):
            intake.sink.write(refs, ts_ms, values)
        intake.when_durable(lambda: self._answer(feed.pack_durable(batch, refused)))
        if self._owner.on_written is not None:
            self._owner.on_written()

    def _delete(self, message: feed.DeleteAsked) -> None:
        if self._owner.delete is None:
            self._answer(feed.pack_refused(message.batch, False, "nothing can be deleted here"))
            return
        try:
            matchers = [Matcher(n, MatchOp(o), v) for n, o, v in message.matchers]
            series = self._owner.delete(matchers, message.start_ms, message.end_ms)
        except (ValueError, OSError) as error:
            self._answer(feed.pack_refused(message.batch, False, str(error)))
            return
        self._answer(feed.pack_deleted(message.batch, series))

    def _answer(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
