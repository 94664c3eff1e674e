"""Runs scripts against an engine over memory.

Every instant query is also asked as a range query around its time, and with `@` on its
selectors at other times, and must give the same answer, as the upstream project does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from vezha.model.columns import STALE_BITS
from vezha.model.labels import Labels, format_labels
from vezha.query.ast import (
    Aggregate,
    At,
    Binary,
    Call,
    MatrixSelector,
    Node,
    Paren,
    Subquery,
    Unary,
    VectorSelector,
    walk,
)
from vezha.query.context import EngineOptions
from vezha.query.engine import Engine, Prepared
from vezha.query.errors import ParseError, QueryError
from vezha.query.evaluate import invariant_nodes
from vezha.query.functions.signatures import AT_UNSAFE
from vezha.query.histogram import Buckets, Hint, Histogram
from vezha.query.memory import MemorySource
from vezha.query.result import Result, ResultKind
from vezha.query.script.language import Clear, Eval, Expected, Load, Text, parse_script
from vezha.query.script.nhcb import native_series
from vezha.query.script.series_text import Point
from vezha.query.text import go_float

EPSILON = 1e-6
_MINUTE_MS = 60_000
_GRID_FUNCTIONS = frozenset({"start", "end", "step", "range"})


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that was not as expected. `asked` says how: "instant", "range" or "@"."""

    line: int
    query: str
    asked: str
    expected: str
    got: str


@dataclass(slots=True)
class Report:
    """What came of a script."""

    name: str
    evals: int = 0
    failed_lines: set[int] = field(default_factory=set)
    mismatches: list[Mismatch] = field(default_factory=list)

    @property
    def passed(self) -> int:
        return self.evals - len(self.failed_lines)


