"""Prometheus remote write, 1.0 and 2.0.

The fast path of 1.0: a sender writes one sample per series, so each encoded series is its labels,
the same bytes every time, and a tail of 18 bytes (`12 10 09 <f64> 10 <6-byte varint>`), or of 9
where the value is zero, which proto3 leaves out (`12 07 10 <varint>`). The labels' bytes are the
key of a dictionary to the series' number; all tails are decoded at once. A key gets into the
dictionary only through a full parse that proved exactly one sample behind it, so a body of any
other shape costs a parse and never a wrong sample.

Sources: the specifications "Prometheus Remote-Write 1.0" and "2.0" (prometheus.io/docs/specs).
"""

from __future__ import annotations

import struct

import cramjam
import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from vezha.legacy.batch import SampleBatch, batch_of, joined
from vezha.legacy.errors import BadBody, BodyTooLarge, UnknownFormat
from vezha.legacy.limits import UNPACKED_BYTES_MAX
from vezha.legacy.protobuf import RawWrite, Request2, TimeSeries
from vezha.legacy.series import SeriesTable, sorted_labels
from vezha.store.remote_encode import TS_MAX, TS_MIN, varint

VALUE_TAIL = 18
ZERO_TAIL = 9
_F64 = struct.Struct("<d")
PROTO_1 = "prometheus.WriteRequest"
PROTO_2 = "io.prometheus.write.v2.Request"


def unpack_body(body: bytes, encoding: str) -> bytes:
    """A body unpacked. Raises BadBody, BodyTooLarge, UnknownFormat."""
    if encoding in ("", "identity"):
        return body
    if encoding == "snappy":
        if _snappy_size(body) > UNPACKED_BYTES_MAX:
            raise BodyTooLarge(f"unpacks to over {UNPACKED_BYTES_MAX} bytes")
        try:
            return bytes(cramjam.snappy.decompress_raw(body))
        except cramjam.DecompressionError as error:
            raise BadBody(f"not snappy: {error}") from None
    raise UnknownFormat(f"content encoding {encoding[:40]!r}: snappy is meant")


def _snappy_size(body: bytes) -> int:
    """The size that a snappy block says it unpacks to (format description, section 1)."""
    size = 0
    for i, byte in enumerate(body[:5]):
        size |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return size
    raise BadBody("not snappy: no length")


def message_of(content_type: str) -> str:
    """Which message a content type means. Raises UnknownFormat."""
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() not in ("", "application/x-protobuf"):
        raise UnknownFormat(f"content type {kind[:60]!r}: application/x-protobuf is meant")
    for parameter in parameters.split(";"):
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "proto":
            value = value.strip('"')
            if value not in (PROTO_1, PROTO_2):
                raise UnknownFormat(f"proto {value[:60]!r} is not known")
            return value
    return PROTO_1


