"""Prometheus remote write, 1.0 and 2.0.

The fast path of 1.0 has three steps, each falling back to the next. A request that repeats an
earlier one is known by one comparison (`label_memory`). One that repeats it in parts is cut
without parsing (`write_request`), and known in stretches, or series by series by their labels'
bytes. Any other is parsed. Bytes get into the memory only through a parse that proved them to be
labels and nothing else, so a body of any other shape costs time and never a wrong sample.

Sources: the specifications "Prometheus Remote-Write 1.0" and "2.0" (prometheus.io/docs/specs).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import cramjam
import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from vezha.legacy import protobuf
from vezha.legacy.batch import Rows, SampleBatch, joined
from vezha.legacy.errors import BadBody, BodyTooLarge, UnknownFormat
from vezha.legacy.label_memory import LabelMemory
from vezha.legacy.limits import SERIES_KNOWN_MAX, UNPACKED_BYTES_MAX
from vezha.legacy.native import NativeRows, of_remote_write
from vezha.legacy.protobuf import RawWrite, Request2, TimeSeries
from vezha.legacy.series import SeriesTable, sorted_labels
from vezha.legacy.templates import Templates
from vezha.legacy.write_request import (
    I64,
    U8,
    VALUE_TAIL,
    ZERO_TAIL,
    Cut,
    blank,
    cut,
    restore,
    times_of,
    values_of,
    words_of,
)
from vezha.model.exemplar import Exemplar
from vezha.model.labels import METRIC_NAME, Labels, get_label
from vezha.model.metadata import METRIC_KINDS, MetricMetadata, family_of
from vezha.store.remote_encode import TS_MAX, TS_MIN, varint

_HISTOGRAMS, _EXEMPLARS, _METADATA = 3, 4, 5
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


def unpack_array(body: bytes, encoding: str) -> U8:
    """The same as an array that may be written to, uint8[n]."""
    if encoding != "snappy":
        return np.frombuffer(bytearray(unpack_body(body, encoding)), np.uint8)
    size = _snappy_size(body)
    if size > UNPACKED_BYTES_MAX:
        raise BodyTooLarge(f"unpacks to over {UNPACKED_BYTES_MAX} bytes")
    data = np.empty(size, np.uint8)
    try:
        written = cramjam.snappy.decompress_raw_into(body, data.data) if size else 0
    except cramjam.DecompressionError as error:
        raise BadBody(f"not snappy: {error}") from None
    if written != size:
        raise BadBody("not snappy: it unpacks to another length than it says")
    return data


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
        self._memory = LabelMemory()
        self._native = NativeRows(table)
        self._symbols: tuple[list[str], dict[tuple[int, ...], tuple[int, Labels]]] = ([], {})
        self._symbols_generation = table.generation
        self._templates = Templates()
        self._templates_generation = table.generation
        self._generation = table.generation

    def decode(self, data: U8) -> SampleBatch:
        """A 1.0 request, uint8[n], which is written over. Raises BadBody."""
        if self._generation != self._table.generation or len(self._memory) > SERIES_KNOWN_MAX:
            self._memory.clear()
            self._generation = self._table.generation
        place = self._place_of_first(data)
        if place >= 0:
            whole = self._memory.whole(data, place)
            if whole is not None:
                return SampleBatch(*whole)
        found = cut(data)
        if found is None:
            return self._by_blobs(data.tobytes())
        words, ends, zero = words_of(data), found.ends, found.zero
        last = words[ends - 8]
        values = values_of(words, ends, zero)
        blank(words, ends, zero)
        numbers, worth = self._memory.stretches(data, found, self._number_of)
        unknown = np.flatnonzero(numbers < 0).tolist()
        if worth and not unknown:
            self._memory.learn(data, found, numbers)
        elif unknown:
            self._learn_others(data, found, numbers)
        of_samples = np.repeat(numbers, np.diff(found.first))
        batch = SampleBatch(of_samples.astype(np.uint32), times_of(last), values)
        if not unknown:
            return batch
        restore(words, ends, zero, values, last)
        stop = np.append(found.start[1:], len(data))
        rest = [data[found.labels_at[r] : stop[r]].tobytes() for r in unknown]
        known = of_samples >= 0
        batch = SampleBatch(batch.numbers[known], batch.ts_ms[known], values[known])
        return joined([batch, self._parse(rest)])

    def _place_of_first(self, data: U8) -> int:
        """Where the memory has the request's first series, if it has one sample; or -1."""
        head = data[:5].tobytes()
        if len(head) < 5 or head[0] != 0x0A:
            return -1
        size, at = head[1] & 0x7F, 2
        while head[at - 1] >= 0x80 and at < 5:
            size |= (head[at] & 0x7F) << (7 * (at - 1))
            at += 1
        blob = data[at : at + size].tobytes()
        number = self._memory.number(blob[:-VALUE_TAIL])
        if number < 0:
            number = self._memory.number(blob[:-ZERO_TAIL])
        return -1 if number < 0 else self._memory.place(number)

    def _number_of(self, labels: bytes) -> int | None:
        """The number of a series by its labels' bytes; None if they are not labels and nothing
        else. Raises BadBody."""
        number = self._memory.number(labels)
        if number < 0:
            series = TimeSeries()
            try:
                series.ParseFromString(labels)
            except DecodeError:
                return None
            if series.samples or series.histograms or series.exemplars:
                return None
            pairs = [(label.name, label.value) for label in series.labels]
            number = self._table.number(sorted_labels(pairs))
            self._memory.name(labels, number)
        return number

    def _learn_others(self, data: U8, found: Cut, numbers: I64) -> None:
        """Remember the known series of a request that is not learned as a whole."""
        for r in np.flatnonzero(numbers >= 0).tolist():
            labels = data[found.labels_at[r] : found.labels_end[r]].tobytes()
            if self._memory.number(labels) < 0:
                self._memory.learn_one(labels, int(numbers[r]))

    def _by_blobs(self, unpacked: bytes) -> SampleBatch:
        """The way of requests that cannot be cut."""
        request = RawWrite()
        try:
            request.ParseFromString(unpacked)
        except DecodeError:
            raise BadBody("not a prometheus.WriteRequest") from None
        blobs: list[bytes] = list(request.timeseries)
        find = self._memory.all_numbers
        found = find([blob[:-VALUE_TAIL] for blob in blobs]).tolist()
        fast = [i for i, number in enumerate(found) if number >= 0]
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
            missed = [blobs[i] for i, number in enumerate(found) if number < 0]
            zero = find([blob[:-ZERO_TAIL] for blob in missed]).tolist()
            known = [i for i, number in enumerate(zero) if number >= 0]
            if known:
                tails = np.frombuffer(b"".join([missed[i][-ZERO_TAIL:] for i in known]), np.uint8)
                batch, good = _zeros(
                    np.array([zero[i] for i in known], np.uint32), tails.reshape(-1, ZERO_TAIL)
                )
                batches.append(batch)
                rest += [missed[known[i]] for i in np.flatnonzero(~good).tolist()]
            rest += [missed[i] for i, number in enumerate(zero) if number < 0]
        if rest:
            batches.append(self._parse(rest))
        batch = joined(batches)
        batch.metadata += _metadata(request.metadata)
        return batch

    def _parse(self, blobs: list[bytes]) -> SampleBatch:
        """The slow way, which teaches the fast one."""
        rows = Rows()
        series = TimeSeries()
        for blob in blobs:
            try:
                series.ParseFromString(blob)
            except DecodeError:
                raise BadBody("a time series cannot be read") from None
            labels = sorted_labels([(label.name, label.value) for label in series.labels])
            samples, histograms = series.samples, series.histograms
            if samples or not histograms:
                number = self._table.number(labels)
                for sample in samples:
                    rows.put(number, sample.timestamp, sample.value)
                if len(samples) == 1 and not histograms and not series.exemplars:
                    self._learn(blob, samples[0].value, samples[0].timestamp, number)
            self._put_histograms(rows, labels, histograms)
            for one in series.exemplars:
                own = sorted_labels([(label.name, label.value) for label in one.labels])
                rows.exemplars.append(_exemplar(labels, own, one))
        return rows.batch()

    def _put_histograms(self, rows: Rows, labels: Labels, histograms: Iterable[Any]) -> None:
        for message in histograms:
            sample = of_remote_write(message)
            if sample is None:
                rows.leave_out("histograms", 1)
            else:
                rows.put_histogram(self._native.rows(labels, sample), message.timestamp)

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
                self._memory.learn_one(blob[: -len(tail)], number)
                return

    def decode_2(self, data: U8) -> SampleBatch:
        """A 2.0 request, uint8[n]. Raises BadBody."""
        if self._templates_generation != self._table.generation:
            self._templates.clear()
            self._templates_generation = self._table.generation
        batch = self._templates.find(data)
        if batch is None:
            batch = self._parse_2(data.tobytes())
            self._templates.learn(data, batch, self._parse_2)
        return batch

    def _parse_2(self, unpacked: bytes) -> SampleBatch:
        request = Request2()
        try:
            request.ParseFromString(unpacked)
        except DecodeError:
            raise BadBody("not an io.prometheus.write.v2.Request") from None
        symbols = list(request.symbols)
        if not symbols or symbols[0] != "":
            raise BadBody("the first symbol must be the empty string")
        rows = Rows()
        known = self._symbols
        if known[0] != symbols:
            known = self._symbols = (symbols, {})
        by_refs = known[1]
        if self._symbols_generation != self._table.generation:
            self._symbols_generation = self._table.generation
            by_refs.clear()
        starts = histogram_starts = 0
        described: dict[tuple[str, MetricMetadata], None] = {}
        for series in request.timeseries:
            refs = tuple(series.labels_refs)
            found = by_refs.get(refs)
            if found is None:
                labels = sorted_labels(_pairs(refs, symbols))
                found = by_refs[refs] = (self._table.number(labels), labels)
            number, labels = found
            created = series.created_timestamp  # as drafts of 2.0 told it, for all of its samples
            for sample in series.samples:
                start = sample.start_timestamp or created
                rows.put(number, sample.timestamp, sample.value, start)
                starts += start != 0
            # by what is there: asking for each field of each series would take longer
            for field, value in series.ListFields():
                if field.number == _HISTOGRAMS:
                    self._put_histograms(rows, labels, value)
                    histogram_starts += sum(h.start_timestamp != 0 for h in value)
                elif field.number == _EXEMPLARS:
                    for one in value:
                        own = sorted_labels(_pairs(one.labels_refs, symbols))
                        rows.exemplars.append(_exemplar(labels, own, one))
                elif field.number == _METADATA:
                    described[_described(labels, value, symbols)] = None
        rows.leave_out("start_timestamps", starts)
        rows.leave_out("histogram_start_timestamps", histogram_starts)
        rows.metadata += described
        return rows.batch()


