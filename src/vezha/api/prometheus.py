"""The Prometheus query API: what Grafana and every other client of Prometheus asks for.

Compatible in paths, parameters (GET and form POST), answers and errors. Beyond it:
`explain=1` adds what each node of the query cost. The format is Prometheus's:
https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import msgspec
import orjson
from starlette.responses import Response

from vezha import __version__
from vezha.access import Action
from vezha.api import limits
from vezha.api.charts import wait_gone
from vezha.api.errors import ApiError
from vezha.api.packing import Packed, accepts_gzip, pack
from vezha.api.prometheus_times import (
    MS_MAX,
    bad_parameter,
    decode_label_name,
    parse_duration_ms,
    parse_time_ms,
)
from vezha.api.querying import Querying
from vezha.api.route import Call, Route
from vezha.model.columns import Matcher, SampleSource
from vezha.model.labels import METRIC_NAME, Labels
from vezha.query import Engine, ParseError, Result, ResultKind
from vezha.query.encode import encode_result
from vezha.query.parser import parse_selector

PROMETHEUS_VERSION = "3.5.0"
"""Which Prometheus clients may take us for: it decides what they dare to ask."""
TRUNCATED = "results truncated due to limit"

_Limit = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class InstantQuery(msgspec.Struct):
    """`/api/v1/query`."""

    query: str = ""
    time: str = ""
    timeout: str = ""
    lookback_delta: str = ""
    limit: _Limit = 0
    stats: str = ""
    explain: str = ""


class RangeQuery(msgspec.Struct):
    """`/api/v1/query_range`."""

    query: str = ""
    start: str = ""
    end: str = ""
    step: str = ""
    timeout: str = ""
    lookback_delta: str = ""
    limit: _Limit = 0
    stats: str = ""
    explain: str = ""


class SeriesQuery(msgspec.Struct):
    """`/api/v1/series`, `/api/v1/labels` and values of a label."""

    match: list[str] = msgspec.field(default_factory=list, name="match[]")
    start: str = ""
    end: str = ""
    limit: _Limit = 0


class MetadataQuery(msgspec.Struct):
    """`/api/v1/metadata`."""

    metric: str = ""
    limit: _Limit = 0
    limit_per_metric: _Limit = 0


async def instant(call: Call) -> Response:
    """The value of a query at one time."""
    wish: InstantQuery = call.query
    querying = _querying(call)
    time_ms = parse_time_ms(wish.time, "time") if wish.time else call.services.now_ms()
    engine = _engine(querying, wish.lookback_delta)
    explain = _is_on(wish.explain)

    def ask(cancelled: Callable[[], bool]) -> Result:
        return engine.instant(wish.query, time_ms, cancelled=cancelled, explain=explain)

    return await _answer(call, querying, wish, ask)


async def range_(call: Call) -> Response:
    """The values of a query over a span."""
    wish: RangeQuery = call.query
    querying = _querying(call)
    start_ms, end_ms = parse_time_ms(wish.start, "start"), parse_time_ms(wish.end, "end")
    if end_ms < start_ms:
        raise bad_parameter("end", "end timestamp must not be before start time")
    step_ms = parse_duration_ms(wish.step, "step")
    if step_ms <= 0:
        raise bad_parameter(
            "step",
            "zero or negative query resolution step widths are not accepted. "
            "Try a positive integer",
        )
    if (end_ms - start_ms) // step_ms > limits.RANGE_POINTS_MAX:
        raise ApiError(
            400, "bad_data",
            f"exceeded maximum resolution of {limits.RANGE_POINTS_MAX:,} points per timeseries. "
            "Try decreasing the query resolution (?step=XX)", error_type="bad_data",
        )  # fmt: skip
    engine = _engine(querying, wish.lookback_delta)
    explain = _is_on(wish.explain)

    def ask(cancelled: Callable[[], bool]) -> Result:
        return engine.range(
            wish.query, start_ms, end_ms, step_ms, cancelled=cancelled, explain=explain
        )

    return await _answer(call, querying, wish, ask)


async def series(call: Call) -> Response:
    """Label sets that fit any of the selectors."""
    wish: SeriesQuery = call.query
    if not wish.match:
        raise ApiError(400, "bad_data", "no match[] parameter provided", error_type="bad_data")
    start_ms, end_ms = _span(wish)
    selectors = _selectors(wish)

    def find(source: SampleSource) -> list[Any]:
        found: dict[Labels, None] = {}
        for matchers in selectors:
            found.update(dict.fromkeys(source.series(matchers, start_ms, end_ms, 0)))
        return [dict(labels) for labels in sorted(found)]

    return await _listed(call, "series", find, wish.limit)


async def labels(call: Call) -> Response:
    """Names of labels."""
    wish: SeriesQuery = call.query
    start_ms, end_ms = _span(wish)
    selectors = _selectors(wish) or [()]

    def find(source: SampleSource) -> list[Any]:
        found: set[str] = set()
        for matchers in selectors:
            found.update(source.label_names(matchers, start_ms, end_ms))
        return sorted(found)

    return await _listed(call, "labels", find, wish.limit)


async def label_values(call: Call) -> Response:
    """Values of one label."""
    wish: SeriesQuery = call.query
    start_ms, end_ms = _span(wish)
    selectors = _selectors(wish) or [()]
    name = decode_label_name(call.path["name"])

    def find(source: SampleSource) -> list[Any]:
        found: set[str] = set()
        for matchers in selectors:
            found.update(source.label_values(name, matchers, start_ms, end_ms))
        return sorted(found)

    return await _listed(call, f"values of {name}", find, wish.limit)


async def metadata(call: Call) -> Response:
    """Kinds of metrics, as far as their names tell: counters end in `_total`."""
    wish: MetadataQuery = call.query
    querying = _querying(call)

    def find(_cancelled: Callable[[], bool]) -> Packed:
        names = querying.source.label_values(METRIC_NAME, (), 0, MS_MAX)
        if wish.metric:
            names = [name for name in names if name == wish.metric]
        kept = names[: wish.limit] if wish.limit else names
        told = {name: [{"type": _kind_of(name), "help": "", "unit": ""}] for name in kept}
        return pack(orjson.dumps({"status": "success", "data": told}), accepts_gzip(call.request))

    packed = await querying.run(find, "metadata", gone=lambda: wait_gone(call))
    return packed.response()


async def build_info(_call: Call) -> dict[str, Any]:
    """What clients ask first. `version` is Prometheus's that we are compatible with."""
    return {
        "status": "success",
        "data": {
            "version": PROMETHEUS_VERSION,
            "revision": f"vezha-{__version__}",
            "branch": "HEAD",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        },
    }


