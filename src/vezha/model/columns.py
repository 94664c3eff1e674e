"""Columnar samples: how series travel from the store to the query engine. Needs numpy.

Times are int64 milliseconds since the epoch, values float64, everywhere in the server.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from vezha.model.labels import Labels

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Refs = npt.NDArray[np.int64]

STALE_BITS = 0x7FF0000000000002
"""The one NaN that says "this series ended here" (Prometheus, model/value: StaleNaN)."""
STALE_NAN: float = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
NORMAL_NAN_BITS = 0x7FF8000000000001


def is_stale(values: Values) -> npt.NDArray[np.bool_]:
    """True where *values* (float64, any shape) hold the stale marker, compared by bits."""
    stale: npt.NDArray[np.bool_] = values.view(np.uint64) == np.uint64(STALE_BITS)
    return stale


class MatchOp(Enum):
    """How a matcher compares a label's value; regular expressions are anchored (RE2 syntax)."""

    EQ = "="
    NE = "!="
    RE = "=~"
    NRE = "!~"

    __hash__ = object.__hash__
    """Members are single. Every query looks things up by its matchers, so these hash quickly."""


class Matcher(NamedTuple):
    """One condition on a label; an absent label has the empty value."""

    name: str
    op: MatchOp
    value: str


@dataclass(slots=True)
class SeriesData:
    """Some series with their samples, as one set of flat columns.

    `labels[i]` has the samples `ts[offsets[i]:offsets[i+1]]` (int64 ms, strictly increasing
    within a series) and `values[...]` (float64, stale markers kept). `offsets` is int64 of
    length `len(labels) + 1`. `histograms`, where present, is an object array as long as `ts`
    holding a native histogram or None.

    `rolled`, where present, says that rows are not samples but stretches of a series, of which
    `ts` is the time of the last sample. It has columns as long as `ts`: `last`, `sum`, `count`,
    `first`, `span` (ms from the first sample to the last), `lost` (what counter resets within
    took away), as far as the function asked for needs them.

    `starts`, where present, is int64 ms as long as `ts`: when the counter of each sample began
    (its start timestamp), 0 where that is not known.
    """

    labels: list[Labels]
    ts: Times
    values: Values
    offsets: npt.NDArray[np.int64]
    histograms: npt.NDArray[np.object_] | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    rolled: dict[str, Values] | None = None
    starts: Times | None = None

    @staticmethod
    def empty() -> SeriesData:
        """No series at all."""
        return SeriesData([], np.empty(0, np.int64), np.empty(0), np.zeros(1, np.int64))


@dataclass(frozen=True, slots=True)
class Selection:
    """What a query wants of a source: series that fit every matcher, in (start, end].

    `start_ms` is exclusive, `end_ms` inclusive. `step_ms` and `range_ms` (0 for instant
    selectors) and `function` (the innermost function or aggregation around the selector, or
    "") let a source choose a roll-up; `samples_max` bounds what it may return. `newest_only` says
    that the newest sample of each series suffices; a source may still return more. `rolled` says
    that the asker understands `SeriesData.rolled`. `lookback_ms` is how long a sample stands, for
    instant selectors.
    """

    matchers: tuple[Matcher, ...]
    start_ms: int
    end_ms: int
    step_ms: int = 0
    range_ms: int = 0
    function: str = ""
    samples_max: int = 50_000_000
    newest_only: bool = False
    rolled: bool = False
    lookback_ms: int = 0


class SampleSource(Protocol):
    """Where samples come from: the embedded store, a remote engine, or memory.

    Every implementation passes `tests/contract/test_sample_source.py`.
    """

    def select(self, selection: Selection) -> SeriesData:
        """The samples of a selection, series sorted by labels.

        Raises `TooManySamples` where they would be more than `selection.samples_max`.
        """
        ...

    def series(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, limit: int = 0
    ) -> list[Labels]:
        """Label sets with samples in [start, end] that fit all matchers; 0 = no limit."""
        ...

    def label_names(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> list[str]:
        """Sorted names of labels on such series."""
        ...

    def label_values(
        self, name: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> list[str]:
        """Sorted values of label *name* on such series."""
        ...


class TooManySamples(Exception):
    """A selection would return more samples than its limit allows."""
