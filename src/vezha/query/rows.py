"""Rows of a matrix with their text, cut and put together: how an answer moves on by some steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from vezha.model.columns import Times, Values
from vezha.model.labels import Labels
from vezha.query.block import Mask
from vezha.query.rowtexts import cut_texts, joined_texts, row_texts


@dataclass(frozen=True, slots=True)
class Rows:
    """As in `Result`: `times` int64 ms [steps]; `values` float64 and `present` bool [series, steps];
    `texts` are the rows as they are printed, None as long as they were not. Not to be changed."""

    labels: list[Labels]
    times: Times
    values: Values
    present: Mask
    texts: list[bytes] | None = None

    @property
    def size_bytes(self) -> int:
        """About what they take; labels are counted as if the store had them anyway."""
        texts = 0 if self.texts is None else sum(map(len, self.texts)) + 40 * len(self.texts)
        return int(self.values.nbytes + self.present.nbytes + texts + 64 * len(self.labels))

    def printed(self) -> Rows:
        """With their text."""
        if self.texts is not None:
            return self
        texts = list(chain.from_iterable(row_texts(self.times, self.values, self.present)))
        return replace(self, texts=texts)

    def cut(self, first: int, until: int) -> Rows:
        """The steps [first, until)."""
        texts = self.texts
        if texts is not None:
            texts = cut_texts(texts, self.times, self.present, first, until)
        part = slice(first, until)
        return Rows(
            self.labels, self.times[part], self.values[:, part], self.present[:, part], texts
        )

    def then(self, after: Rows) -> Rows:
        """With the steps of *after*, which come later, behind them; both are printed or none."""
        before = self
        if before.labels != after.labels:
            labels = sorted({*before.labels, *after.labels})
            before, after = before._among(labels), after._among(labels)
        texts = None
        if before.texts is not None and after.texts is not None:
            texts = joined_texts(before.texts, after.texts)
        return Rows(
            before.labels,
            np.concatenate([before.times, after.times]),
            np.concatenate([before.values, after.values], axis=1),
            np.concatenate([before.present, after.present], axis=1),
            texts,
        )

    def _among(self, labels: list[Labels]) -> Rows:
        """As rows of *labels*, all of theirs among them; the others are empty."""
        place = {one: row for row, one in enumerate(labels)}
        at = [place[one] for one in self.labels]
        shape = (len(labels), len(self.times))
        values, present = np.zeros(shape), np.zeros(shape, np.bool_)
        values[at], present[at] = self.values, self.present
        texts = None
        if self.texts is not None:
            texts = [b""] * len(labels)
            for row, text in zip(at, self.texts, strict=True):
                texts[row] = text
        return Rows(labels, self.times, values, present, texts)

    def without_empty(self) -> Rows:
        """Only rows that have a sample."""
        some = self.present.any(axis=1)
        if some.all():
            return self
        rows: list[int] = np.flatnonzero(some).tolist()
        labels = [self.labels[row] for row in rows]
        texts = None if self.texts is None else [self.texts[row] for row in rows]
        return Rows(labels, self.times, self.values[rows], self.present[rows], texts)
