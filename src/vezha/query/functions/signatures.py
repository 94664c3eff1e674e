"""Names, argument types and result types of all functions, as of Prometheus 3.14."""

from __future__ import annotations

from dataclasses import dataclass

from vezha.query.ast import Type

S, V, M, T = Type.SCALAR, Type.VECTOR, Type.MATRIX, Type.STRING


@dataclass(frozen=True, slots=True)
class Signature:
    """`variadic`: 0 all arguments needed, n > 0 the last n optional, -1 the last any often."""

    name: str
    args: tuple[Type, ...]
    returns: Type
    variadic: int = 0
    experimental: bool = False


def _table() -> dict[str, Signature]:
    rows: list[Signature] = []
    rows += [
        Signature(name, (V,), V)
        for name in (
        "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "deg",
        "exp", "floor", "ln", "log10", "log2", "rad", "sgn", "sin", "sinh", "sqrt", "tan", "tanh",
        "absent", "histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar",
        "histogram_sum", "sort", "sort_desc", "timestamp",
    )
    ]  # fmt: skip
    rows += [
        Signature(name, (M,), V)
        for name in (
        "absent_over_time", "avg_over_time", "changes", "count_over_time", "delta", "deriv",
        "idelta", "increase", "irate", "last_over_time", "max_over_time", "min_over_time",
        "present_over_time", "rate", "resets", "stddev_over_time", "stdvar_over_time",
        "sum_over_time",
    )
    ]  # fmt: skip
    rows += [
        Signature(name, (M,), V, experimental=True)
        for name in (
        "first_over_time", "mad_over_time", "ts_of_first_over_time", "ts_of_last_over_time",
        "ts_of_max_over_time", "ts_of_min_over_time",
    )
    ]  # fmt: skip
    rows += [
        Signature(name, (V,), V, variadic=1)
        for name in (
        "days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month",
        "year",
    )
    ]  # fmt: skip
    rows += [
        Signature(name, (), S, experimental=True) for name in ("end", "range", "start", "step")
    ]
    rows += [
        Signature("clamp", (V, S, S), V),
        Signature("clamp_max", (V, S), V),
        Signature("clamp_min", (V, S), V),
        Signature("double_exponential_smoothing", (M, S, S), V, experimental=True),
        Signature("histogram_fraction", (S, S, V), V),
        Signature("histogram_quantile", (S, V), V),
        Signature("histogram_quantiles", (V, T, S, S), V, variadic=-1, experimental=True),
        Signature("info", (V, V), V, variadic=1, experimental=True),
        Signature("label_join", (V, T, T, T), V, variadic=-1),
        Signature("label_replace", (V, T, T, T, T), V),
        Signature("max_of", (S, S), S, experimental=True),
        Signature("min_of", (S, S), S, experimental=True),
        Signature("pi", (), S),
        Signature("predict_linear", (M, S), V),
        Signature("quantile_over_time", (S, M), V),
        Signature("round", (V, S), V, variadic=1),
        Signature("scalar", (V,), S),
        Signature("sort_by_label", (V, T), V, variadic=-1, experimental=True),
        Signature("sort_by_label_desc", (V, T), V, variadic=-1, experimental=True),
        Signature("start_timestamp", (V,), V, experimental=True),
        Signature("time", (), S),
        Signature("vector", (S,), V),
    ]
    return {row.name: row for row in rows}


SIGNATURES: dict[str, Signature] = _table()

AGGREGATIONS = frozenset({
    "avg", "bottomk", "count", "count_values", "group", "limit_ratio", "limitk", "max", "min",
    "quantile", "stddev", "stdvar", "sum", "topk",
})  # fmt: skip
PARAM_AGGREGATIONS = frozenset(
    {"bottomk", "count_values", "limit_ratio", "limitk", "quantile", "topk"}
)
EXPERIMENTAL_AGGREGATIONS = frozenset({"limitk", "limit_ratio"})

AT_UNSAFE = frozenset({
    "days_in_month", "day_of_month", "day_of_week", "day_of_year", "hour", "minute", "month",
    "year", "predict_linear", "time", "timestamp", "start_timestamp", "info",
})  # fmt: skip
"""Functions whose answer depends on the step even where their selectors do not."""
