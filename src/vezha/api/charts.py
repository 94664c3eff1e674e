"""`/api/v1/charts/host` and `/api/v1/hosts/{name}/charts`: a host's charts and their past."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson
from starlette.responses import Response

from vezha.access import Action
from vezha.access.host import find_host
from vezha.api import host_charts, limits
from vezha.api.dispatch import run_in_thread
from vezha.api.errors import InvalidError, NotFoundError, UnavailableError
from vezha.api.host_charts import CHARTS, LEGENDS_PER_SERIES_MAX, PRESENCE_EXPR
from vezha.api.packing import Packed, coding_for, pack
from vezha.api.route import Call, Route
from vezha.model.columns import Values
from vezha.model.labels import Labels
from vezha.query.engine import Engine

_DIGITS = 4
"""Significant digits of a charted value: more than a chart can show, half the bytes."""


class ChartSeriesView(msgspec.Struct):
    """One expression of a chart; `$instance` stands for the host, `$window` for a rate's span."""

    id: str
    legend: str
    expr: str


class ChartView(msgspec.Struct):
    """One chart; `title` is a key of the pages' texts."""

    id: str
    group: str
    title: str
    unit: str
    max: float | None
    series: list[ChartSeriesView]


class ChartsView(msgspec.Struct):
    """A host's charts in the order of the page."""

    charts: list[ChartView]


class HistoryQuery(msgspec.Struct):
    """Span and step in seconds; default: the last 15 minutes by the second."""

    start: Annotated[float, msgspec.Meta(ge=0, le=4e10)] | None = None
    end: Annotated[float, msgspec.Meta(ge=0, le=4e10)] | None = None
    step: Annotated[float, msgspec.Meta(ge=0.1, le=86_400)] = 1.0


class HistorySeriesView(msgspec.Struct):
    """One line: a value per step, null for a gap."""

    chart: str
    legend: str
    labels: dict[str, str]
    values: list[float | None]


class HistoryView(msgspec.Struct):
    """`count` steps from `start` on, `step` seconds apart."""

    start: float
    step: float
    count: int
    series: list[HistorySeriesView]


async def describe(_call: Call) -> dict[str, Any]:
    """The 24 charts."""
    return {"charts": host_charts.describe_charts()}


async def history(call: Call) -> Response:
    """All charts of a host over a span, in columns."""
    query: HistoryQuery = call.query
    querying = call.services.querying
    if querying is None:
        raise UnavailableError("The store is not open.")
    name = call.path["name"]
    if await run_in_thread(call.services, find_host, call.services.ledger, name) is None:
        raise NotFoundError(f"There is no host {name!r}.")
    start_ms, step_ms, count = _span(query, call.services.now_ms())
    coding = coding_for(call.request)

    def work(cancelled: Callable[[], bool]) -> Packed:
        series = evaluate(querying.engine, name, start_ms, step_ms, count, cancelled)
        data = orjson.dumps(
            {"start": start_ms / 1000, "step": step_ms / 1000, "count": count, "series": series},
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        return pack(data, coding, level=6)

    packed = await querying.run(work, f"charts of {name}", gone=lambda: wait_gone(call))
    return packed.response()


def evaluate(
    engine: Engine,
    host: str,
    start_ms: int,
    step_ms: int,
    count: int,
    cancelled: Callable[[], bool] | None = None,
) -> list[dict[str, Any]]:
    """Every line of a host's charts: chart, legend, labels, values float32[count], NaN = gap."""
    end_ms, step_s = start_ms + (count - 1) * step_ms, step_ms / 1000

    def ask(template: str) -> tuple[list[Labels], Values]:
        text = host_charts.expression(template, host, step_s)
        result = engine.range(text, start_ms, end_ms, step_ms, cancelled=cancelled)
        return result.labels, result.filled()

    _, there = ask(PRESENCE_EXPR)
    absent = np.ones(count, np.bool_) if not len(there) else np.isnan(there).all(axis=0)
    lines = []
    for chart in CHARTS:
        for series in chart.series:
            labels, values = ask(series.expr)
            found = {
                host_charts.legend_of(series, one): (one, values[i]) for i, one in enumerate(labels)
            }
            for legend in _kept(found):
                one, row = found[legend]
                shown = rounded(np.where(absent, np.nan, row))
                names = {n: v for n, v in one if n not in ("instance", "job", "__name__")}
                lines.append(
                    {"chart": chart.id, "legend": legend, "labels": names, "values": shown}
                )
    return lines


def _kept(found: dict[str, tuple[Labels, Values]]) -> list[str]:
    """Of many disks or file systems the first few, in a stable order, as the live stream does."""
    return sorted(found)[:LEGENDS_PER_SERIES_MAX]


def rounded(values: Values) -> np.ndarray[Any, np.dtype[np.float32]]:
    """float32: *values* with four significant digits, NaN and infinities as NaN."""
    clean = np.where(np.isfinite(values), values, np.nan)
    size = np.abs(clean)
    exponent = np.floor(np.log10(np.where(size > 0, size, 1.0)))
    scale = 10.0 ** (_DIGITS - 1 - exponent)
    return (np.round(clean * scale) / scale).astype(np.float32)


def _span(query: HistoryQuery, now_ms: int) -> tuple[int, int, int]:
    step_ms = max(1, round(query.step * 1000))
    end_ms = now_ms if query.end is None else round(query.end * 1000)
    start_ms = end_ms - 900_000 if query.start is None else round(query.start * 1000)
    if end_ms < start_ms:
        raise InvalidError("The end lies before the start.", "end")
    # On whole steps: the same moments whoever asks, so that live values continue the line.
    start_ms -= start_ms % step_ms
    count = (end_ms - start_ms) // step_ms + 1
    if count > limits.CHART_POINTS_MAX:
        raise InvalidError(
            f"{count} steps are more than {limits.CHART_POINTS_MAX}: choose a longer step.", "step"
        )
    return start_ms, step_ms, count


async def wait_gone(call: Call) -> None:
    """Returns when the client hung up."""
    while True:
        message = await call.request.receive()
        if message["type"] == "http.disconnect":
            return
        await asyncio.sleep(0)


ROUTES = (
    Route("GET", "/api/v1/charts/host", Action.HOST_READ, describe,
          "The charts of a host and their expressions.", result=ChartsView),
    Route("GET", "/api/v1/hosts/{name}/charts", Action.HOST_READ, history,
          "A host's charts over a span, in columns.", query=HistoryQuery, result=HistoryView),
)  # fmt: skip