async def exemplars(_call: Call) -> dict[str, Any]:
    """There are none: exemplars are not stored."""
    return {"status": "success", "data": []}


async def _answer(
    call: Call,
    querying: Querying,
    wish: InstantQuery | RangeQuery,
    ask: Callable[[Callable[[], bool]], Result],
) -> Response:
    timeout_s = parse_duration_ms(wish.timeout, "timeout") / 1000 if wish.timeout else None
    if timeout_s is not None and timeout_s <= 0:
        raise bad_parameter("timeout", "the time-out must be positive")
    gzip, explain = accepts_gzip(call.request), _is_on(wish.explain)

    def work(cancelled: Callable[[], bool]) -> Packed:
        result = ask(cancelled)
        if wish.limit:
            truncate(result, wish.limit)
        stats = "all" if wish.stats == "all" else ("1" if wish.stats else "")
        return pack(encode_result(result, stats, explain), gzip)

    try:
        packed = await querying.run(
            work, wish.query, timeout_s=timeout_s, gone=lambda: wait_gone(call)
        )
    except ApiError as error:
        if isinstance(error.__cause__, ParseError):
            raise bad_parameter("query", error.message) from error
        raise
    return packed.response()


async def _listed(
    call: Call, what: str, find: Callable[[SampleSource], list[Any]], limit: int
) -> Response:
    querying, gzip = _querying(call), accepts_gzip(call.request)

    def work(_cancelled: Callable[[], bool]) -> Packed:
        found = find(querying.source)
        shown: dict[str, Any] = {"status": "success", "data": found}
        if limit and len(found) > limit:
            shown["data"] = found[:limit]
            shown["warnings"] = [TRUNCATED]
        return pack(orjson.dumps(shown), gzip)

    return (await querying.run(work, what, gone=lambda: wait_gone(call))).response()


