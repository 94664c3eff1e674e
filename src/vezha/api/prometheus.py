"""The Prometheus query API: what Grafana and every other client of Prometheus asks for.

Compatible in paths, parameters (GET and form POST), answers and errors. Beyond it:
`explain=1` adds what each node of the query cost. The format is Prometheus's:
https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated, Any

import anyio
import msgspec
from starlette.responses import Response

from vezha import __version__
from vezha.access import Action
from vezha.api import limits
from vezha.api.charts import wait_gone
from vezha.api.errors import ApiError
from vezha.api.packing import coding_for
from vezha.api.prometheus_times import (
    MS_MAX,
    bad_parameter,
    decode_label_name,
    parse_duration_ms,
    parse_time_ms,
)
from vezha.api.querying import Querying
from vezha.api.question import Listing, Question
from vezha.api.route import Call, Route
from vezha.model.columns import Matcher
from vezha.query import ParseError
from vezha.query.parser import parse_selector

PROMETHEUS_VERSION = "3.5.0"
"""Which Prometheus clients may take us for: it decides what they dare to ask."""

RETENTION = "retention"
"""Among the services' extras: a row for each retention policy, the general one last."""
BEGAN_S = "began_s"
"""Likewise: when the server began, seconds since the epoch."""
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


async def instant(call: Call) -> Response:
    """The value of a query at one time."""
    wish: InstantQuery = call.query
    querying = _querying(call)
    time_ms = parse_time_ms(wish.time, "time") if wish.time else call.services.now_ms()
    return await _answer(call, querying, wish, time_ms, time_ms, 0)


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
    return await _answer(call, querying, wish, start_ms, end_ms, step_ms)


async def series(call: Call) -> Response:
    """Label sets that fit any of the selectors."""
    wish: SeriesQuery = call.query
    if not wish.match:
        raise ApiError(400, "bad_data", "no match[] parameter provided", error_type="bad_data")
    return await _listed(call, wish, "series", _selectors(wish))


async def labels(call: Call) -> Response:
    """Names of labels."""
    wish: SeriesQuery = call.query
    return await _listed(call, wish, "labels", _selectors(wish) or [()])


async def label_values(call: Call) -> Response:
    """Values of one label."""
    wish: SeriesQuery = call.query
    name = decode_label_name(call.path["name"])
    return await _listed(call, wish, "values", _selectors(wish) or [()], name)


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


async def runtime_info(call: Call) -> dict[str, Any]:
    """Since when the server runs and how long samples are kept. `retention` is ours: the
    policies in their order, the general one last."""
    began_s = call.services.extra.get(BEGAN_S, 0)
    policies: list[dict[str, Any]] = call.services.extra.get(RETENTION, [])
    general_s = policies[-1]["samplesSeconds"] if policies else 0
    return {
        "status": "success",
        "data": {
            "startTime": datetime.fromtimestamp(began_s, timezone.utc).isoformat(),
            "storageRetention": f"{general_s:.0f}s",
            "retention": policies,
        },
    }


class StatusQuery(msgspec.Struct):
    """`/api/v1/status/tsdb`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10


async def tsdb_status(call: Call) -> dict[str, Any]:
    """What has the most series. `seriesCountBySource` is ours: an instance and a job, and the
    label with the most values among its series."""
    wish: StatusQuery = call.query
    ask = getattr(_querying(call).source, "cardinality", None)
    if ask is None:
        raise ApiError(404, "not_found", "This source of samples does not count its series.")
    found = await anyio.to_thread.run_sync(ask, wish.limit)
    return {
        "status": "success",
        "data": {
            "headStats": {"numSeries": found.series},
            "seriesCountByMetricName": [_named(*pair) for pair in found.metrics],
            "labelValueCountByLabelName": [_named(*pair) for pair in found.labels],
            "seriesCountBySource": [
                {
                    "instance": source.instance, "job": source.job, "value": source.series,
                    "label": source.label, "labelValues": source.values,
                }
                for source in found.sources
            ],
        },
    }  # fmt: skip


def _named(name: str, value: int) -> dict[str, Any]:
    return {"name": name, "value": value}


async def _answer(
    call: Call,
    querying: Querying,
    wish: InstantQuery | RangeQuery,
    start_ms: int,
    end_ms: int,
    step_ms: int,
) -> Response:
    timeout_s = parse_duration_ms(wish.timeout, "timeout") / 1000 if wish.timeout else None
    if timeout_s is not None and timeout_s <= 0:
        raise bad_parameter("timeout", "the time-out must be positive")
    question = Question(
        wish.query, start_ms, end_ms, step_ms, _lookback_ms(wish.lookback_delta), wish.limit,
        "all" if wish.stats == "all" else ("1" if wish.stats else ""),
        _is_on(wish.explain), coding_for(call.request),
    )  # fmt: skip
    try:
        found = await querying.answer(question, timeout_s=timeout_s, gone=lambda: wait_gone(call))
    except ApiError as error:
        if isinstance(error.__cause__, ParseError):
            raise bad_parameter("query", error.message) from error
        raise
    return querying.response(found)


async def _listed(
    call: Call,
    wish: SeriesQuery,
    what: str,
    selectors: list[tuple[Matcher, ...]],
    name: str = "",
) -> Response:
    start_ms, end_ms = _span(wish)
    coding = coding_for(call.request)
    listing = Listing(what, tuple(selectors), start_ms, end_ms, name, wish.limit, coding)
    return (await _querying(call).names(listing, gone=lambda: wait_gone(call))).response()


def _querying(call: Call) -> Querying:
    if call.services.querying is None:
        raise ApiError(503, "unavailable", "The store is not open.", error_type="unavailable")
    return call.services.querying


def _lookback_ms(lookback: str) -> int:
    if not lookback:
        return 0
    lookback_ms = parse_duration_ms(lookback, "lookback_delta")
    if lookback_ms <= 0:
        raise bad_parameter("lookback_delta", "the duration must be positive")
    return lookback_ms


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
    Route("GET", "/api/v1/status/buildinfo", Action.SAMPLES_READ, build_info,
          "Which Prometheus this is compatible with.", prometheus=True),
    Route("GET", "/api/v1/status/runtimeinfo", Action.SAMPLES_READ, runtime_info,
          "Since when it runs, and how long samples are kept.", prometheus=True),
    Route("GET", "/api/v1/status/tsdb", Action.SAMPLES_READ, tsdb_status,
          "What has the most series.", query=StatusQuery, prometheus=True),
)  # fmt: skip
