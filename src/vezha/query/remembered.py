"""Answers that are remembered, so that a chart which moves on by a step costs a step.

The value of a query at one time depends on the samples of a span around it and on nothing else
(`reach_of` tells how far, and of which queries that is not so). So the steps of an earlier answer
are still right for as long as no sample of their spans changed; the source knows that (`Marks`).
What is new is evaluated, what is kept is put before it, printed as it was. A late sample, a deletion
or an expiry takes away the steps that it may have touched, whatever the series, and these are found
anew.

Not remembered: queries for which that would not be cheaper (`worth`); queries with `@`, or whose meaning hangs on the range that is asked (`step()`,
`range()`, `start()`, `end()`); answers with warnings or native histograms; and who asks for
statistics gets those of a query that was evaluated.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from vezha.query.ast import Call, Extension, MatrixSelector, Node, Subquery, VectorSelector
from vezha.query.engine import Engine
from vezha.query.limits import CELL_TEXT_BYTES, REMEMBERED_PART_MAX, UNWORTHY_KEPT_MAX, QueryLimits
from vezha.query.result import Result, ResultKind
from vezha.query.rows import Rows
from vezha.query.worth import Asked, has_ranges, is_worth

_OF_THE_RANGE = frozenset(("start", "end", "range", "step", "info"))
"""Functions whose value hangs on more than the step: `info` also looks at series of its own."""


class Marks(Protocol):
    """A source of samples that can tell what changed in it."""

    def mark(self, start_ms: int, end_ms: int) -> Any:
        """What there is of (start, end] now; None: cannot be told."""
        ...

    def since(self, mark: Any, start_ms: int, end_ms: int) -> tuple[Any, int | None]:
        """A mark of (start, end] now; and from what time on samples of *mark*'s span may have
        changed since it was made, None: none has."""
        ...

    def still(self, mark: Any) -> bool:
        """Whether surely nothing changed; waits for nobody."""
        ...


@dataclass(frozen=True, slots=True)
class Reach:
    """A query's value at t depends on samples in (t - back_ms, t + ahead_ms]."""

    back_ms: int = 0
    ahead_ms: int = 0

    def shifted(self, range_ms: int, offset_ms: int) -> Reach:
        """Seen from a time `offset_ms` later, over a range."""
        return Reach(max(0, self.back_ms + range_ms + offset_ms), max(0, self.ahead_ms - offset_ms))

    def joined(self, other: Reach) -> Reach:
        """Far enough for both."""
        return Reach(max(self.back_ms, other.back_ms), max(self.ahead_ms, other.ahead_ms))


def reach_of(node: Node, lookback_ms: int) -> Reach | None:
    """How far around its time *node* looks; None: that hangs on more than the time."""
    if isinstance(node, VectorSelector):
        if node.at is not None or node.extension is not Extension.NONE:
            return None
        offset_ms = _fixed_ms(node.offset)
        return None if offset_ms is None else Reach(lookback_ms).shifted(0, offset_ms)
    if isinstance(node, MatrixSelector):
        range_ms = _fixed_ms(node.range)
        return None if range_ms is None else reach_of(node.selector, range_ms)
    if isinstance(node, Call) and node.name in _OF_THE_RANGE:
        return None
    found = Reach()
    for child in node.children():
        one = reach_of(child, lookback_ms)
        if one is None:
            return None
        found = found.joined(one)
    if isinstance(node, Subquery):
        range_ms, offset_ms = _fixed_ms(node.range), _fixed_ms(node.offset)
        step_ms = 0 if node.step is None else _fixed_ms(node.step)
        if node.at is not None or range_ms is None or offset_ms is None or step_ms is None:
            return None
        return found.shifted(range_ms, offset_ms)
    return found


def _fixed_ms(duration: object) -> int | None:
    """Milliseconds of a duration that is no expression."""
    if isinstance(duration, int | float):
        return round(duration * 1000)
    return None


@dataclass(frozen=True, slots=True)
class _Kept:
    """Steps of a query and what they were made of."""

    rows: Rows
    start_ms: int
    end_ms: int
    mark: Any

    @property
    def size_bytes(self) -> int:
        """About what it takes."""
        return self.rows.size_bytes + 1_024


