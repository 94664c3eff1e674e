"""What a query gives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from vezha.model.columns import Times, Values
from vezha.model.labels import Labels
from vezha.query.block import Mask, Objects, Samples
from vezha.query.context import QueryStats


class ResultKind(Enum):
    """The Prometheus API's resultType."""

    SCALAR = "scalar"
    STRING = "string"
    VECTOR = "vector"
    MATRIX = "matrix"


@dataclass(slots=True)
class Result:
    """The answer to a query.

    `times` (int64 ms [steps]) are the evaluation times, one for an instant query. `labels` are
    the series; `values` (float64 [series, steps]) and `present` (bool, same shape) their
    samples, `hists` (object, same shape, or None) native histograms. A scalar has one row and
    no labels. `raw` holds the samples of an instant query for a range vector (`up[5m]`), whose
    times differ by series; `text` the string of a string query. `warnings` and `infos` carry
    their positions. `texts` are the samples of a matrix's rows as they are printed (`rowtexts`),
    where these are known.
    """

    kind: ResultKind
    times: Times
    labels: list[Labels]
    values: Values
    present: Mask
    hists: Objects | None = None
    text: str = ""
    raw: Samples | None = None
    texts: list[bytes] | None = None
    warnings: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    stats: QueryStats = field(default_factory=QueryStats)

    @property
    def column(self) -> Values:
        """An instant vector's values, float64 [series]."""
        return self.values[:, 0]

    @property
    def scalar(self) -> float:
        """A scalar's value at the first step."""
        assert self.kind is ResultKind.SCALAR
        return float(self.values[0, 0])

    def items(self) -> Iterator[tuple[Labels, float]]:
        """(labels, value) of the float samples of an instant vector."""
        for row, labels in enumerate(self.labels):
            if self.present[row, 0]:
                yield labels, float(self.values[row, 0])

    def filled(self) -> Values:
        """Values with NaN for absence, float64 [series, steps]."""
        return np.where(self.present, self.values, np.nan)
