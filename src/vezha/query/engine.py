"""`Engine`: text in, result out, within limits.

    engine = Engine(source)
    engine.instant("sum by (job) (rate(http_requests_total[5m]))", ts_ms)
    engine.range("up", start_ms, end_ms, step_ms)

Parsed queries are kept (least recently used first to go), and so are label columns with the
groupings made of them, because charts and rules ask the same again every second.
"""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vezha.model.columns import SampleSource
from vezha.model.labels import Labels
from vezha.query.annotations import Annotations
from vezha.query.ast import Node, Type, unwrap
from vezha.query.block import Samples, Scalar, Text, merge_rows
from vezha.query.context import ColumnCache, Context, EngineOptions, Grid, QueryStats
from vezha.query.errors import EvaluationError, LimitExceeded, QueryError
from vezha.query.evaluate import Evaluator, invariant_nodes
from vezha.query.extended import ExtendedWindows, raw_samples
from vezha.query.limits import (
    LABEL_CACHE_SELECTIONS,
    PREPARED_CACHE_QUERIES,
    TIME_MS_MAX,
    QueryLimits,
)
from vezha.query.native_source import with_histograms
from vezha.query.parser import parse
from vezha.query.result import Result, ResultKind

Cancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A parsed and checked query; give it to `Engine.instant` or `range` in place of its text."""

    text: str
    root: Node
    invariant: frozenset[int]
    parse_seconds: float


class Engine:
    """Answers PromQL from one source. Safe to share between threads that only query."""

    def __init__(
        self,
        source: SampleSource,
        limits: QueryLimits | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        self.source = with_histograms(source)
        self.limits = limits or QueryLimits()
        self.options = options or EngineOptions()
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._columns = ColumnCache(LABEL_CACHE_SELECTIONS)

    def prepare(self, text: str) -> Prepared:
        """Parse and check *text*. Raises ParseError."""
        kept = self._prepared.get(text)
        if kept is not None:
            return kept
        began = time.perf_counter()
        root = parse(text, self.options.experimental)
        prepared = Prepared(text, root, invariant_nodes(root), time.perf_counter() - began)
        self._prepared[text] = prepared
        if len(self._prepared) > PREPARED_CACHE_QUERIES:
            with contextlib.suppress(KeyError):  # another thread was faster
                self._prepared.popitem(last=False)
        return prepared

    def instant(
        self, query: str | Prepared, ts_ms: int, *,
        cancelled: Cancelled | None = None, explain: bool = False,
        limits: QueryLimits | None = None,
    ) -> Result:  # fmt: skip
        """The value of *query* at one time. Raises QueryError."""
        _check_time(ts_ms)
        prepared = self.prepare(query) if isinstance(query, str) else query
        context = self._context(
            prepared, Grid(ts_ms, 1, 1), True, cancelled, explain, limits or self.limits
        )
        return self._run(prepared, context)

    def range(
        self, query: str | Prepared, start_ms: int, end_ms: int, step_ms: int, *,
        cancelled: Cancelled | None = None, explain: bool = False,
        limits: QueryLimits | None = None,
    ) -> Result:  # fmt: skip
        """The values of *query* from start to end by step. Raises QueryError."""
        limits = limits or self.limits
        if step_ms <= 0:
            raise EvaluationError(
                "zero or negative query resolution step widths are not accepted. "
                "Try a positive integer"
            )
        _check_time(start_ms)
        _check_time(end_ms)
        if end_ms < start_ms:
            raise EvaluationError("end timestamp must not be before start time")
        count = (end_ms - start_ms) // step_ms + 1
        if count > limits.steps_max:
            raise LimitExceeded(
                f"exceeded maximum resolution of {limits.steps_max} points per timeseries. Try "
                "decreasing the query resolution (?step=XX)"
            )
        prepared = self.prepare(query) if isinstance(query, str) else query
        if prepared.root.type not in (Type.SCALAR, Type.VECTOR):
            raise EvaluationError(
                f'invalid expression type "{prepared.root.type.value}" for range query, '
                "must be Scalar or instant Vector"
            )
        grid = Grid(start_ms, step_ms, count)
        context = self._context(prepared, grid, False, cancelled, explain, limits, end_ms)
        return self._run(prepared, context)

    def _context(
        self, prepared: Prepared, grid: Grid, instant: bool, cancelled: Cancelled | None,
        explain: bool, limits: QueryLimits, end_ms: int | None = None,
    ) -> Context:  # fmt: skip
        return Context(
            self.source, limits, self.options, self._columns, prepared.text, grid,
            grid.end_ms if end_ms is None else end_ms, instant, prepared.invariant,
            Annotations(prepared.text), cancelled, explain,
            QueryStats(parse_seconds=prepared.parse_seconds),
            time.monotonic() + limits.seconds_max,
        )  # fmt: skip

    def _run(self, prepared: Prepared, context: Context) -> Result:
        began = time.perf_counter()
        evaluator = Evaluator(context, context.top)
        try:
            with np.errstate(all="ignore"):  # NaN and infinities are values here
                result = self._result(prepared.root, evaluator)
        except QueryError:
            raise
        except (MemoryError, RecursionError) as error:
            raise LimitExceeded(f"query needs too much memory: {type(error).__name__}") from error
        result.warnings = context.annotations.warnings
        result.infos = context.annotations.infos
        context.stats.total_seconds = time.perf_counter() - began
        result.stats = context.stats
        return result

    def _result(self, root: Node, evaluator: Evaluator) -> Result:
        times = evaluator.times
        instant = evaluator.context.instant
        if root.type is Type.MATRIX:
            return _raw(root, evaluator)
        value = evaluator.evaluate(root)
        if isinstance(value, Text):
            none = np.empty((0, times.size))
            return Result(
                ResultKind.STRING, times, [], none, none.astype(np.bool_), text=value.text
            )
        if isinstance(value, Scalar):
            values = value.values[None, :]
            kind = ResultKind.SCALAR if instant else ResultKind.MATRIX
            return Result(kind, times, [()], values, np.ones(values.shape, np.bool_))
        block = merge_rows(value.compact(), final=True)
        labels = block.labels.final()
        if not instant and len(labels) > 1:
            rows = block.labels.memo("order", lambda: _order(labels))
            if rows.size:
                block = block.take(rows)
                labels = block.labels.final()
        kind = ResultKind.VECTOR if instant else ResultKind.MATRIX
        return Result(kind, times, labels, block.values, block.present, block.hists)


def _order(labels: list[Labels]) -> npt.NDArray[np.int64]:
    """Rows in the order of their labels; none where that is the order in which they are."""
    order = np.array(sorted(range(len(labels)), key=labels.__getitem__), np.int64)
    return order[:0] if bool((order[1:] > order[:-1]).all()) else order


def _check_time(ts_ms: int) -> None:
    if abs(ts_ms) > TIME_MS_MAX:
        raise EvaluationError(f"time {ts_ms} ms is out of range")


def _raw(root: Node, evaluator: Evaluator) -> Result:
    """The samples of a range vector, for an instant query of `up[5m]`."""
    windows = evaluator.windows(unwrap(root))
    if isinstance(windows, ExtendedWindows):
        raw = raw_samples(windows)
        none = np.empty((len(raw), 0))
        return Result(
            ResultKind.MATRIX, evaluator.times, raw.labels.final(), none, none.astype(np.bool_),
            raw=raw,
        )  # fmt: skip
    samples = windows.samples
    lo, hi = windows.lo[:, 0], windows.hi[:, 0]
    keep = np.flatnonzero(hi > lo)
    counts = (hi - lo)[keep]
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    at = np.repeat(lo[keep] - offsets[:-1], counts) + np.arange(int(offsets[-1]))
    hists = samples.hists[at] if samples.hists is not None else None
    raw = Samples(samples.labels.take(keep), samples.ts[at], samples.values[at], offsets, hists)
    none = np.empty((keep.size, 0))
    return Result(
        ResultKind.MATRIX, evaluator.times, raw.labels.final(), none, none.astype(np.bool_),
        raw=raw,
    )  # fmt: skip
