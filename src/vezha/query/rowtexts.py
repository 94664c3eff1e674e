"""The samples of a matrix's rows as JSON, `[t,"v"],[t,"v"],…`, and how such text moves on.

Rows with samples at the same steps are printed together: all numbers by orjson at once, split, and
joined with times that are made once. A text that is there already is cut and put together instead,
by looking for the time at which a cell begins: no other text in a row begins with a bracket.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from vezha.model.columns import Times, Values
from vezha.query.block import Mask
from vezha.query.limits import BATCH_CELLS, STAMPED_GRIDS, STAMPED_STEPS_MAX
from vezha.query.numbertext import float_texts, time_text


def row_texts(times: Times, values: Values, present: Mask) -> Iterator[list[bytes]]:
    """Each row's samples, some rows at a time; a row without any is empty."""
    few = len(times) <= STAMPED_STEPS_MAX
    begins = _kept_begins(times.tobytes()) if few else _begins(times)
    longest = max(1, BATCH_CELLS // max(1, len(times)))
    if present.all():
        for low in range(0, len(present), longest):
            yield _printed(begins, values[low : low + longest])
        return
    for low, high in _runs(present, longest):
        at = np.flatnonzero(present[low])
        if at.size == len(begins):
            yield _printed(begins, values[low:high])
        else:
            yield _printed([begins[i] for i in at.tolist()], values[low:high, at])


def _begins(times: Times) -> list[bytes]:
    """What stands between two values: the end of a cell, and the next up to its value."""
    return [b'"],[%b,"' % time_text(ts).encode() for ts in times.tolist()]


@lru_cache(STAMPED_GRIDS)
def _kept_begins(times: bytes) -> list[bytes]:
    """The same of int64 as bytes: all charts of a page ask for the same steps. Not to be changed."""
    return _begins(np.frombuffer(times, np.int64))


def _runs(present: Mask, longest: int) -> Iterator[tuple[int, int]]:
    """Ranges of neighbours that have samples at the same steps."""
    rows = len(present)
    other = np.flatnonzero((present[1:] != present[:-1]).any(axis=1)) + 1
    ends = [*other.tolist(), rows] if rows else []
    low = 0
    for end in ends:
        while low < end:
            high = min(end, low + longest)
            yield low, high
            low = high


def _printed(begins: list[bytes], values: Values) -> list[bytes]:
    """Rows that have a sample at each step."""
    rows, steps = values.shape
    if not steps:
        return [b""] * rows
    flat = [b'"]'] * (2 * rows * steps + 1)
    flat[0:-1:2] = [b'"]\n' + begins[0][3:], *begins[1:]] * rows
    flat[1::2] = float_texts(values.ravel())
    flat[0] = begins[0][3:]
    text = b"".join(flat)
    return text.split(b"\n") if rows > 1 else [text]


def cut_texts(
    texts: list[bytes], times: Times, present: Mask, first: int, until: int
) -> list[bytes]:
    """Of the texts of rows with samples where *present* (bool [rows, steps]) those of the steps
    [first, until)."""
    if until < present.shape[1]:
        begins = _first_begins(times, present, until, present.shape[1])
        texts = [
            text[: max(0, text.rfind(begin) - 1)] if begin else text
            for text, begin in zip(texts, begins, strict=True)
        ]
    if first:
        begins = _first_begins(times, present, first, until)
        texts = [
            text[text.find(begin) :] if begin else b""
            for text, begin in zip(texts, begins, strict=True)
        ]
    return texts


def _first_begins(times: Times, present: Mask, since: int, until: int) -> list[bytes]:
    """How each row's first cell in [since, until) begins; empty where it has none."""
    part = present[:, since:until]
    if not part.size:
        return [b""] * len(part)
    at = part.argmax(axis=1)
    at[~part[np.arange(len(part)), at]] = -1
    steps: list[int] = at.tolist()
    begins = {step: b"[%b," % time_text(int(times[since + step])).encode() for step in set(steps)}
    begins[-1] = b""
    return [begins[step] for step in steps]


def joined_texts(before: list[bytes], after: list[bytes]) -> list[bytes]:
    """Texts of the same rows, one after the other."""
    return [b"%b,%b" % (a, b) if a and b else a or b for a, b in zip(before, after, strict=True)]


__all__ = ["cut_texts", "joined_texts", "row_texts"]
