"""What a sender sent before, so that what it sends again is known by one comparison.

Senders repeat the same series in nearly the same order. The memory keeps the bytes of requests,
one after another, with values and times blanked (`write_request.blank`), and the series' number
of each. A new request that is laid out as a stretch of them is compared with it in one go; where
its layout differs (a value became zero, a series went or came) stretches of it are. Only equal
bytes make a series known, so other requests cost time, never a wrong sample.

These bytes are all that is kept of a series' labels: a hash leads to the series' number, the
number to the place of its bytes, and there it shows whether they are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from vezha.legacy.limits import LABEL_MEMORY_BYTES_MAX
from vezha.legacy.numbers import NumbersByHash
from vezha.legacy.write_request import (
    I64,
    U8,
    VALUE_TAIL,
    ZERO_TAIL,
    Cut,
    Flags,
    blank,
    restore,
    times_fit,
    times_of,
    values_of,
    words_of,
)
from vezha.model.columns import Times, Values
from vezha.store.remote_encode import varint

Numbers = npt.NDArray[np.uint32]
I32 = npt.NDArray[np.int32]
T = TypeVar("T", bound=np.generic)
_STRETCH_MIN, _STRETCH_GROWTH = 64, 8
_ZERO_SAMPLE = b"\x12\x07\x10" + bytes(6)
_ODD_SHARE = 8
"""With more than one of so many series out of place, a request is remembered as it is now."""


class LabelMemory:
    """Requests in the order in which they were learned."""

    def __init__(self, bytes_max: int = LABEL_MEMORY_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._image: U8 = np.empty(0, np.uint8)
        self._bytes = 0
        self._series = 0
        self._samples = 0
        self._start: I32 = np.zeros(1, np.int32)
        self._label_bytes: I32 = np.zeros(0, np.int32)
        self._first: I32 = np.zeros(1, np.int32)
        self._numbers: Numbers = np.zeros(0, np.uint32)
        self._ends: I32 = np.zeros(0, np.int32)
        self._zero: Flags = np.zeros(0, np.bool_)
        self._place: I32 = np.zeros(0, np.int32)
        self._by_hash = NumbersByHash()

    def __len__(self) -> int:
        """How many labels have a number."""
        return len(self._by_hash)

    def place(self, number: int) -> int:
        """Where a series was learned last, or -1."""
        return int(self._place[number]) if number < len(self._place) else -1

    def number(self, labels: bytes) -> int:
        """The number of the series with these labels' bytes, or -1."""
        number = self._by_hash.get(hash(labels))
        return number if number >= 0 and self._has(number, labels) else -1

    def all_numbers(self, labels: list[bytes]) -> I64:
        """The same for many, int64."""
        numbers = self._by_hash.find(np.array(list(map(hash, labels)), np.int64))
        sizes = np.array(list(map(len, labels)), np.int64)
        may = np.flatnonzero((numbers >= 0) & (numbers < len(self._place)))
        place = self._place[numbers[may]]
        may, place = may[place >= 0], place[place >= 0]
        same = self._label_bytes[place] == sizes[may]
        may, end = may[same], self._labels_end(place[same])
        known = np.full(len(labels), -1, np.int64)
        image = self._image.data
        for i, first, last in zip(
            may.tolist(), (end - sizes[may]).tolist(), end.tolist(), strict=True
        ):
            if image[first:last] == labels[i]:
                known[i] = numbers[i]
        return known

    def _labels_end(self, places: npt.NDArray[np.integer[Any]]) -> I64:
        """Where in the image the labels of series end: at the tail of their first sample."""
        first = self._first[places]
        tails = np.where(self._zero[first], ZERO_TAIL, VALUE_TAIL)
        ends: I64 = self._ends[first] - tails
        return ends

    def _has(self, number: int, labels: bytes) -> bool:
        """Whether a series was learned last with just these bytes."""
        place = self.place(number)
        if place < 0 or self._label_bytes[place] != len(labels):
            return False
        end = int(self._labels_end(np.array([place]))[0])
        return self._image[end - len(labels) : end].tobytes() == labels

    def name(self, labels: bytes, number: int) -> None:
        """The number of labels that are about to be learned."""
        self._by_hash.put(hash(labels), number)

    def whole(self, data: U8, place: int) -> tuple[Numbers, Times, Values] | None:
        """The samples of a request that is laid out as the series from *place* on, and is equal
        to them; None if it is not. Leaves *data* as it was then."""
        start = self._start[: self._series + 1]
        begin = int(start[place])
        # of the array's own type, or it would be copied
        stop = int(start.searchsorted(np.int32(begin + len(data))))
        if stop > self._series or start[stop] != begin + len(data):
            return None
        low, high = int(self._first[place]), int(self._first[stop])
        ends: I64 = np.subtract(self._ends[low:high], begin, dtype=np.int64)
        zero = self._zero[low:high]
        words = words_of(data)
        last = words[ends - 8]
        if not times_fit(last).all():
            return None
        values = values_of(words, ends, zero)
        blank(words, ends, zero)
        if not (data == self._image[begin : begin + len(data)]).all():
            restore(words, ends, zero, values, last)
            return None
        numbers = self._numbers[place:stop]
        if high - low != stop - place:
            numbers = np.repeat(numbers, np.diff(self._first[place : stop + 1]))
        return numbers, times_of(last), values

    def stretches(
        self, data: U8, found: Cut, number_of: Callable[[bytes], int | None]
    ) -> tuple[I64, bool]:
        """Numbers of the series of a cut and blanked request, int64, -1 where *number_of* (the
        labels' bytes) says None; and whether it is worth learning."""
        count = len(found.start)
        numbers = np.full(count, -1, np.int64)
        stop = np.append(found.start[1:], len(data))
        sizes, label_bytes = stop - found.start, found.labels_end - found.labels_at
        odd, odd_max = 0, 16 + count // _ODD_SHARE
        at, place, stretch = 0, -1, _STRETCH_MIN
        while at < count and odd <= odd_max:
            if place >= 0:
                same = self._same(data, found, sizes, label_bytes, at, place, stretch)
                if same:
                    numbers[at : at + same] = self._numbers[place : place + same]
                    at, place = at + same, place + same
                    stretch = stretch * _STRETCH_GROWTH if same == stretch else _STRETCH_MIN
                    continue
            odd += 1
            stretch = _STRETCH_MIN
            number = number_of(_labels(data, found, at))
            known = -1 if number is None else self.place(number)
            moved = known >= 0 and known != place
            if moved and self._same(data, found, sizes, label_bytes, at, known, 1):
                place = known  # go on from there
                continue
            if number is not None:
                numbers[at] = number
            at += 1
            if known >= 0:
                place = known + 1  # laid out otherwise; the next is likely to follow as before
        for left in range(at, count):
            number = number_of(_labels(data, found, left))
            if number is not None:
                numbers[left] = number
        return numbers, odd > odd_max or bool((numbers < 0).any())

    def _same(
        self,
        data: U8,
        found: Cut,
        sizes: I64,
        label_bytes: I64,
        at: int,
        place: int,
        stretch: int,
    ) -> int:
        """How many series from *at* on are those from *place* on, at most *stretch*."""
        most = min(stretch, len(sizes) - at, self._series - place)
        if most <= 0:
            return 0
        start = self._start
        alike = sizes[at : at + most] == np.diff(start[place : place + most + 1])
        alike &= label_bytes[at : at + most] == self._label_bytes[place : place + most]
        same = most if alike.all() else int(alike.argmin())
        if not same:
            return 0
        begin, size = int(found.start[at]), int(start[place + same] - start[place])
        old = int(start[place])
        equal = data[begin : begin + size] == self._image[old : old + size]
        if equal.all():
            return same
        wrong = begin + int(equal.argmin())
        return int(np.searchsorted(found.start, wrong, "right")) - 1 - at

    def learn(self, data: U8, found: Cut, numbers: I64) -> None:
        """Remember a blanked request whose series are all known."""
        if self._bytes + len(data) > self._bytes_max:
            self.clear()
            if len(data) > self._bytes_max:
                return
        series, samples = len(found.start), len(found.ends)
        if not len(self._image):
            # room for all at once, of which only what is written takes memory: nothing to copy
            # while it grows, and no older half to free
            self._image = np.empty(self._bytes_max, np.uint8)
        self._image[self._bytes : self._bytes + len(data)] = data
        top = self._series + series
        start = _grown(self._start, top + 1)
        start[self._series : top] = found.start + self._bytes
        start[top] = self._bytes + len(data)
        self._label_bytes = _grown(self._label_bytes, top)
        self._label_bytes[self._series : top] = found.labels_end - found.labels_at
        first = _grown(self._first, top + 1)
        first[self._series : top + 1] = found.first + self._samples
        self._numbers = _grown(self._numbers, top)
        self._numbers[self._series : top] = numbers
        self._ends = _grown(self._ends, self._samples + samples)
        self._ends[self._samples : self._samples + samples] = found.ends + self._bytes
        self._zero = _grown(self._zero, self._samples + samples)
        self._zero[self._samples : self._samples + samples] = found.zero
        highest = int(numbers.max()) + 1
        if highest > len(self._place):
            fresh = np.full(max(highest, 2 * len(self._place)), -1, np.int32)
            fresh[: len(self._place)] = self._place
            self._place = fresh
        self._place[numbers] = np.arange(self._series, top)
        self._start, self._first = start, first
        self._bytes += len(data)
        self._series, self._samples = top, self._samples + samples

    def learn_one(self, labels: bytes, number: int) -> None:
        """Remember a series by its labels' bytes, as if a request with a zero of it had come."""
        header = b"\x0a" + varint(len(labels) + ZERO_TAIL)
        data = np.frombuffer(header + labels + _ZERO_SAMPLE, np.uint8)
        size = len(header) + len(labels)
        start, at, end, last = (np.array([n], np.int64) for n in (0, len(header), size, len(data)))
        found = Cut(start, at, end, np.array([0, 1], np.int64), last, np.ones(1, np.bool_))
        self.learn(data, found, np.array([number], np.int64))
        self.name(labels, number)


def _labels(data: U8, found: Cut, at: int) -> bytes:
    return data[int(found.labels_at[at]) : int(found.labels_end[at])].tobytes()


def _grown(array: npt.NDArray[T], size: int) -> npt.NDArray[T]:
    if size <= len(array):
        return array
    fresh = np.empty(max(size, 2 * len(array)), array.dtype)
    fresh[: len(array)] = array
    return fresh