def _pairs(refs: Sequence[int], symbols: list[str]) -> list[tuple[str, str]]:
    """Names and values by their references. Raises BadBody."""
    if len(refs) % 2 or any(ref >= len(symbols) for ref in refs):
        raise BadBody("a series' label references are odd, or beyond the symbols")
    return [(symbols[refs[i]], symbols[refs[i + 1]]) for i in range(0, len(refs), 2)]


def _exemplar(series: Labels, own: Labels, message: Any) -> Exemplar:
    return Exemplar(series, own, message.value, message.timestamp)


def _metadata(blobs: Iterable[bytes]) -> list[tuple[str, MetricMetadata]]:
    """Metadata of 1.0, by family. Raises BadBody."""
    found = []
    message = protobuf.MetricMetadata()
    for blob in blobs:
        try:
            message.ParseFromString(blob)
        except DecodeError:
            raise BadBody("metadata cannot be read") from None
        if message.metric_family_name:
            about = MetricMetadata(_kind(message.type), message.help, message.unit)
            found.append((message.metric_family_name, about))
    return found


def _described(labels: Labels, message: Any, symbols: list[str]) -> tuple[str, MetricMetadata]:
    """The family of a series of 2.0, and what its metadata say. Raises BadBody."""
    if message.help_ref >= len(symbols) or message.unit_ref >= len(symbols):
        raise BadBody("metadata's references are beyond the symbols")
    kind = _kind(message.type)
    about = MetricMetadata(kind, symbols[message.help_ref], symbols[message.unit_ref])
    return family_of(get_label(labels, METRIC_NAME), kind), about


def _kind(number: int) -> str:
    return METRIC_KINDS[number] if 0 <= number < len(METRIC_KINDS) else METRIC_KINDS[0]


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
