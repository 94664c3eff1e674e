"""The routes of other people's protocols: `legacy` knows the formats, `api` who may."""

from __future__ import annotations

import re
from typing import Any

import anyio
import msgspec
from starlette.responses import Response

from vezha.access import Action
from vezha.api.errors import InvalidError, UnavailableError
from vezha.api.prometheus_times import parse_time_ms
from vezha.api.route import Call, Route
from vezha.legacy.doors import Answer, Doors
from vezha.legacy.errors import NotNow
from vezha.model.columns import Matcher
from vezha.model.labels import get_label
from vezha.query.errors import ParseError
from vezha.query.parser import parse_selector
from vezha.store.matching import value_test

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}")


def _response(answer: Answer) -> Response:
    return Response(
        answer.body,
        answer.status,
        headers=dict(answer.headers),
        media_type=answer.content_type if answer.body else None,
    )


def _doors(call: Call) -> Doors:
    doors = call.services.extra["doors"]
    assert isinstance(doors, Doors)
    return doors


async def remote_write(call: Call) -> Any:
    """`POST /api/v1/write`."""
    return _response(await _doors(call).remote_write(call.request.headers, call.request.stream()))


async def otlp(call: Call) -> Any:
    """`POST /api/v1/otlp/v1/metrics`."""
    return _response(await _doors(call).otlp(call.request.headers, call.request.stream()))


async def text(call: Call) -> Any:
    """`POST /api/v1/import/prometheus`; each `label=value` parameter is set on every series."""
    extra = {k: v[:256] for k, v in call.request.query_params.items() if _LABEL.fullmatch(k)}
    return _response(await _doors(call).text(call.request.headers, call.request.stream(), extra))


async def delete_series(call: Call) -> Any:
    """`POST /api/v1/admin/tsdb/delete_series`, as Prometheus has it."""
    asked = call.request.query_params
    selectors = asked.getlist("match[]")
    if not selectors:
        raise InvalidError('Name what to delete: match[]=up{instance="db-1"}.', "match[]")
    try:
        wanted = [parse_selector(text) for text in selectors]
    except ParseError as error:
        raise InvalidError(f"match[]: {error}", "match[]") from None
    start_ms, end_ms = (
        parse_time_ms(asked[name], name) if name in asked else None for name in ("start", "end")
    )
    count = 0
    try:
        for matchers in wanted:
            count += await _doors(call).feed.delete(matchers, start_ms, end_ms)
    except NotNow as error:
        raise UnavailableError(str(error)) from None
    await anyio.to_thread.run_sync(_note_deleted, call, selectors, count)
    return Response(status_code=204)


def _note_deleted(call: Call, selectors: list[str], count: int) -> None:
    bounds = {k: v for k, v in call.request.query_params.items() if k in ("start", "end")}
    with call.services.ledger.begin() as connection:
        detail = {"match": selectors, "series": count, **bounds}
        call.audit(connection, target="samples", detail=detail)


class TargetMetadataQuery(msgspec.Struct):
    """`/api/v1/targets/metadata`."""

    match_target: str = ""
    metric: str = ""
    limit: int = 0


async def targets_metadata(call: Call) -> dict[str, Any]:
    """What each scraped target said of its metrics, as Prometheus has it."""
    wish: TargetMetadataQuery = call.query
    matchers: tuple[Matcher, ...] = ()
    if wish.match_target:
        try:
            matchers = parse_selector(wish.match_target)
        except ParseError as error:
            raise InvalidError(f"match_target: {error}", "match_target") from None
    tests = [(matcher.name, value_test(matcher)) for matcher in matchers]
    scrapes = _doors(call).scrapes
    found = []
    for target, name, about in [] if scrapes is None else scrapes.metadata():
        fits = all(test.accepts(get_label(target, label)) for label, test in tests)
        if fits and wish.metric in ("", name):
            shown = {"type": about.kind, "help": about.help, "unit": about.unit}
            own = {} if wish.metric else {"metric": name}
            found.append({"target": dict(target), **own, **shown})
    return {"status": "success", "data": found[: wish.limit] if wish.limit > 0 else found}


ROUTES: tuple[Route, ...] = (
    *(
        Route(
            method, "/api/v1/admin/tsdb/delete_series", Action.SAMPLES_DELETE, delete_series,
            "Delete samples of the series that match.", status=204,
        )
        for method in ("POST", "PUT")
    ),
    Route(
        "GET", "/api/v1/targets/metadata", Action.SAMPLES_READ, targets_metadata,
        "What scraped targets said of their metrics.", query=TargetMetadataQuery, prometheus=True,
    ),
    Route(
        "POST", "/api/v1/write", Action.SAMPLES_WRITE, remote_write,
        "Prometheus remote write, 1.0 and 2.0.", status=204,
    ),
    Route(
        "POST", "/api/v1/otlp/v1/metrics", Action.SAMPLES_WRITE, otlp,
        "OTLP metrics over HTTP, protobuf or JSON.",
    ),
    Route(
        "POST", "/api/v1/import/prometheus", Action.SAMPLES_WRITE, text,
        "Samples in Prometheus's text format; parameters become labels.", status=204,
    ),
)  # fmt: skip
