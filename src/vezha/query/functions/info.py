"""info(): adds the data labels of info metrics to series of the same instance and job.

Of several series of one info metric that fit, the one with the newest sample counts; two of the
same age are an error. Labels that a series has already stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from vezha.model.columns import Matcher, MatchOp, Times
from vezha.model.labels import METRIC_NAME, Labels, get_label, labels_of
from vezha.query import select
from vezha.query.ast import Call, Node, VectorSelector, walk
from vezha.query.block import Block, Mask, Value, merge_rows
from vezha.query.check import fits_empty
from vezha.query.errors import EvaluationError
from vezha.query.functions.elementwise import Function
from vezha.query.labelcolumn import Indexes, LabelColumn
from vezha.query.memory import matcher_test
from vezha.query.setops import masked
from vezha.query.text import go_quote

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator

IDENTIFYING = ("instance", "job")
ANY_INFO = Matcher(METRIC_NAME, MatchOp.RE, ".+_info")
DEFAULT_INFO = Matcher(METRIC_NAME, MatchOp.EQ, "target_info")


def _info(ev: Evaluator, call: Call) -> Value:
    base = ev.vector(call.args[0])
    names, data = _matchers(call)
    if len(base.labels) == 0:
        return base
    tests = [matcher_test(matcher) for matcher in names]
    ignored = [
        all(test(get_label(labels, METRIC_NAME)) for test in tests) for labels in base.labels.sets
    ]
    infos, times = _info_series(ev, call.args[0], base, ignored, names, data)
    wanted = {matcher.name for matcher in data}
    needed = not all(fits_empty(matcher) for matcher in data)
    by_identity = _by_identity(infos.labels.sets)
    out = _Output(base)
    for row, labels in enumerate(base.labels.sets):
        here = base.any_mask()[row]
        if not here.any():
            continue
        if ignored[row]:
            out.add(row, labels, here)
            continue
        candidates = by_identity.get(_identity(labels), {})
        _enrich(out, row, labels, here, candidates, infos, times, wanted, needed)
    return merge_rows(out.block(ev))


def _matchers(call: Call) -> tuple[tuple[Matcher, ...], tuple[Matcher, ...]]:
    """Matchers of the info metric's name, and of its data labels."""
    given: tuple[Matcher, ...] = ()
    if len(call.args) > 1:
        selector = call.args[1]
        assert isinstance(selector, VectorSelector), "the parser checked the type"
        given = selector.matchers
    names = tuple(m for m in given if m.name == METRIC_NAME)
    data = tuple(m for m in given if m.name != METRIC_NAME)
    if not names:
        names = (DEFAULT_INFO,)
    elif all(m.op in (MatchOp.NE, MatchOp.NRE) for m in names):
        names = (ANY_INFO, *names)  # exclusions alone would take every series there is
    return names, data


def _identity(labels: Labels) -> Labels:
    return tuple(pair for pair in labels if pair[0] in IDENTIFYING)


def _by_identity(sets: list[Labels]) -> dict[Labels, dict[str, list[int]]]:
    """Rows by instance and job, then by metric name."""
    out: dict[Labels, dict[str, list[int]]] = {}
    for row, labels in enumerate(sets):
        name = get_label(labels, METRIC_NAME)
        out.setdefault(_identity(labels), {}).setdefault(name, []).append(row)
    return out


def _info_series(
    ev: Evaluator, node: Node, base: Block, ignored: list[bool], names: Iterable[Matcher],
    data: Iterable[Matcher],
) -> tuple[Block, Times]:  # fmt: skip
    """The info series that may matter, with the times of their samples."""
    values: dict[str, set[str]] = {}
    for labels, skip in zip(base.labels.sets, ignored, strict=True):
        for name, value in () if skip else labels:
            if name in IDENTIFYING:
                values.setdefault(name, set()).add(value)
    if not values:
        return Block.empty(ev.steps), np.empty((0, ev.steps), np.int64)
    identifying = tuple(
        Matcher(name, MatchOp.RE, "|".join(_quoted(value) for value in sorted(found)))
        for name, found in sorted(values.items())
    )
    selector = VectorSelector(
        start=node.start, end=node.end, name="", matchers=(*identifying, *names, *data)
    )
    first, last = _window(ev, node)
    # only where the series themselves are looked for is read; what is found stands as long as ever
    block, times = select.instant_with_times(ev, selector, until_ms=last)
    lookback = ev.context.options.lookback_ms
    return masked(block, (times > first - lookback) & (times > ev.times - lookback)), times


