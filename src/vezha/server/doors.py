"""The routes of other people's protocols: `legacy` knows the formats, `api` who may."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from vezha.access import Action
from vezha.api.route import Call, Route
from vezha.legacy.doors import Answer, Doors

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


ROUTES: tuple[Route, ...] = (
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
