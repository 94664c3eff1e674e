"""Exemplars and metadata of metrics, as Prometheus's API has them.

What exporters and senders said; of metrics that nobody described, the kind as far as the name tells.
"""

from __future__ import annotations

from typing import Annotated, Any

import anyio
import msgspec
import orjson
from starlette.responses import Response

from vezha.access import Action
from vezha.api import limits
from vezha.api.charts import wait_gone
from vezha.api.errors import ApiError
from vezha.api.packing import coding_for, pack
from vezha.api.prometheus_times import MS_MAX, bad_parameter, parse_time_ms
from vezha.api.question import Listing
from vezha.api.route import Call, Route
from vezha.model.labels import METRIC_NAME
from vezha.model.metadata import METRIC_KINDS, MetricMetadata
from vezha.query import ParseError
from vezha.query.ast import VectorSelector, walk
from vezha.query.parser import parse
from vezha.store.exemplars import Exemplars
from vezha.store.metadata import MetadataBook

EXEMPLARS = "exemplars"
METADATA = "metadata"
"""Among the services' extras: the files of both."""
_Limit = Annotated[int, msgspec.Meta(ge=-1, le=2**31)]


class MetadataQuery(msgspec.Struct):
    """`/api/v1/metadata`."""

    metric: str = ""
    limit: _Limit = 0
    limit_per_metric: _Limit = 0


class ExemplarQuery(msgspec.Struct):
    """`/api/v1/query_exemplars`."""

    query: str = ""
    start: str = ""
    end: str = ""


async def metadata(call: Call) -> Response:
    """Kind, unit and meaning of metrics."""
    wish: MetadataQuery = call.query
    book: MetadataBook | None = call.services.extra.get(METADATA)
    known = {} if book is None else book.all()
    if wish.metric:
        names = [wish.metric] if wish.metric in known else await _names(call, wish.metric)
    else:
        names = sorted({*known, *await _names(call, "")})
    if wish.limit > 0:
        names = names[: wish.limit]
    per_metric = wish.limit_per_metric if wish.limit_per_metric > 0 else None
    data = {
        name: [_shown(about) for about in (known.get(name) or (_guessed(name),))[:per_metric]]
        for name in names
    }
    body = orjson.dumps({"status": "success", "data": data})
    return pack(body, coding_for(call.request)).response()


async def _names(call: Call, metric: str) -> list[str]:
    """Names of stored metrics; of *metric* only, if it is one of them."""
    querying = call.services.querying
    if querying is None:
        raise ApiError(503, "unavailable", "The store is not open.", error_type="unavailable")
    listing = Listing("values", ((),), 0, MS_MAX, METRIC_NAME)
    packed = await querying.names(listing, gone=lambda: wait_gone(call))
    names: list[str] = orjson.loads(packed.data)["data"]
    return [name for name in names if not metric or name == metric]


def _guessed(name: str) -> MetricMetadata:
    return MetricMetadata("counter" if name.endswith("_total") else METRIC_KINDS[0])


def _shown(about: MetricMetadata) -> dict[str, str]:
    return {"type": about.kind, "help": about.help, "unit": about.unit}


async def exemplars(call: Call) -> dict[str, Any]:
    """Exemplars of the series that a query's selectors choose."""
    wish: ExemplarQuery = call.query
    now_ms = call.services.now_ms()
    start_ms = parse_time_ms(wish.start, "start") if wish.start else 0
    end_ms = parse_time_ms(wish.end, "end") if wish.end else now_ms
    if end_ms < start_ms:
        raise bad_parameter("end", "end timestamp must not be before start timestamp")
    try:
        tree = parse(wish.query)
    except ParseError as error:
        raise bad_parameter("query", str(error)) from error
    selectors = [node.matchers for node in walk(tree) if isinstance(node, VectorSelector)]
    stored: Exemplars | None = call.services.extra.get(EXEMPLARS)
    if stored is None or not selectors:
        return {"status": "success", "data": []}
    most = limits.EXEMPLARS_SHOWN_MAX

    found = await anyio.to_thread.run_sync(stored.select, selectors, start_ms, end_ms, most + 1)
    answer: dict[str, Any] = {
        "status": "success",
        "data": [
            {
                "seriesLabels": dict(labels),
                "exemplars": [
                    {
                        "labels": dict(one.labels),
                        "value": f"{one.value:.17g}",
                        "timestamp": one.ts_ms / 1000,
                    }
                    for one in rows
                ],
            }
            for labels, rows in found
        ],
    }
    if sum(len(rows) for _, rows in found) > most:
        answer["warnings"] = [f"there are more than {most} exemplars: ask for a shorter span"]
    return answer


ROUTES = (
    Route("GET", "/api/v1/metadata", Action.SAMPLES_READ, metadata,
          "Kinds, units and meanings of metrics.", query=MetadataQuery, prometheus=True),
    Route("GET", "/api/v1/query_exemplars", Action.SAMPLES_READ, exemplars,
          "Exemplars of the series that a query's selectors choose.", query=ExemplarQuery,
          prometheus=True),
    Route("POST", "/api/v1/query_exemplars", Action.SAMPLES_READ, exemplars,
          "Exemplars of the series that a query's selectors choose.", query=ExemplarQuery,
          form=True, prometheus=True),
)  # fmt: skip
