"""What all evaluators of one running query share: source, limits, annotations, statistics."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vezha.model.columns import SampleSource, Times
from vezha.model.labels import Labels
from vezha.query.annotations import Annotations
from vezha.query.ast import Node
from vezha.query.errors import LimitExceeded, QueryCancelled, QueryTimeout
from vezha.query.labelcolumn import LabelColumn
from vezha.query.limits import QueryLimits
from vezha.query.resets_seen import ResetsSeen


@dataclass(frozen=True, slots=True)
class Grid:
    """Evaluation steps: `start_ms + i * step_ms` for i in [0, count)."""

    start_ms: int
    step_ms: int
    count: int

    @property
    def end_ms(self) -> int:
        return self.start_ms + self.step_ms * (self.count - 1)

    def times(self) -> Times:
        """int64[count]."""
        return self.start_ms + self.step_ms * np.arange(self.count, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine differs from Prometheus's defaults, if at all."""

    lookback_ms: int = 300_000
    """How long a sample stands for its series."""

    subquery_step_ms: int = 60_000
    """Step of subqueries that name none."""

    experimental: bool = True
    """Whether experimental functions and aggregations may be used."""

    delayed_name_removal: bool = True
    """Metric names are dropped when the query is done, not by every function on the way."""


@dataclass(slots=True)
class NodeStats:
    """What one node of the query cost."""

    text: str
    start: int
    end: int
    depth: int
    seconds: float = 0.0
    series: int = 0
    steps: int = 0
    samples: int = 0
    notes: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class QueryStats:
    """What one query cost."""

    samples: int = 0
    samples_per_step_peak: int = 0
    bytes: int = 0
    parse_seconds: float = 0.0
    select_seconds: float = 0.0
    total_seconds: float = 0.0
    nodes: list[NodeStats] = field(default_factory=list)


class ColumnCache:
    """Label columns by selection: while a selection gives the same labels, its derived
    groupings are still good. Comparing is cheap where a source gives the same tuples again."""

    def __init__(self, selections_max: int) -> None:
        self._max = selections_max
        self._columns: dict[object, LabelColumn] = {}

    def column(self, key: object, labels: list[Labels]) -> LabelColumn:
        """The column for *labels*, the kept one where they are unchanged."""
        kept = self._columns.pop(key, None)
        if kept is None or kept.sets != labels:
            kept = LabelColumn(list(labels))  # ours: a source may go on with its list
        self._columns[key] = kept
        if len(self._columns) > self._max:
            with contextlib.suppress(RuntimeError, StopIteration):  # another thread was here
                self._columns.pop(next(iter(self._columns)), None)
        return kept


@dataclass(slots=True)
class Context:
    """One running query. `top` is the whole query's grid, `query` its text."""

    source: SampleSource
    limits: QueryLimits
    options: EngineOptions
    columns: ColumnCache
    query: str
    top: Grid
    end_ms: int
    instant: bool
    invariant: frozenset[int]
    annotations: Annotations
    cancelled: Callable[[], bool] | None = None
    explain: bool = False
    stats: QueryStats = field(default_factory=QueryStats)
    deadline: float = 0.0
    depth: int = 0
    function: str = ""
    resets: ResetsSeen = field(default_factory=ResetsSeen)

    @property
    def range_ms(self) -> int:
        return self.end_ms - self.top.start_ms

    def tick(self) -> None:
        """Between nodes: stop if nobody waits or time is up."""
        if self.cancelled is not None and self.cancelled():
            raise QueryCancelled("query was canceled")
        if time.monotonic() > self.deadline:
            raise QueryTimeout(
                f"query timed out: limit seconds_max is {self.limits.seconds_max:g} s"
            )

    def count_samples(self, count: int) -> None:
        """Account for samples read."""
        self.stats.samples += count
        if self.stats.samples > self.limits.samples_max:
            raise LimitExceeded(
                "query processing would load too many samples into memory: limit samples_max is "
                f"{self.limits.samples_max}"
            )

    def check_cells(self, series: int, steps: int) -> None:
        """Account for a block about to be made."""
        if series > self.limits.series_max:
            raise LimitExceeded(
                f"query has {series} series at one point: limit series_max is "
                f"{self.limits.series_max}"
            )
        cells = series * steps
        if cells > self.limits.cells_max:
            raise LimitExceeded(
                f"query needs {cells} values at one point: limit cells_max is "
                f"{self.limits.cells_max}"
            )
        self.stats.bytes += cells * 9
        if self.stats.bytes > self.limits.bytes_max:
            raise LimitExceeded(
                f"query needs more memory than limit bytes_max, {self.limits.bytes_max} bytes"
            )

    def node_text(self, node: Node) -> str:
        return self.query[node.start : node.end]