class RemoteWrite:
    """Decodes requests; remembers the labels that it saw."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._by_prefix: dict[bytes, int] = {}
        self._generation = table.generation

    def decode(self, unpacked: bytes) -> SampleBatch:
        """A 1.0 request. Raises BadBody."""
        if self._generation != self._table.generation:
            self._by_prefix.clear()
            self._generation = self._table.generation
        request = RawWrite()
        try:
            request.ParseFromString(unpacked)
        except DecodeError:
            raise BadBody("not a prometheus.WriteRequest") from None
        blobs: list[bytes] = list(request.timeseries)
        find = self._by_prefix.get
        found = list(map(find, [blob[:-VALUE_TAIL] for blob in blobs]))
        fast = [i for i, number in enumerate(found) if number is not None]
        batches = []
        rest: list[bytes] = []
        if fast:
            if len(fast) == len(blobs):
                numbers, chosen = found, blobs
            else:
                numbers = [found[i] for i in fast]
                chosen = [blobs[i] for i in fast]
            tails = np.frombuffer(b"".join([b[-VALUE_TAIL:] for b in chosen]), np.uint8)
            batch, good = _values(np.array(numbers, np.uint32), tails.reshape(-1, VALUE_TAIL))
            batches.append(batch)
            rest += [chosen[i] for i in np.flatnonzero(~good).tolist()]
        if len(fast) < len(blobs):
            missed = [blobs[i] for i, number in enumerate(found) if number is None]
            zero = list(map(find, [blob[:-ZERO_TAIL] for blob in missed]))
            known = [i for i, number in enumerate(zero) if number is not None]
            if known:
                tails = np.frombuffer(b"".join([missed[i][-ZERO_TAIL:] for i in known]), np.uint8)
                batch, good = _zeros(
                    np.array([zero[i] for i in known], np.uint32), tails.reshape(-1, ZERO_TAIL)
                )
                batches.append(batch)
                rest += [missed[known[i]] for i in np.flatnonzero(~good).tolist()]
            rest += [missed[i] for i, number in enumerate(zero) if number is None]
        if rest:
            batches.append(self._parse(rest))
        return joined(batches)

    def _parse(self, blobs: list[bytes]) -> SampleBatch:
        """The slow way, which teaches the fast one."""
        numbers: list[int] = []
        stamps: list[int] = []
        values: list[float] = []
        left_out: dict[str, int] = {}
        series = TimeSeries()
        for blob in blobs:
            try:
                series.ParseFromString(blob)
            except DecodeError:
                raise BadBody("a time series cannot be read") from None
            number = self._table.number(
                sorted_labels([(label.name, label.value) for label in series.labels])
            )
            samples = series.samples
            for sample in samples:
                numbers.append(number)
                stamps.append(sample.timestamp)
                values.append(sample.value)
            for kind in ("histograms", "exemplars"):
                count = len(getattr(series, kind))
                if count:
                    left_out[kind] = left_out.get(kind, 0) + count
            if len(samples) == 1 and not left_out:
                self._learn(blob, samples[0].value, samples[0].timestamp, number)
        batch = batch_of(numbers, stamps, values)
        batch.left_out = left_out
        return batch

    def _learn(self, blob: bytes, value: float, timestamp: int, number: int) -> None:
        """Remember the labels' bytes if the sample is the tail, whole, and nothing else is."""
        if not TS_MIN <= timestamp <= TS_MAX:
            return
        stamp = b"\x10" + varint(timestamp)
        for tail in (b"\x12\x10\x09" + _F64.pack(value) + stamp, b"\x12\x07" + stamp):
            if not blob.endswith(tail) or (len(tail) == ZERO_TAIL and value != 0.0):
                continue
            # the rest must be labels and nothing else: parse it alone
            labels = TimeSeries()
            try:
                labels.ParseFromString(blob[: -len(tail)])
            except DecodeError:
                continue
            if not labels.samples and not labels.histograms and not labels.exemplars:
                self._by_prefix[blob[: -len(tail)]] = number
                return

    def decode_2(self, unpacked: bytes) -> SampleBatch:
        """A 2.0 request. Raises BadBody."""
        request = Request2()
        try:
            request.ParseFromString(unpacked)
        except DecodeError:
            raise BadBody("not an io.prometheus.write.v2.Request") from None
        symbols = list(request.symbols)
        if not symbols or symbols[0] != "":
            raise BadBody("the first symbol must be the empty string")
        numbers: list[int] = []
        stamps: list[int] = []
        values: list[float] = []
        left_out: dict[str, int] = {}
        for series in request.timeseries:
            refs = list(series.labels_refs)
            if len(refs) % 2 or any(ref >= len(symbols) for ref in refs):
                raise BadBody("a series' label references are odd, or beyond the symbols")
            pairs = [(symbols[refs[i]], symbols[refs[i + 1]]) for i in range(0, len(refs), 2)]
            number = self._table.number(sorted_labels(pairs))
            for sample in series.samples:
                numbers.append(number)
                stamps.append(sample.timestamp)
                values.append(sample.value)
            for kind in ("histograms", "exemplars"):
                count = len(getattr(series, kind))
                if count:
                    left_out[kind] = left_out.get(kind, 0) + count
        batch = batch_of(numbers, stamps, values)
        batch.left_out = left_out
        return batch


Good = npt.NDArray[np.bool_]


def _values(
    numbers: npt.NDArray[np.uint32], tails: npt.NDArray[np.uint8]
) -> tuple[SampleBatch, Good]:
    """Tails with a value, uint8[n, 18]: the batch of those that fit, and which do."""
    good = (
        (tails[:, 0] == 0x12)
        & (tails[:, 1] == 0x10)
        & (tails[:, 2] == 0x09)
        & (tails[:, 11] == 0x10)
        & _is_varint6(tails[:, 12:])
    )
    kept = tails if good.all() else tails[good]
    values = np.ascontiguousarray(kept[:, 3:11]).view("<f8").reshape(-1)
    stamps = _varint6(kept[:, 12:])
    return SampleBatch(numbers[good], stamps, values.astype(np.float64)), good


def _zeros(
    numbers: npt.NDArray[np.uint32], tails: npt.NDArray[np.uint8]
) -> tuple[SampleBatch, Good]:
    """Tails of zeros, uint8[n, 9]."""
    good = (
        (tails[:, 0] == 0x12)
        & (tails[:, 1] == 0x07)
        & (tails[:, 2] == 0x10)
        & _is_varint6(tails[:, 3:])
    )
    kept = tails[good]
    stamps = _varint6(kept[:, 3:])
    return SampleBatch(numbers[good], stamps, np.zeros(len(kept))), good


def _is_varint6(digits: npt.NDArray[np.uint8]) -> Good:
    fits: Good = (digits[:, :5] >= 0x80).all(axis=1) & (digits[:, 5] < 0x80)
    return fits


def _varint6(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    weights = np.int64(1) << (7 * np.arange(6, dtype=np.int64))
    total: npt.NDArray[np.int64] = (digits & 0x7F).astype(np.int64) @ weights
    return total