class Remembered:
    """An engine's answers over spans, the latest of them. Thread-safe."""

    def __init__(self, engine: Engine, marks: Marks, bytes_max: int) -> None:
        self._engine = engine
        self.marks = marks
        self.bytes_max = bytes_max
        self._part_max = bytes_max // REMEMBERED_PART_MAX
        self._kept: OrderedDict[tuple[str, int, int], _Kept] = OrderedDict()
        self._unworthy: OrderedDict[int, None] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes_used = 0
        self.steps_reused = 0

    def range(
        self, text: str, start_ms: int, end_ms: int, step_ms: int, *,
        cancelled: Callable[[], bool] | None = None, limits: QueryLimits | None = None,
    ) -> Result:  # fmt: skip
        """As `Engine.range`."""

        def ask(since_ms: int) -> Result:
            return self._engine.range(
                text, since_ms, end_ms, step_ms, cancelled=cancelled, limits=limits
            )

        if step_ms <= 0 or start_ms > end_ms:
            return ask(start_ms)
        prepared = self._engine.prepare(text)
        reach = reach_of(prepared.root, self._engine.options.lookback_ms)
        if reach is None:
            return ask(start_ms)
        last_ms = start_ms + (end_ms - start_ms) // step_ms * step_ms
        span = (start_ms - reach.back_ms, last_ms + reach.ahead_ms)
        key = (text, step_ms, start_ms % step_ms)
        steps = (last_ms - start_ms) // step_ms + 1
        shape = hash((text, step_ms, steps))  # two of one hash are taken for equally dear, no more

        def ask_anew() -> Result:
            result = ask(start_ms)
            reach_ms = reach.back_ms + reach.ahead_ms
            asked = Asked(
                result.stats.samples, len(result.labels), steps, step_ms, reach_ms,
                has_ranges(prepared.root),
            )  # fmt: skip
            self._note(shape, is_worth(asked))
            return result

        if shape in self._unworthy:
            return ask_anew()
        with self._lock:
            kept = self._kept.get(key)
        if kept is None:
            mark, good_ms = self.marks.mark(*span), None
        else:
            mark, changed_ms = self.marks.since(kept.mark, *span)
            good_ms = kept.end_ms
            if changed_ms is not None:
                good = (changed_ms - 1 - reach.ahead_ms - kept.start_ms) // step_ms
                good_ms = min(good_ms, kept.start_ms + good * step_ms)
            good_ms = min(good_ms, last_ms)
        if mark is None:
            return ask(start_ms)
        result = None
        if kept is not None and good_ms is not None and kept.start_ms <= start_ms <= good_ms:
            first = (start_ms - kept.start_ms) // step_ms
            until = (good_ms - kept.start_ms) // step_ms + 1
            tail = None if good_ms == last_ms else ask(good_ms + step_ms)
            if tail is None or _plain(tail):
                result = _moved(kept.rows, first, until, tail, self._part_max)
                self.steps_reused += until - first
        if result is None:
            result = ask_anew()
        if _plain(result) and shape not in self._unworthy:
            self._keep(key, _Kept(_rows(result), start_ms, last_ms, mark))
        return result

    def _note(self, shape: int, worthy: bool) -> None:
        """Note whether a query of this text, step and number of steps is worth remembering."""
        with self._lock:
            self._unworthy.pop(shape, None)
            if not worthy:
                self._unworthy[shape] = None
            while len(self._unworthy) > UNWORTHY_KEPT_MAX:
                self._unworthy.popitem(last=False)

    def _keep(self, key: tuple[str, int, int], fresh: _Kept) -> None:
        with self._lock:
            old = self._kept.pop(key, None)
            if old is not None:
                self.bytes_used -= old.size_bytes
            if fresh.size_bytes > self._part_max:
                fresh = replace(fresh, rows=replace(fresh.rows, texts=None))
            if fresh.size_bytes > self._part_max:
                return
            self._kept[key] = fresh
            self.bytes_used += fresh.size_bytes
            while self.bytes_used > self.bytes_max:
                self.bytes_used -= self._kept.popitem(last=False)[1].size_bytes


def _plain(result: Result) -> bool:
    """Whether an answer is nothing but numbers."""
    return (
        result.kind is ResultKind.MATRIX
        and result.hists is None
        and result.raw is None
        and not result.warnings
        and not result.infos
    )


def _rows(result: Result) -> Rows:
    return Rows(result.labels, result.times, result.values, result.present, result.texts)


def _moved(kept: Rows, first: int, until: int, tail: Result | None, text_max: int) -> Result:
    """Steps [first, until) of what is kept, and the tail after them. What is asked again is worth
    printing for good, if that takes no more than *text_max* bytes."""
    rows, after = kept, None if tail is None else _rows(tail)
    cells = rows.values.size + (0 if after is None else after.values.size)
    if cells * CELL_TEXT_BYTES <= text_max:
        rows, after = rows.printed(), None if after is None else after.printed()
    rows = rows.cut(first, until)
    if after is not None:
        rows = rows.then(after)
    rows = rows.without_empty()
    result = Result(
        ResultKind.MATRIX, rows.times, rows.labels, rows.values, rows.present, texts=rows.texts
    )
    if tail is not None:
        result.stats = tail.stats
    return result


__all__ = ["Marks", "Reach", "Remembered", "reach_of"]
