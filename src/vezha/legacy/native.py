"""Native histograms of remote write and OTLP, as samples of their parts (`model.native`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from vezha.legacy.errors import BadBody
from vezha.legacy.limits import NATIVE_BUCKETS_MAX
from vezha.legacy.series import SeriesTable
from vezha.model.labels import Labels
from vezha.model.native import (
    CUSTOM_SCHEMA,
    PART_LABEL,
    SCHEMA_MAX,
    SCHEMA_MIN,
    NativeSample,
    coarser,
    parts_of,
)

_GAUGE = 3


class NativeRows:
    """Numbers of the series that parts of histograms go to."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._numbers: dict[tuple[Labels, str], int] = {}
        self._generation = table.generation

    def rows(self, labels: Labels, sample: NativeSample) -> list[tuple[int, float]]:
        """(series' number, value) of each part."""
        if self._generation != self._table.generation:
            self._numbers.clear()
            self._generation = self._table.generation
        found = []
        for part, value in parts_of(sample):
            number = self._numbers.get((labels, part))
            if number is None:
                whole = tuple(sorted((*labels, (PART_LABEL, part))))
                number = self._numbers[labels, part] = self._table.number(whole)
            found.append((number, value))
        return found


def of_remote_write(message: Any) -> NativeSample | None:
    """A sample of a `Histogram` message, 1.0 or 2.0 alike; None of a schema that is not known.

    Raises BadBody where buckets and spans do not fit each other.
    """
    sample = NativeSample(
        schema=message.schema,
        count=float(message.count_int or message.count_float),
        sum=message.sum,
        threshold=message.zero_threshold,
        zero=float(message.zero_count_int or message.zero_count_float),
        positive=_buckets(message.positive_spans, message.positive_deltas, message.positive_counts),
        negative=_buckets(message.negative_spans, message.negative_deltas, message.negative_counts),
        bounds=tuple(message.custom_values),
        gauge=message.reset_hint == _GAUGE,
    )
    if sample.schema == CUSTOM_SCHEMA:
        bounds = sample.bounds
        if len(bounds) > NATIVE_BUCKETS_MAX or list(bounds) != sorted(set(bounds)):
            raise BadBody("a histogram's custom bounds do not ascend, or are too many")
        if sample.negative or any(not 0 <= i <= len(bounds) for i in sample.positive):
            raise BadBody("a histogram has buckets beyond its custom bounds")
        return sample
    return fitted(sample)


def of_exposition(shape: Any, *, gauge: bool) -> NativeSample | None:
    """A sample of a scraped `Histogram` message; None of a schema that is not known.

    Raises BadBody where buckets and spans do not fit each other.
    """
    return fitted(
        NativeSample(
            schema=shape.schema,
            count=float(shape.sample_count or shape.sample_count_float),
            sum=shape.sample_sum,
            threshold=shape.zero_threshold,
            zero=float(shape.zero_count or shape.zero_count_float),
            positive=_buckets(shape.positive_span, shape.positive_delta, shape.positive_count),
            negative=_buckets(shape.negative_span, shape.negative_delta, shape.negative_count),
            gauge=gauge,
        )
    )


def fitted(sample: NativeSample) -> NativeSample | None:
    """The sample in a schema that is stored; None where there is none."""
    if SCHEMA_MAX < sample.schema <= 52:
        shift = sample.schema - SCHEMA_MAX
        return replace(
            sample,
            schema=SCHEMA_MAX,
            positive=coarser(sample.positive, shift),
            negative=coarser(sample.negative, shift),
        )
    return sample if SCHEMA_MIN <= sample.schema <= SCHEMA_MAX else None


def _buckets(
    spans: Iterable[Any], deltas: Sequence[int], counts: Sequence[float]
) -> dict[int, float]:
    """Counts by index: integers as differences to the bucket before, or floats as they are."""
    sizes = [(span.offset, span.length) for span in spans]
    total = sum(length for _, length in sizes)
    if total != len(deltas) + len(counts) or (deltas and counts) or total > NATIVE_BUCKETS_MAX:
        raise BadBody("a histogram's spans do not fit its buckets, or they are too many")
    buckets: dict[int, float] = {}
    index, running, at = 0, 0, 0
    for place, (offset, length) in enumerate(sizes):
        if place and offset < 0:
            raise BadBody("a histogram's spans overlap")
        index += offset
        for _ in range(length):
            if deltas:
                running += deltas[at]
                count = float(running)
            else:
                count = counts[at]
            if count < 0:
                raise BadBody("a histogram's bucket is below zero")
            buckets[index] = count
            index, at = index + 1, at + 1
    return buckets


def of_otlp(point: Any) -> NativeSample | None:
    """A sample of an `ExponentialHistogramDataPoint`; None of a scale that is too coarse."""
    sides: list[dict[int, float]] = []
    for side in (point.positive, point.negative):
        if len(side.bucket_counts) > NATIVE_BUCKETS_MAX:
            raise BadBody("an exponential histogram has too many buckets")
        # OTLP's bucket i ends where Prometheus's bucket i + 1 does
        sides.append({side.offset + 1 + i: float(n) for i, n in enumerate(side.bucket_counts) if n})
    return fitted(
        NativeSample(
            schema=point.scale,
            count=float(point.count),
            sum=point.sum,
            threshold=point.zero_threshold,
            zero=float(point.zero_count),
            positive=sides[0],
            negative=sides[1],
        )
    )
