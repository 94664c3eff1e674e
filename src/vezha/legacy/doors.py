"""Doors: one HTTP request of other people's protocols in, one plain answer out.

    POST /api/v1/write                       remote write 1.0 and 2.0 (by content type)
    POST /api/v1/otlp/v1/metrics             OTLP metrics, protobuf or JSON, plain or gzip
    POST /api/v1/import/prometheus           the text format, pushed

Who may is decided before a door is opened. An answer below 300 means durable.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from vezha.legacy.batch import SampleBatch
from vezha.legacy.described import Described
from vezha.legacy.errors import BadBody, BodyTooLarge, NotNow, UnknownFormat
from vezha.legacy.exposition import Exposition
from vezha.legacy.feed import FeedClient
from vezha.legacy.limits import BODY_BYTES_MAX, UNPACKED_BYTES_MAX
from vezha.legacy.otlp import decode_otlp
from vezha.legacy.remote_write import PROTO_2, RemoteWrite, message_of, unpack_array
from vezha.legacy.scrape import Scrapes
from vezha.legacy.series import SeriesTable
from vezha.legacy.started import StartedCounters
from vezha.model.labels import Labels, labels_of
from vezha.world import World


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class DoorCounters:
    """What came through each door since the start."""

    requests: dict[str, int] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


class Doors:
    """All of them, over one feed. One event loop."""

    def __init__(
        self,
        feed_path: str,
        world: World,
        described: Described | None = None,
        zero_at_start: bool = False,
    ) -> None:
        self.described = described
        self.scrapes: Scrapes | None = None
        self.table = SeriesTable()
        self.feed = FeedClient(feed_path, self.table)
        self.counters = DoorCounters()
        self.started = StartedCounters(self.table, zero_at_start)
        self._remote_write = RemoteWrite(self.table)
        self._texts: dict[Labels, Exposition] = {}
        self._world = world

    async def remote_write(self, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> Answer:
        """`POST /api/v1/write`."""

        def decode(data: bytes) -> SampleBatch:
            encoding = headers.get("content-encoding", "snappy").lower()
            unpacked = unpack_array(data, encoding)
            if version_2:
                return self._remote_write.decode_2(unpacked)
            return self._remote_write.decode(unpacked)

        try:
            version_2 = message_of(headers.get("content-type", "")) == PROTO_2
        except BadBody as error:
            return _refusal(error)
        told = "remote_write"
        answer, batch, exemplars = await self._through(told, body, decode)
        if batch is None or not version_2:
            return answer
        written = {
            "X-Prometheus-Remote-Write-Samples-Written": str(len(batch) - batch.parts),
            "X-Prometheus-Remote-Write-Histograms-Written": str(batch.histograms),
            "X-Prometheus-Remote-Write-Exemplars-Written": str(exemplars),
        }
        return Answer(answer.status, answer.body, answer.content_type, written)

    async def otlp(self, headers: Mapping[str, str], body: AsyncIterator[bytes]) -> Answer:
        """`POST /api/v1/otlp/v1/metrics`."""
        content_type = headers.get("content-type", "")
        encoding = headers.get("content-encoding", "").lower()

        def decode(data: bytes) -> SampleBatch:
            return decode_otlp(_gunzip(data, encoding), content_type, self.table)

        answer, batch, _ = await self._through("otlp", body, decode)
        if batch is None:
            return answer
        # an empty ExportMetricsServiceResponse, in the request's own encoding
        is_json = content_type.partition(";")[0].strip().lower() == "application/json"
        return Answer(
            200,
            b"{}" if is_json else b"",
            "application/json" if is_json else "application/x-protobuf",
        )

    async def text(
        self,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes],
        extra: Mapping[str, str] | None = None,
    ) -> Answer:
        """`POST /api/v1/import/prometheus`; *extra* labels are set on every series."""
        labels = labels_of(extra or {})
        reader = self._texts.get(labels)
        if reader is None:
            if len(self._texts) > 10_000:
                self._texts.clear()
            reader = self._texts[labels] = Exposition(self.table, labels)
        now_ms = int(self._world.clock.now() * 1000)
        encoding = headers.get("content-encoding", "").lower()
        openmetrics = "openmetrics" in headers.get("content-type", "")

        def decode(data: bytes) -> SampleBatch:
            return reader.decode(_gunzip(data, encoding), now_ms, openmetrics)

        answer, _, _ = await self._through("text", body, decode)
        return answer

    async def _through(
        self, door: str, body: AsyncIterator[bytes], decode: Callable[[bytes], SampleBatch]
    ) -> tuple[Answer, SampleBatch | None, int]:
        """The answer, what was decoded, and how many exemplars were kept."""
        counters = self.counters
        counters.requests[door] = counters.requests.get(door, 0) + 1
        self.table.make_room(self._world.clock.monotonic())
        whole: SampleBatch | None = None
        try:
            batch = decode(await _read(body))
            whole = self.started.completed(batch)
            batch.left_out = whole.left_out
            refused = await self.feed.write(whole) if len(whole) else 0
            kept = 0 if self.described is None else await self.described.keep(batch)
        except (BadBody, NotNow) as error:
            if whole is not None:
                self.started.forget(whole)
            counters.refused[door] = counters.refused.get(door, 0) + 1
            return _refusal(error), None, 0
        counters.samples[door] = counters.samples.get(door, 0) + len(batch)
        for kind, count in batch.left_out.items():
            counters.left_out[kind] = counters.left_out.get(kind, 0) + count
        if refused:
            text = (
                f"{refused} of {len(batch)} samples are of series over the store's limits "
                "(series_per_source_max of one instance and job, or series_max in all); "
                "`vezha store top` shows who has the most\n"
            )
            return Answer(400, text.encode()), batch, kept
        return Answer(204), batch, kept

    def close(self) -> None:
        """Hang up the feed, close the files."""
        self.feed.close()
        if self.described is not None:
            self.described.close()


def _refusal(error: BadBody | NotNow) -> Answer:
    headers = {"Retry-After": "1"} if isinstance(error, NotNow) else {}
    return Answer(error.status, f"{error}\n".encode(), headers=headers)


async def _read(body: AsyncIterator[bytes]) -> bytes:
    parts = []
    size = 0
    async for part in body:
        size += len(part)
        if size > BODY_BYTES_MAX:
            raise BodyTooLarge(f"the body is over {BODY_BYTES_MAX} bytes")
        parts.append(part)
    return b"".join(parts)


def _gunzip(data: bytes, encoding: str) -> bytes:
    if encoding in ("", "identity"):
        return data
    if encoding != "gzip":
        raise UnknownFormat(f"content encoding {encoding[:40]!r}: gzip or none is meant")
    inflater = zlib.decompressobj(wbits=31)
    try:
        out = inflater.decompress(data, UNPACKED_BYTES_MAX)
    except (zlib.error, gzip.BadGzipFile):
        raise BadBody("not gzip") from None
    if inflater.unconsumed_tail:
        raise BodyTooLarge(f"unpacks to over {UNPACKED_BYTES_MAX} bytes")
    return out
