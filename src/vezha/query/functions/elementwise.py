"""Functions of one value: arithmetic, trigonometry, rounding, clamping, dates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vezha.model.columns import Values
from vezha.query.ast import Call
from vezha.query.block import Block, Scalar, Value
from vezha.query.labelcolumn import LabelColumn

if TYPE_CHECKING:
    from vezha.query.evaluate import Evaluator

Function = Callable[["Evaluator", Call], Value]
Mapper = Callable[[Values], Values]
Whole = npt.NDArray[Any]


def _each(mapper: Mapper) -> Function:
    def function(ev: Evaluator, call: Call) -> Value:
        block = ev.vector(call.args[0]).floats_only()
        with np.errstate(all="ignore"):
            return ev.drop_names(Block(block.labels, mapper(block.values), block.present))

    return function


def _round(ev: Evaluator, call: Call) -> Value:
    block = ev.vector(call.args[0]).floats_only()
    to = ev.scalar(call.args[1]).values if len(call.args) > 1 else np.ones(ev.steps)
    with np.errstate(all="ignore"):
        # dividing by the inverse is exact where multiplying by 0.1 is not
        inverse = 1.0 / to
        values = np.floor(block.values * inverse + 0.5) / inverse
    return ev.drop_names(Block(block.labels, values, block.present))


def _clamp(ev: Evaluator, call: Call) -> Value:
    block = ev.vector(call.args[0]).floats_only()
    low, high = ev.scalar(call.args[1]).values, ev.scalar(call.args[2]).values
    values = np.maximum(low, np.minimum(high, block.values))
    return ev.drop_names(Block(block.labels, values, block.present & ~(high < low)))


def _clamp_min(ev: Evaluator, call: Call) -> Value:
    block = ev.vector(call.args[0]).floats_only()
    values = np.maximum(ev.scalar(call.args[1]).values, block.values)
    return ev.drop_names(Block(block.labels, values, block.present))


def _clamp_max(ev: Evaluator, call: Call) -> Value:
    block = ev.vector(call.args[0]).floats_only()
    values = np.minimum(ev.scalar(call.args[1]).values, block.values)
    return ev.drop_names(Block(block.labels, values, block.present))


def _sgn(values: Values) -> Values:
    return np.where((values == 0) | np.isnan(values), values, np.sign(values))


# Dates, UTC, from seconds since the epoch.

_DAY_S = 86_400


def _whole(values: Values) -> tuple[Whole, Whole]:
    """Whole seconds, and where they are no date at all."""
    bad = ~(np.abs(values) < 2.0**53)
    return np.where(bad, 0.0, np.trunc(values)).astype(np.int64), bad


def _date(part: Callable[[Whole], Whole]) -> Function:
    def function(ev: Evaluator, call: Call) -> Value:
        if not call.args:
            seconds = (ev.times / 1000.0)[None, :]
            block = Block(LabelColumn([()]), seconds, np.ones(seconds.shape, np.bool_))
        else:
            block = ev.vector(call.args[0]).floats_only()
        seconds, bad = _whole(block.values)
        out = part(seconds).astype(np.float64)
        out[bad] = np.nan
        return ev.drop_names(Block(block.labels, out, block.present))

    return function


def _days(seconds: Whole) -> Whole:
    days: Whole = np.floor_divide(seconds, _DAY_S).astype("datetime64[D]")
    return days


def _months(seconds: Whole) -> Whole:
    return _days(seconds).astype("datetime64[M]")


def _day_of_month(seconds: Whole) -> Whole:
    days = _days(seconds)
    first = days.astype("datetime64[M]").astype("datetime64[D]")
    out: Whole = (days - first).astype(np.int64) + 1
    return out


def _day_of_year(seconds: Whole) -> Whole:
    days = _days(seconds)
    first = days.astype("datetime64[Y]").astype("datetime64[D]")
    out: Whole = (days - first).astype(np.int64) + 1
    return out


def _days_in_month(seconds: Whole) -> Whole:
    months = _months(seconds)
    following = (months + 1).astype("datetime64[D]")
    out: Whole = (following - months.astype("datetime64[D]")).astype(np.int64)
    return out


# Scalars and vectors.


def _time(ev: Evaluator, call: Call) -> Value:
    return Scalar(ev.times / 1000.0)


def _top_constant(value: Callable[[Evaluator], float]) -> Function:
    return lambda ev, call: Scalar(np.full(ev.steps, value(ev)))


def _of(pick: Callable[[Values, Values], Values]) -> Function:
    def function(ev: Evaluator, call: Call) -> Value:
        first, second = (ev.scalar(arg).values for arg in call.args)
        return Scalar(pick(first, second))

    return function


def _vector(ev: Evaluator, call: Call) -> Value:
    values = ev.scalar(call.args[0]).values
    return Block(LabelColumn([()]), values[None, :], np.ones((1, ev.steps), np.bool_))


def _scalar(ev: Evaluator, call: Call) -> Value:
    block = ev.vector(call.args[0]).floats_only()
    if len(block.labels) == 0:
        return Scalar(np.full(ev.steps, np.nan))
    row = block.present.argmax(axis=0)
    values = block.values[row, np.arange(ev.steps)]
    return Scalar(np.where(block.present.sum(axis=0) == 1, values, np.nan))


FUNCTIONS: dict[str, Function] = {
    "abs": _each(np.abs),
    "acos": _each(np.arccos),
    "acosh": _each(np.arccosh),
    "asin": _each(np.arcsin),
    "asinh": _each(np.arcsinh),
    "atan": _each(np.arctan),
    "atanh": _each(np.arctanh),
    "ceil": _each(np.ceil),
    "clamp": _clamp,
    "clamp_max": _clamp_max,
    "clamp_min": _clamp_min,
    "cos": _each(np.cos),
    "cosh": _each(np.cosh),
    "day_of_month": _date(_day_of_month),
    "day_of_week": _date(lambda s: (np.floor_divide(s, _DAY_S) + 4) % 7),
    "day_of_year": _date(_day_of_year),
    "days_in_month": _date(_days_in_month),
    "deg": _each(lambda v: v * 180 / math.pi),
    "end": _top_constant(lambda ev: ev.context.end_ms / 1000),
    "exp": _each(np.exp),
    "floor": _each(np.floor),
    "hour": _date(lambda s: s % _DAY_S // 3600),
    "ln": _each(np.log),
    "log10": _each(np.log10),
    "log2": _each(np.log2),
    "max_of": _of(np.maximum),
    "min_of": _of(np.minimum),
    "minute": _date(lambda s: s % 3600 // 60),
    "month": _date(lambda s: _months(s).astype(np.int64) % 12 + 1),
    "pi": _top_constant(lambda ev: math.pi),
    "rad": _each(lambda v: v * math.pi / 180),
    "range": _top_constant(lambda ev: ev.context.range_ms / 1000),
    "round": _round,
    "scalar": _scalar,
    "sgn": _each(_sgn),
    "sin": _each(np.sin),
    "sinh": _each(np.sinh),
    "sqrt": _each(np.sqrt),
    "start": _top_constant(lambda ev: ev.context.top.start_ms / 1000),
    "step": _top_constant(lambda ev: 0.0 if ev.context.instant else ev.context.top.step_ms / 1000),
    "tan": _each(np.tan),
    "tanh": _each(np.tanh),
    "time": _time,
    "vector": _vector,
    "year": _date(lambda s: _days(s).astype("datetime64[Y]").astype(np.int64) + 1970),
}
