"""A remote-write 1.0 request cut into series and samples without parsing it.

Senders write a sample as the last fields of its series: 18 bytes (`12 10 09 <f64> 10 <6-byte
varint>`), or 9 where the value is zero, which proto3 leaves out (`12 07 10 <varint>`). All such
tails are found at once by their rare byte (09 or 07); what lies between the tails are series'
headers and labels. Then each header must give just the length that was found, from the first byte
to the last. So a cut is either right about where each series begins and ends, or there is none
(`None`: parse it). Whether the bytes before a tail are labels and nothing else is not known here.

Source of the format: "Prometheus Remote-Write 1.0" and the Protocol Buffers encoding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Times, Values

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

VALUE_TAIL = 18
ZERO_TAIL = 9
# the last 8 bytes of a tail: value's last byte (or 07), tag 10, six bytes of time
_VARINT_BITS = np.uint64(0x8080_8080_8080_0000)
_VARINT_FITS = np.uint64(0x0080_8080_8080_0000)
_TAG_BITS, _TAG_FITS = np.uint64(0xFF00), np.uint64(0x1000)
_TIME_BITS = np.uint64(0xFFFF_FFFF_FFFF_0000)
_BLANK_VALUE, _BLANK_ZERO = np.uint64(0x1000), np.uint64(0x1007)


@dataclass(slots=True)
class Cut:
    """Where things are, in bytes from the request's start.

    Series r has `start[r]`, its labels' bytes `[labels_at[r], labels_end[r])`, and the samples
    `first[r] : first[r + 1]`, which are never none. Sample s ends at `ends[s]` and is a zero
    without a value where `zero[s]`.
    """

    start: I64
    labels_at: I64
    labels_end: I64
    first: I64
    ends: I64
    zero: Flags


def words_of(data: U8) -> U64:
    """The 8 bytes from each place on, uint64[len(data) - 7], without copying."""
    return np.ndarray((len(data) - 7,), np.dtype("<u8"), data, strides=(1,))


def cut(data: U8) -> Cut | None:
    """Cut a request, uint8[n]; None where it is of any other shape."""
    size = len(data)
    if size < ZERO_TAIL + 2:
        return None
    words = words_of(data)
    nine = places(data, 0x09)
    nine = nine[(nine >= 2) & (nine + 16 <= size)]
    nine = nine[(data[nine - 1] == 0x10) & (data[nine - 2] == 0x12)] + 16
    seven = places(data, 0x07)
    seven = seven[(seven >= 1) & (seven + 8 <= size)]
    seven = seven[(data[seven + 1] == 0x10) & (data[seven - 1] == 0x12)] + 8
    ends = np.concatenate([nine, seven])
    zero = np.zeros(len(ends), np.bool_)
    zero[len(nine) :] = True
    good = times_fit(words[ends - 8])
    follows = data[np.minimum(ends, size - 1)]
    good &= (ends == size) | (follows == 0x0A) | (follows == 0x12)
    ends, zero = ends[good], zero[good]
    if len(seven):
        # of two that end together the one with a value goes first, and the other goes below
        order = np.argsort(2 * ends + zero, kind="stable")
        ends, zero = ends[order], zero[order]
    if not len(ends) or ends[-1] != size:
        return None
    before = np.empty_like(ends)  # where the sample before ends
    before[0], before[1:] = 0, ends[:-1]
    tails = ends - np.where(zero, ZERO_TAIL, VALUE_TAIL)
    over = tails < before
    if over.any():
        keep = ~over
        ends, zero, tails = ends[keep], zero[keep], tails[keep]
        before[0], before[1 : len(ends)] = 0, ends[:-1]
        before = before[: len(ends)]
        if (tails < before).any() or ends[-1] != size:
            return None
    firsts = np.flatnonzero(tails > before)
    if firsts[0] != 0:
        return None
    start, labels_end = before[firsts], tails[firsts]
    stop = np.append(start[1:], size)
    length = data[start + 1].astype(np.int64)
    header = np.full(len(start), 2, np.int64)
    for digit in (1, 2, 3):
        more = np.flatnonzero(length >> (7 * digit))
        if not len(more):
            break
        # the continuation bit of the digit before is there, and gives way to the next digit
        length[more] += (data[start[more] + 1 + digit].astype(np.int64) - 1) << (7 * digit)
        header[more] += 1
    labels_at = start + header
    if (
        (data[start] != 0x0A).any()
        or (labels_at + length != stop).any()
        or (labels_end < labels_at).any()
    ):
        return None
    return Cut(start, labels_at, labels_end, np.append(firsts, len(ends)), ends, zero)


def places(data: U8, byte: int) -> I64:
    """Where *byte* is, int64 ascending; made for bytes that are rare."""
    whole = len(data) // 8 * 8
    found = data == byte
    near = np.flatnonzero(found[:whole].view(np.uint64))
    inside = np.flatnonzero(found[:whole].reshape(-1, 8)[near])
    places: I64 = 8 * near[inside >> 3] + (inside & 7)
    if whole < len(data):
        places = np.concatenate([places, np.flatnonzero(found[whole:]) + whole])
    return places


def times_fit(last: U64) -> Flags:
    """Which of the last 8 bytes of tails have a tag and a time of six bytes."""
    fits: Flags = ((last & _VARINT_BITS) == _VARINT_FITS) & ((last & _TAG_BITS) == _TAG_FITS)
    return fits


def times_of(last: U64) -> Times:
    """The times, int64 ms, of the last 8 bytes of tails."""
    stamps = last & _TIME_BITS
    if len(stamps) and bool((stamps == stamps[0]).all()):
        return np.full(len(stamps), _varint6(stamps[:1])[0])
    return _varint6(stamps)


def _varint6(stamps: U64) -> Times:
    total = np.zeros(len(stamps), np.uint64)
    for digit in range(6):
        part = (stamps >> np.uint64(16 + 8 * digit)) & np.uint64(0x7F)
        total |= part << np.uint64(7 * digit)
    return total.view(np.int64)


def blank(words: U64, ends: I64, zero: Flags) -> None:
    """Take values and times out of the tails, so that equal series have equal bytes."""
    if zero.any():
        words[ends[~zero] - 15] = 0
        words[ends - 8] = np.where(zero, _BLANK_ZERO, _BLANK_VALUE)
    else:
        words[ends - 15] = 0
        words[ends - 8] = _BLANK_VALUE


def restore(words: U64, ends: I64, zero: Flags, values: Values, last: U64) -> None:
    """Undo `blank`: *values* (float64) and *last* (the last 8 bytes) as they were taken."""
    words[ends[~zero] - 15] = values[~zero].view(np.uint64)
    words[ends - 8] = last


def values_of(words: U64, ends: I64, zero: Flags) -> Values:
    """The values, float64."""
    if not zero.any():
        return words[ends - 15].view(np.float64)
    values = np.zeros(len(ends))
    values[~zero] = words[ends[~zero] - 15].view(np.float64)
    return values
