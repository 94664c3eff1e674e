"""`/healthz` and `/metrics`: how the web contour itself is."""

from __future__ import annotations

from contextlib import suppress

import msgspec
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from vezha import __version__
from vezha.access import Action
from vezha.api.errors import UnavailableError
from vezha.api.route import Call, Route
from vezha.incidents.rows import read_cursor

WELL_UNTIL = "deadman.well_until"
"""Row of `cursor`: until when the ops contour's last word that all is well holds (ms)."""


class HealthView(msgspec.Struct):
    """Well, and which release."""

    status: str
    version: str


def health(call: Call) -> HealthView:
    """200 where the ledger answers, else 503."""
    try:
        with call.services.ledger.read() as connection:
            connection.execute(text("SELECT 1")).one()
    except Exception as error:
        raise UnavailableError("The ledger does not answer.") from error
    return HealthView("ok", __version__)


def flow(call: Call) -> HealthView:
    """200 where the ops contour found lately that all is well, else 503."""
    with call.services.ledger.read() as connection:
        until_ms = read_cursor(connection, WELL_UNTIL)
    if call.services.now_ms() > until_ms:
        raise UnavailableError("The way from hosts to people was not found open lately.")
    return HealthView("ok", __version__)


def metrics(call: Call) -> Response:
    """The web contour's own metrics, and how long the stages from sample to message take."""
    # a ledger that is away must not hide the rest; its rows are counted when it is back
    with suppress(SQLAlchemyError), call.services.ledger.read() as connection:
        call.services.metrics.stages.follow(connection, call.services.now_ms())
    return Response(
        call.services.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


ROUTES = (
    Route("GET", "/healthz", Action.HEALTH_READ, health, "Whether the server is well.",
          result=HealthView),
    Route("GET", "/healthz/flow", Action.HEALTH_READ, flow,
          "Whether samples are taken, rules evaluated and messages sent.", result=HealthView),
    Route("GET", "/metrics", Action.OWN_METRICS_READ, metrics,
          "The web contour's own metrics, as Prometheus reads them."),
)  # fmt: skip
