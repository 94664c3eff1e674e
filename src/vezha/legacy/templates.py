"""Whole requests that were sent before: what differs is values and times, at known places.

For remote write 2.0, where a series' labels are numbers into the request's own table, so that
nothing but the whole request can be compared. A request is learned only if writing other values
and times into the places that look like samples changes just these samples when it is parsed.
After that, a request that is equal in all other bytes can mean nothing else.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vezha.legacy.batch import Numbers, SampleBatch
from vezha.legacy.limits import TEMPLATE_BYTES_MAX
from vezha.legacy.write_request import (
    I64,
    U8,
    Flags,
    blank,
    places,
    times_fit,
    times_of,
    values_of,
    words_of,
)

_KEY_BYTES = 64
_MARK = np.array([1.25e-300]).view(np.uint64)[0]
_MARK_LAST = np.uint64(0x2081_8283_8485_1000)


@dataclass(frozen=True, slots=True)
class _Template:
    image: U8
    ends: I64
    zero: Flags
    numbers: Numbers
    left_out: dict[str, int]


class Templates:
    """The requests that came last, by their length and their first bytes."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, bytes], _Template] = OrderedDict()
        self._bytes = 0

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self._bytes = 0

    def find(self, data: U8) -> SampleBatch | None:
        """The samples of a request that is known. *data* is left as it was."""
        key = (len(data), data[:_KEY_BYTES].tobytes())
        known = self._known.get(key)
        if known is None:
            return None
        ends, zero = known.ends, known.zero
        copy = data.copy()
        words = words_of(copy)
        last = words[ends - 8]
        if not times_fit(last).all():
            return None
        values = values_of(words, ends, zero)
        blank(words, ends, zero)
        if not (copy == known.image).all():
            return None
        self._known.move_to_end(key)
        return SampleBatch(known.numbers, times_of(last), values, dict(known.left_out))

    def learn(self, data: U8, batch: SampleBatch, parse: Callable[[bytes], SampleBatch]) -> None:
        """Remember a request that was parsed to *batch*, if its samples can be found."""
        if (
            len(data) < _KEY_BYTES
            or batch.histograms
            or batch.exemplars
            or len(data) > TEMPLATE_BYTES_MAX // 8
        ):
            return
        ends, zero = _tails(data)
        if len(ends) != len(batch) or not len(ends):
            return
        marked = data.copy()
        words = words_of(marked)
        last = words[ends - 8]
        words[ends[~zero] - 15] = _MARK
        kept = np.where(zero, np.uint64(0xFF), np.uint64(0))
        words[ends - 8] = (last & kept) | (
            np.where(zero, np.uint64(0), _MARK >> np.uint64(56)) | _MARK_LAST
        )
        expected = np.where(zero, np.uint64(0), _MARK)
        other = parse(marked.tobytes())
        if (
            len(other) != len(batch)
            or not np.array_equal(other.numbers, batch.numbers)
            or not np.array_equal(other.values.view(np.uint64), expected)
            or not np.array_equal(other.ts_ms, times_of(words[ends - 8]))
            or other.left_out != batch.left_out
        ):
            return
        image = data.copy()
        blank(words_of(image), ends, zero)
        key = (len(data), data[:_KEY_BYTES].tobytes())
        old = self._known.pop(key, None)
        self._bytes += len(data) - (0 if old is None else len(old.image))
        self._known[key] = _Template(image, ends, zero, batch.numbers, batch.left_out)
        while self._bytes > TEMPLATE_BYTES_MAX:
            self._bytes -= len(self._known.popitem(last=False)[1].image)


def _tails(data: U8) -> tuple[I64, Flags]:
    """Where what looks like samples ends, and which of them have no value."""
    size, words = len(data), words_of(data)
    nine = places(data, 0x09)
    nine = nine[(nine >= 2) & (nine + 16 <= size)]
    nine = nine[data[nine - 2] == 0x12] + 16
    seven = places(data, 0x07)
    seven = seven[(seven >= 1) & (seven + 8 <= size)]
    seven = seven[data[seven - 1] == 0x12] + 8
    ends = np.concatenate([nine, seven])
    zero = np.zeros(len(ends), np.bool_)
    zero[len(nine) :] = True
    good = times_fit(words[ends - 8])
    ends, zero = ends[good], zero[good]
    order = np.argsort(ends, kind="stable")
    return ends[order], zero[order]
