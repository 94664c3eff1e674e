"""The feed's sending end: hands columns to the data contour and waits until they are durable."""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import structlog

from vezha.legacy.batch import Numbers, SampleBatch
from vezha.legacy.errors import NotNow
from vezha.legacy.limits import (
    ANNOUNCED_SERIES,
    ANNOUNCED_SERIES_MAX,
    FEED_IN_FLIGHT_SAMPLES_MAX,
    FEED_TIMEOUT_S,
)
from vezha.legacy.series import SeriesTable
from vezha.model.columns import Matcher
from vezha.model.labels import Labels
from vezha.store.index import split_labels
from vezha.wire import feed
from vezha.wire.errors import ProtocolError

log = structlog.get_logger("vezha.legacy")
_LIST_MIN = 64
"""From so many samples on a batch names its series by a list."""


class FeedClient:
    """One connection to the data contour's feed, dialled when needed. One event loop."""

    def __init__(self, path: str, table: SeriesTable, timeout_s: float = FEED_TIMEOUT_S) -> None:
        self._path = path
        self._table = table
        self._timeout_s = timeout_s
        self._announced: npt.NDArray[np.bool_] = np.zeros(1024, np.bool_)
        self._generation = table.generation
        self._lists = _Lists()
        self._noted: tuple[int, set[int]] = (table.window, set())
        """Places of the lists whose series were noted as sent, in that window of the table."""
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._in_flight = 0
        self._batch = 0
        self._transport: asyncio.Transport | None = None
        self._dialling = asyncio.Lock()
        self.samples_total = 0
        self.refused_total = 0

    async def write(self, batch: SampleBatch) -> int:
        """Hand over; returns when the samples are on disk: how many the store refused.

        Raises NotNow where the data contour is away, behind, or takes too long; the sender then
        sends all again, which is harmless, since the store drops what it has.
        """
        refused = 0
        generation = self._table.generation
        for at in range(0, len(batch), feed.FEED_SAMPLES_MAX):
            part = slice(at, at + feed.FEED_SAMPLES_MAX)
            refused += await self._write(
                generation, batch.numbers[part], batch.ts_ms[part], batch.values[part]
            )
        self.samples_total += len(batch)
        self.refused_total += refused
        return refused

    async def _write(
        self,
        generation: int,
        numbers: npt.NDArray[np.uint32],
        ts_ms: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> int:
        count = len(numbers)
        if self._in_flight + count > FEED_IN_FLIGHT_SAMPLES_MAX:
            raise NotNow("too many samples wait to become durable")
        transport = await self._connected()
        if self._table.generation != generation:
            raise NotNow("the memory of series was begun anew meanwhile; send this again")
        self._announce(transport, numbers)
        self._batch += 1
        raw_ts = ts_ms.astype("<i8", copy=False)
        raw_values = values.astype("<f8", copy=False).tobytes()
        if count < _LIST_MIN:
            self._table.note_sent(numbers)
            raw = numbers.astype("<u4", copy=False).tobytes()
            packed = feed.pack_samples(self._batch, count, raw, raw_ts.tobytes(), raw_values)
        else:
            place, fresh = self._lists.place(numbers)
            self._note_list(place, numbers, fresh)
            if fresh:
                raw = numbers.astype("<u4", copy=False).tobytes()
                transport.write(feed.pack_list(place, raw))
            if bool((raw_ts == raw_ts[0]).all()):
                raw_ts = raw_ts[:1]
            packed = feed.pack_rows(self._batch, place, raw_ts.tobytes(), raw_values)
        self._in_flight += count
        try:
            return await self._answer(transport, packed, self._batch)
        finally:
            self._in_flight -= count

    def _note_list(self, place: int, numbers: Numbers, fresh: bool) -> None:
        if self._noted[0] != self._table.window:
            self._noted = (self._table.window, set())
        noted = self._noted[1]
        if fresh or place not in noted:
            noted.add(place)
            self._table.note_sent(numbers)

    async def _answer(self, transport: asyncio.Transport, packed: bytes, batch: int) -> int:
        """Send a message and wait for what is answered to it. Raises NotNow."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[batch] = future
        transport.write(packed)
        try:
            # `wait_for` of Python 3.11 forgets that it was cancelled where the answer is just there
            async with asyncio.timeout(self._timeout_s):
                return await future
        except TimeoutError:
            raise NotNow("the store did not answer in time") from None
        finally:
            self._waiting.pop(batch, None)

    async def delete(
        self, matchers: Sequence[Matcher], start_ms: int | None, end_ms: int | None
    ) -> int:
        """Delete samples of the series that fit in [start, end]; how many series. Raises NotNow."""
        transport = await self._connected()
        self._batch += 1
        batch = self._batch
        rows = [(m.name, m.op.value, m.value) for m in matchers]
        asked = feed.DeleteAsked(batch, rows, start_ms, end_ms)
        return await self._answer(transport, feed.pack_delete(asked), batch)

    def _announce(self, transport: asyncio.Transport, numbers: npt.NDArray[np.uint32]) -> None:
        if self._generation != self._table.generation:
            # numbers mean other series now; the other side overwrites what it knew
            self._generation = self._table.generation
            self._announced[:] = False
            self._lists = _Lists()
        top = int(numbers.max(initial=0))
        if top >= len(self._announced):
            grown = np.zeros(max(2 * len(self._announced), top + 1), np.bool_)
            grown[: len(self._announced)] = self._announced
            self._announced = grown
        new = np.unique(numbers[~self._announced[numbers]]).tolist()
        for part in _by_sources((n, self._table.labels(n)) for n in new):
            transport.write(feed.pack_series(part))
        self._announced[new] = True

    async def _connected(self) -> asyncio.Transport:
        async with self._dialling:
            if self._transport is not None and not self._transport.is_closing():
                return self._transport
            loop = asyncio.get_running_loop()
            try:
                transport, _ = await loop.create_unix_connection(lambda: _Answers(self), self._path)
            except OSError as error:
                raise NotNow(f"the data contour is away: {error.strerror}") from None
            self._transport = transport
            self._announced[:] = False
            self._lists = _Lists()
            return transport

    def answered(self, message: feed.FeedMessage) -> None:
        """A batch is durable, or refused."""
        if isinstance(message, feed.BatchDurable):
            future = self._waiting.get(message.batch)
            if future is not None and not future.done():
                future.set_result(message.refused)
        elif isinstance(message, feed.SeriesDeleted):
            future = self._waiting.get(message.batch)
            if future is not None and not future.done():
                future.set_result(message.series)
        elif isinstance(message, feed.BatchRefused):
            future = self._waiting.get(message.batch)
            if future is not None and not future.done():
                future.set_exception(NotNow(message.text))

    def lost(self) -> None:
        """The connection ended: nobody knows what of the batches in flight is durable."""
        self._transport = None
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(NotNow("the data contour went away"))

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


def _by_sources(series: Iterable[tuple[int, Labels]]) -> Iterator[list[tuple[int, Labels]]]:
    """Series in small parts, since each becomes many objects on the other side for a moment; cut
    between sources, where it can be: the store looks at what a source's first ones have in common."""
    part: list[tuple[int, Labels]] = []
    last: Labels = ()
    for number, labels in series:
        source = split_labels(labels)[1]
        if len(part) >= (ANNOUNCED_SERIES if source != last else ANNOUNCED_SERIES_MAX):
            yield part
            part = []
        part.append((number, labels))
        last = source
    if part:
        yield part


class _Lists:
    """Numbers of series that were sent together, as the other side knows them."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, int, int], tuple[int, Numbers]] = OrderedDict()

    def place(self, numbers: Numbers) -> tuple[int, bool]:
        """The place of a list, and whether the other side must be told it first."""
        key = (len(numbers), int(numbers[0]), int(numbers[-1]))
        known = self._known.get(key)
        if known is not None and np.array_equal(known[1], numbers):
            self._known.move_to_end(key)
            return known[0], False
        if known is not None:
            place = known[0]
        elif len(self._known) < feed.FEED_LISTS_MAX:
            place = len(self._known)
        else:
            _, (place, _) = self._known.popitem(last=False)
        self._known[key] = (place, numbers.copy())
        return place, True


class _Answers(asyncio.Protocol):
    def __init__(self, owner: FeedClient) -> None:
        self._owner = owner
        self._inbox = feed.FeedInbox()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._inbox.feed(data):
                self._owner.answered(feed.unpack_feed(body))
        except ProtocolError as error:
            log.error("feed_broken", error=str(error))
            if self._transport is not None:
                self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        with contextlib.suppress(RuntimeError):
            self._owner.lost()