class Runner:
    """Holds the data of one script while it runs."""

    def __init__(self, name: str, options: EngineOptions | None = None) -> None:
        self.report = Report(name)
        self._source = MemorySource(starts=True)
        self._options = options or EngineOptions()
        self._engine = Engine(self._source, options=self._options)

    def run(self, text: str) -> Report:
        """Run a whole script. Raises ScriptError where it cannot be read."""
        for command in parse_script(text):
            if isinstance(command, Load):
                self._load(command)
            elif isinstance(command, Clear):
                self._source.clear()
            else:
                self._eval(command)
        return self.report

    # Loading.

    def _load(self, load: Load) -> None:
        series = list(load.series)
        if load.nhcb:
            series += native_series(load.series)
        for item in series:
            previous: Histogram | None = None
            starts = load.starts.get(item.labels, [])
            for index, point in enumerate(item.points):
                if point is None:
                    continue
                ts = load.start_ms + index * load.interval_ms
                if isinstance(point, Histogram):
                    point = stored(point, previous)
                    self._source.append(item.labels, ts, math.nan, point)
                    previous = point
                else:
                    began = starts[index] if index < len(starts) else None
                    start_ms = 0 if began is None else ts + began
                    self._source.append(item.labels, ts, point, start_ms=start_ms)
                    previous = None

    # Asking.

    def _eval(self, command: Eval) -> None:
        self.report.evals += 1
        asked = "instant" if command.instant else "range"
        for mismatch in self._check(command, asked):
            self.report.failed_lines.add(command.line)
            self.report.mismatches.append(mismatch)

    def _check(self, command: Eval, asked: str) -> Iterator[Mismatch]:
        expected = command.expected

        def mismatch(how: str, wanted: str, got: str) -> Mismatch:
            return Mismatch(command.line, command.query, how, wanted, got)

        try:
            if command.instant:
                result = self._engine.instant(command.query, command.start_ms)
            else:
                result = self._engine.range(
                    command.query, command.start_ms, command.end_ms, command.step_ms
                )
        except QueryError as error:
            if not expected.fail:
                yield mismatch(asked, shown(expected), f"error: {error}")
            else:
                for text in expected.fail:
                    if not _fail_fits(text, error):
                        yield mismatch(asked, f"failure with {text.shown()}", str(error))
            return
        if expected.fail:
            yield mismatch(asked, f"failure with {expected.fail[0].shown()}", describe(result))
            return
        yield from self._compared(command, result, asked)
        if command.instant and not expected.ordered:
            yield from self._again(command)

    def _compared(self, command: Eval, result: Result, asked: str) -> Iterator[Mismatch]:
        for wanted, got in (
            *annotation_differences(command.expected, result),
            *differences(command, result),
        ):
            yield Mismatch(command.line, command.query, asked, wanted, got)

    def _again(self, command: Eval) -> Iterator[Mismatch]:
        """The same instant query in other ways."""
        prepared = self._engine.prepare(command.query)
        calls = {node.name for node in walk(prepared.root) if isinstance(node, Call)}
        if calls & _GRID_FUNCTIONS or _grid_durations(prepared.root):
            return
        if command.expected.matrix is not None or command.expected.text is not None:
            return
        yield from self._as_range(command, prepared)
        if calls & AT_UNSAFE:
            return
        pinned = Prepared(
            command.query, *_root_of(pin(prepared.root, command.start_ms)), parse_seconds=0.0
        )
        ts = command.start_ms
        for other in (-10 * ts, 0, ts // 5, ts, 10 * ts) if ts else (-1000, 0, 1000):
            try:
                result = self._engine.instant(pinned, other)
            except QueryError as error:
                yield Mismatch(
                    command.line, command.query, "@", shown(command.expected), str(error)
                )
                return
            result.times = np.asarray([ts], np.int64)
            found = list(self._compared(command, result, "@"))
            if found:
                yield from found
                return

    def _as_range(self, command: Eval, prepared: Prepared) -> Iterator[Mismatch]:
        ts = command.start_ms
        try:
            result = self._engine.range(prepared, ts - _MINUTE_MS, ts + _MINUTE_MS, _MINUTE_MS)
        except QueryError as error:
            yield Mismatch(
                command.line, command.query, "range", shown(command.expected), str(error)
            )
            return
        middle = at_step(result, 1)
        for wanted, got in differences(command, middle):
            yield Mismatch(command.line, command.query, "range", wanted, got)


def _fail_fits(text: Text, error: QueryError) -> bool:
    """Scripts name the message without or with the position that parse errors start with."""
    message = str(error)
    if text.fits(message):
        return True
    return isinstance(error, ParseError) and text.fits(error.message)


def stored(histogram: Histogram, previous: Histogram | None) -> Histogram:
    """The hint with which a store gives a histogram back: never that it was reset, for the sample
    before it may be gone by then."""
    if histogram.hint is Hint.GAUGE:
        return histogram
    if histogram.hint is Hint.RESET or previous is None or previous.hint is Hint.GAUGE:
        return histogram.with_hint(Hint.UNKNOWN)
    fell = histogram.fell_below(previous)
    return histogram.with_hint(Hint.UNKNOWN if fell else Hint.NOT_RESET)


def _grid_durations(root: Node) -> bool:
    durations: list[object] = []
    for node in walk(root):
        if isinstance(node, MatrixSelector):
            durations.append(node.range)
        if isinstance(node, Subquery):
            durations += [node.range, node.step]
        if isinstance(node, VectorSelector | Subquery):
            durations.append(node.offset)
    return any(not isinstance(d, float) and d is not None for d in durations)


def _root_of(root: Node) -> tuple[Node, frozenset[int]]:
    return root, invariant_nodes(root)


def pin(node: Node, ts_ms: int) -> Node:
    """*node* with `@ ts` on every selector that has none, but inside pinned subqueries."""
    if isinstance(node, VectorSelector):
        return replace(node, at=At(ts_ms=ts_ms)) if node.at is None else node
    if isinstance(node, MatrixSelector):
        selector = pin(node.selector, ts_ms)
        assert isinstance(selector, VectorSelector)
        return replace(node, selector=selector)
    if isinstance(node, Subquery):
        return replace(node, at=At(ts_ms=ts_ms)) if node.at is None else node
    if isinstance(node, Paren | Unary):
        return replace(node, expr=pin(node.expr, ts_ms))
    if isinstance(node, Binary):
        return replace(node, left=pin(node.left, ts_ms), right=pin(node.right, ts_ms))
    if isinstance(node, Call):
        args = tuple(
            arg if node.name == "info" and index == 1 else pin(arg, ts_ms)
            for index, arg in enumerate(node.args)
        )
        return replace(node, args=args)
    if isinstance(node, Aggregate):
        param = pin(node.param, ts_ms) if node.param is not None else None
        return replace(node, expr=pin(node.expr, ts_ms), param=param)
    return node


def at_step(result: Result, step: int) -> Result:
    """An instant result: one step of a range result."""
    present = result.present[:, step : step + 1]
    hists = result.hists[:, step : step + 1] if result.hists is not None else None
    there = present[:, 0].copy()
    if hists is not None:
        there |= np.array([h is not None for h in hists[:, 0]], np.bool_)
    keep = np.flatnonzero(there)
    return Result(
        ResultKind.VECTOR, result.times[step : step + 1], [result.labels[i] for i in keep],
        result.values[keep, step : step + 1], present[keep],
        hists[keep] if hists is not None else None,
    )  # fmt: skip


# Comparing.


def almost(a: float, b: float) -> bool:
    """Equal but for a relative 1e-6; NaN equals NaN."""
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if a == b:
        return True
    total = abs(a) + abs(b)
    difference = abs(a - b)
    if a == 0 or b == 0 or total < 2.2250738585072014e-308:
        return difference < EPSILON * 2.2250738585072014e-308
    return difference / min(total, 1.7976931348623157e308) < EPSILON


def same_point(wanted: Point, got: Point) -> bool:
    """Whether two points agree; an expected hint counts only where it is given."""
    if isinstance(wanted, Histogram) and isinstance(got, Histogram):
        return (
            wanted.schema == got.schema
            and almost(wanted.count, got.count)
            and almost(wanted.sum, got.sum)
            and wanted.zero_threshold == got.zero_threshold
            and almost(wanted.zero_count, got.zero_count)
            and wanted.bounds == got.bounds
            and _same_buckets(wanted.positive, got.positive)
            and _same_buckets(wanted.negative, got.negative)
            and (wanted.hint is Hint.UNKNOWN or wanted.hint is got.hint)
        )
    if isinstance(wanted, float) and isinstance(got, float):
        return almost(wanted, got)
    return wanted is None and got is None


def _same_buckets(a: Buckets, b: Buckets) -> bool:
    return a.keys() == b.keys() and all(almost(count, b[index]) for index, count in a.items())


def annotation_differences(expected: Expected, result: Result) -> Iterator[tuple[str, str]]:
    """(expected, got) of annotations that should, or should not, be there."""
    for kind, wanted, none, got in (
        ("warn", expected.warn, expected.no_warn, result.warnings),
        ("info", expected.info, expected.no_info, result.infos),
    ):
        if none and got:
            yield f"no {kind}", "; ".join(got)
        for text in wanted:
            if not any(text.fits(message) for message in got):
                yield f"{kind} with {text.shown()}", "; ".join(got) or f"no {kind}"
        if wanted:
            for message in got:
                if not any(text.fits(message) for text in wanted):
                    yield f"only {kind} with {'; '.join(t.shown() for t in wanted)}", message


def differences(command: Eval, result: Result) -> Iterator[tuple[str, str]]:
    """(expected, got) of values."""
    expected = command.expected
    if expected.text is not None:
        if result.kind is not ResultKind.STRING or result.text != expected.text:
            yield repr(expected.text), describe(result)
        return
    if result.kind is ResultKind.STRING:
        yield shown(expected), describe(result)
        return
    if expected.scalar is not None:
        got = float(result.values[0, 0]) if result.values.size else math.nan
        plain = result.kind is ResultKind.SCALAR or result.labels == [()]
        if not plain or not result.values.size or not almost(expected.scalar, got):
            yield go_float(expected.scalar), describe(result)
        return
    if command.instant and result.kind is ResultKind.SCALAR and expected.series:
        yield shown(expected), describe(result)
        return
    yield from _series_differences(command, result)


def _series_differences(command: Eval, result: Result) -> Iterator[tuple[str, str]]:
    expected = command.expected
    if command.instant and expected.matrix is not None:
        wanted = {
            labels: timed(points, expected.matrix[0], expected.matrix[2])
            for labels, points in expected.series
        }
    elif command.instant:
        wanted = {
            labels: {command.start_ms: points[0]} for labels, points in expected.series if points
        }
    else:
        wanted = {
            labels: timed(points, command.start_ms, command.step_ms)
            for labels, points in expected.series
        }
    got = points_of(result)
    for labels, points in wanted.items():
        if not points:
            continue
        found = got.pop(labels, None)
        if found is None:
            yield f"{format_labels(labels) or '{}'} {_line(points)}", "no such series"
        elif found.keys() != points.keys() or not all(
            same_point(point, found[ts]) for ts, point in points.items()
        ):
            yield (
                f"{format_labels(labels) or '{}'} {_line(points)}",
                f"{format_labels(labels) or '{}'} {_line(found)}",
            )
    for labels, points in got.items():
        yield "no such series", f"{format_labels(labels) or '{}'} {_line(points)}"
    if expected.ordered and command.instant:
        order = [labels for labels, _ in expected.series]
        if order != result.labels:
            yield (
                "order " + ", ".join(map(format_labels, order)),
                "order " + ", ".join(map(format_labels, result.labels)),
            )


def timed(points: list[Point], start_ms: int, step_ms: int) -> dict[int, Point]:
    """Points by time, gaps left out."""
    return {
        start_ms + index * step_ms: point
        for index, point in enumerate(points)
        if point is not None and not _is_stale(point)
    }


def _is_stale(point: Point) -> bool:
    if not isinstance(point, float):
        return False
    return int(np.float64(point).view(np.uint64)) == STALE_BITS


def points_of(result: Result) -> dict[Labels, dict[int, Point]]:
    """All points of a result by series and time. Twice the same series is kept apart."""
    out: dict[Labels, dict[int, Point]] = {}
    if result.raw is not None:
        raw = result.raw
        for row, labels in enumerate(result.labels):
            span = range(int(raw.offsets[row]), int(raw.offsets[row + 1]))
            out[labels] = {
                int(raw.ts[i]): _point(
                    raw.values[i], raw.hists[i] if raw.hists is not None else None
                )
                for i in span
            }
        return out
    for row, labels in enumerate(result.labels):
        cells: dict[int, Point] = {}
        for step, ts in enumerate(result.times.tolist()):
            hist = result.hists[row, step] if result.hists is not None else None
            if hist is not None or result.present[row, step]:
                cells[ts] = _point(result.values[row, step], hist)
        out[labels] = cells
    return out


def _point(value: float, hist: Histogram | None) -> Point:
    return hist if hist is not None else float(value)


def _text_of(point: Point) -> str:
    if isinstance(point, Histogram):
        hint = f" {point.hint.value}" if point.hint is not Hint.UNKNOWN else ""
        bounds = f" bounds={list(point.bounds)}" if point.custom else ""
        return f"{point} schema={point.schema}{bounds}{hint}"
    return "_" if point is None else go_float(point)


def _line(points: dict[int, Point]) -> str:
    return " ".join(f"{_text_of(p)}@{go_float(ts / 1000)}" for ts, p in points.items())


def shown(expected: Expected) -> str:
    """An expectation in one line."""
    if expected.text is not None:
        return repr(expected.text)
    if expected.scalar is not None:
        return go_float(expected.scalar)
    if not expected.series:
        return "nothing"
    return "; ".join(
        f"{format_labels(labels) or '{}'} {' '.join(map(_text_of, points))}"
        for labels, points in expected.series
    )


def describe(result: Result) -> str:
    """A result in one line."""
    if result.kind is ResultKind.STRING:
        return repr(result.text)
    if result.kind is ResultKind.SCALAR:
        return go_float(result.scalar)
    found = points_of(result)
    if not found:
        return "nothing"
    return "; ".join(f"{format_labels(labels) or '{}'} {_line(p)}" for labels, p in found.items())


def run_script(name: str, text: str, options: EngineOptions | None = None) -> Report:
    """Run one script. Raises ScriptError where it cannot be read."""
    return Runner(name, options).run(text)
