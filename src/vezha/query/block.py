"""Values between the nodes of a query: blocks of [series x steps], scalars, strings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Times, Values
from vezha.model.labels import Labels
from vezha.query.errors import EvaluationError
from vezha.query.labelcolumn import EMPTY, LabelColumn

Mask = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]


def not_none(hists: Objects) -> Mask:
    """Where an object column holds histograms."""
    mask: Mask = np.not_equal(hists, None).astype(np.bool_)  # type: ignore[call-overload]
    return mask


def only(hists: Objects | None, keep: Mask) -> Objects | None:
    """The histograms where *keep* is true; None where none is left."""
    if hists is None:
        return None
    out = hists.copy()
    out[~keep] = None
    return out if not_none(out).any() else None


SAME_LABELSET = "vector cannot contain metrics with the same labelset"


@dataclass(slots=True)
class Block:
    """An instant vector at every step: `values` float64[series, steps].

    `present` (bool, same shape) says where a float sample is: NaN is a value, absence is not.
    `hists` (object, same shape, or None) holds native histograms where there are any; a cell
    has a float or a histogram or nothing, never both.
    """

    labels: LabelColumn
    values: Values
    present: Mask
    hists: Objects | None = None

    @staticmethod
    def empty(steps: int) -> Block:
        """No series."""
        return Block(EMPTY, np.empty((0, steps)), np.empty((0, steps), np.bool_))

    @property
    def shape(self) -> tuple[int, int]:
        """(series, steps)."""
        return self.values.shape[0], self.values.shape[1]

    def hist_mask(self) -> Mask:
        """Where histograms are."""
        if self.hists is None:
            return np.zeros(self.values.shape, np.bool_)
        return not_none(self.hists)

    def any_mask(self) -> Mask:
        """Where a sample of either kind is."""
        return self.present if self.hists is None else self.present | self.hist_mask()

    def with_labels(self, labels: LabelColumn) -> Block:
        """The same samples under other labels."""
        return Block(labels, self.values, self.present, self.hists)

    def floats_only(self) -> Block:
        """Without histograms."""
        return self if self.hists is None else Block(self.labels, self.values, self.present)

    def take(self, rows: npt.NDArray[np.int64]) -> Block:
        """Only some rows."""
        hists = self.hists[rows] if self.hists is not None else None
        return Block(self.labels.take(rows), self.values[rows], self.present[rows], hists)

    def compact(self) -> Block:
        """Without rows that have no sample at all."""
        keep = self.any_mask().any(axis=1)
        if keep.all():
            return self
        return self.take(np.flatnonzero(keep))


@dataclass(slots=True)
class Scalar:
    """A number at every step: float64[steps]."""

    values: Values


@dataclass(slots=True)
class Text:
    """A string literal."""

    text: str


Value = Block | Scalar | Text


@dataclass(slots=True)
class Samples:
    """Raw samples in flat columns: series i owns `[offsets[i]:offsets[i+1]]`, no stale markers.

    `ts` int64 ms, `values` float64, `hists` object or None (there, a histogram sample). With
    `rolled` rows are stretches of samples, see `SeriesData`; only functions that ask for them
    ever see them. `starts` (int64 ms, 0 unknown): when the counter of each sample began.
    """

    labels: LabelColumn
    ts: Times
    values: Values
    offsets: npt.NDArray[np.int64]
    hists: Objects | None = None
    rolled: dict[str, Values] | None = None
    starts: Times | None = None

    def __len__(self) -> int:
        return len(self.labels)


def merge_rows(block: Block, final: bool = False) -> Block:
    """Rows with equal labels made one: as they are, or (*final*) as the answer shows them.

    Raises EvaluationError where both have a sample at one step.
    """
    if block.labels.unique(final):
        return block
    block = block.compact()
    if block.labels.unique(final):
        return block
    keys = block.labels.final() if final else block.labels.sets
    drops = [False] * len(keys) if final else list(block.labels.drops())
    first: dict[Labels, int] = {}
    rows: list[int] = []
    values, present = block.values.copy(), block.present.copy()
    hists = block.hists.copy() if block.hists is not None else None
    mask = block.any_mask()
    filled = mask.copy()
    for row, labels in enumerate(keys):
        into = first.setdefault(labels, row)
        if into == row:
            rows.append(row)
            continue
        here = mask[row]
        if (filled[into] & here).any():
            raise EvaluationError(SAME_LABELSET)
        values[into][here] = block.values[row][here]
        present[into] |= block.present[row]
        filled[into] |= here
        drops[into] = drops[into] or drops[row]
        if hists is not None and block.hists is not None:
            hists[into][here] = block.hists[row][here]
    labels_out = LabelColumn([keys[r] for r in rows], [drops[r] for r in rows])
    at = np.asarray(rows, np.int64)
    return Block(labels_out, values[at], present[at], hists[at] if hists is not None else None)