def _quoted(text: str) -> str:
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def _window(ev: Evaluator, node: Node) -> tuple[int, int]:
    """First and last time at which the first selector below looks."""
    for part in walk(node):
        if isinstance(part, VectorSelector):
            times = select.pinned_times(ev, part.at) - ev.duration_ms(part.offset)
            return int(times[0]), int(times[-1])
    return int(ev.times[0]), int(ev.times[-1])


class _Output:
    """Rows of the result: a base row under some labels at some steps."""

    def __init__(self, base: Block) -> None:
        self._base = base
        self._rows: list[int] = []
        self._labels: list[Labels] = []
        self._masks: list[Mask] = []

    def add(self, row: int, labels: Labels, where: Mask) -> None:
        self._rows.append(row)
        self._labels.append(labels)
        self._masks.append(where)

    def block(self, ev: Evaluator) -> Block:
        if not self._rows:
            return Block.empty(ev.steps)
        drops = self._base.labels.drops()
        taken = self._base.take(np.asarray(self._rows, np.int64))
        labels = LabelColumn(self._labels, [drops[row] for row in self._rows])
        return masked(taken, np.stack(self._masks)).with_labels(labels)


def _enrich(
    out: _Output, row: int, labels: Labels, here: Mask, candidates: dict[str, list[int]],
    infos: Block, times: Times, wanted: set[str], needed: bool,
) -> None:  # fmt: skip
    """Split the steps of one base row by the info series that are the newest there."""
    chosen = [_newest(rows, infos, times) for rows in candidates.values()]
    table = np.stack(chosen) if chosen else np.empty((0, here.size), np.int64)
    patterns, of_step = np.unique(table, axis=1, return_inverse=True) if chosen else (table, None)
    if of_step is None:
        if not needed:
            out.add(row, labels, here)
        return
    for number in range(patterns.shape[1]):
        where = here & (of_step.ravel() == number)
        if not where.any():
            continue
        rows = [int(info) for info in patterns[:, number] if info >= 0]
        if rows:
            extra = _data_labels(labels, (infos.labels.sets[info] for info in rows), wanted)
            out.add(row, labels_of({**dict(labels), **extra}), where)
        elif not needed:
            out.add(row, labels, where)


def _newest(rows: list[int], infos: Block, times: Times) -> Indexes:
    """The row with the newest sample at each step, -1 where there is none."""
    if infos.hists is not None and infos.hist_mask()[rows].any():
        raise EvaluationError("info sample should be float")
    stamps = np.where(infos.present[rows], times[rows], np.iinfo(np.int64).min)
    best = stamps.max(axis=0)
    there = infos.present[rows].any(axis=0)
    twice = ((stamps == best[None, :]) & infos.present[rows]).sum(axis=0) > 1
    if twice.any():
        step = int(np.flatnonzero(twice)[0])
        same = [r for r, stamp in zip(rows, stamps[:, step], strict=True) if stamp == best[step]]
        first, second = (_shown(infos.labels.sets[r]) for r in same[:2])
        raise EvaluationError(
            f"found duplicate series for info metric: existing {first} @ {best[step]}, "
            f"new {second} @ {best[step]}"
        )
    return np.where(there, np.asarray(rows, np.int64)[stamps.argmax(axis=0)], -1)


def _shown(labels: Labels) -> str:
    return "{" + ", ".join(f"{name}={go_quote(value)}" for name, value in labels) + "}"


def _data_labels(base: Labels, infos: Iterable[Labels], wanted: set[str]) -> dict[str, str]:
    held = dict(base)
    extra: dict[str, str] = {}
    for info in infos:
        for name, value in info:
            if name == METRIC_NAME or (wanted and name not in wanted):
                continue
            if extra.get(name, value) != value:
                raise EvaluationError(f"conflicting label: {name}")
            if name not in held:
                extra[name] = value
    return extra


FUNCTIONS: dict[str, Function] = {"info": _info}