def truncate(result: Result, limit: int) -> None:
    """Keep the first *limit* series and warn."""
    if result.kind not in (ResultKind.VECTOR, ResultKind.MATRIX) or len(result.labels) <= limit:
        return
    result.labels = result.labels[:limit]
    result.values, result.present = result.values[:limit], result.present[:limit]
    if result.hists is not None:
        result.hists = result.hists[:limit]
    result.warnings = [*result.warnings, TRUNCATED]


def _querying(call: Call) -> Querying:
    if call.services.querying is None:
        raise ApiError(503, "unavailable", "The store is not open.", error_type="unavailable")
    return call.services.querying


def _engine(querying: Querying, lookback: str) -> Engine:
    if not lookback:
        return querying.engine
    lookback_ms = parse_duration_ms(lookback, "lookback_delta")
    if lookback_ms <= 0:
        raise bad_parameter("lookback_delta", "the duration must be positive")
    engine = querying.engine
    options = replace(engine.options, lookback_ms=lookback_ms)
    return Engine(engine.source, engine.limits, options)


def _span(wish: SeriesQuery) -> tuple[int, int]:
    start_ms = parse_time_ms(wish.start, "start") if wish.start else 0
    end_ms = parse_time_ms(wish.end, "end") if wish.end else MS_MAX
    if end_ms < start_ms:
        raise bad_parameter("end", "end timestamp must not be before start time")
    return start_ms, end_ms


def _selectors(wish: SeriesQuery) -> list[tuple[Matcher, ...]]:
    try:
        return [parse_selector(text) for text in wish.match]
    except ParseError as error:
        raise bad_parameter("match[]", str(error)) from error


def _kind_of(name: str) -> str:
    return "counter" if name.endswith("_total") else "unknown"


def _is_on(text: str) -> bool:
    return text not in ("", "0", "false")


def _both(path: str, handler: Any, summary: str, query: type[Any]) -> tuple[Route, Route]:
    """GET and form POST, which Grafana prefers."""
    return (
        Route("GET", path, Action.SAMPLES_READ, handler, summary, query=query, prometheus=True),
        Route("POST", path, Action.SAMPLES_READ, handler, summary, query=query, form=True,
              prometheus=True),
    )  # fmt: skip


ROUTES = (
    *_both("/api/v1/query", instant, "PromQL at one time.", InstantQuery),
    *_both("/api/v1/query_range", range_, "PromQL over a span.", RangeQuery),
    *_both("/api/v1/series", series, "Label sets that fit selectors.", SeriesQuery),
    *_both("/api/v1/labels", labels, "Names of labels.", SeriesQuery),
    Route("GET", "/api/v1/label/{name:path}/values", Action.SAMPLES_READ, label_values,
          "Values of a label.", query=SeriesQuery, prometheus=True),
    Route("GET", "/api/v1/metadata", Action.SAMPLES_READ, metadata, "Kinds of metrics.",
          query=MetadataQuery, prometheus=True),
    *_both("/api/v1/query_exemplars", exemplars, "Exemplars: always none.", InstantQuery),
    Route("GET", "/api/v1/status/buildinfo", Action.SAMPLES_READ, build_info,
          "Which Prometheus this is compatible with.", prometheus=True),
)  # fmt: skip
