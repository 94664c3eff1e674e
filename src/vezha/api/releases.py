"""`/api/v1/releases`, `/api/v1/quarantine`: what was published, and what is not offered again."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from sqlalchemy import select

from vezha.access import Action
from vezha.api import change_views as v
from vezha.api.change_views import refusal
from vezha.api.errors import NotFoundError
from vezha.api.route import Call, Route
from vezha.delivery.change import TOPIC
from vezha.delivery.desk import lift_quarantine
from vezha.delivery.errors import DeliveryError
from vezha.delivery.views import list_quarantine, list_releases
from vezha.ledger.tables import host


class ReleasesQuery(msgspec.Struct):
    """Which artifacts: of one kind (agent, config, script, rules) or of all."""

    kind: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 200


class QuarantineQuery(msgspec.Struct):
    """Whether lifted ones are shown, too."""

    all: bool = False


def list_all(call: Call) -> dict[str, Any]:
    """Published artifacts."""
    with call.services.ledger.read() as connection:
        return {"releases": list_releases(connection, call.query.kind, call.query.limit)}


def list_quarantined(call: Call) -> dict[str, Any]:
    """Hashes that are not offered."""
    with call.services.ledger.read() as connection:
        names = {r.id: r.name for r in connection.execute(select(host.c.id, host.c.name))}
        return {"quarantine": list_quarantine(connection, names, all_=call.query.all)}


def lift(call: Call) -> None:
    """Let a hash be offered again."""
    services, body, sha256 = call.services, call.body, call.path["sha256"]
    try:
        with services.ledger.begin() as connection:
            host_id = 0
            if body.host:
                found = connection.execute(select(host.c.id).where(host.c.name == body.host))
                host_id = found.scalar() or -1
                if host_id < 0:
                    raise NotFoundError(f"There is no host {body.host!r}.")
            lift_quarantine(
                connection, sha256, host_id, call.subject.name, body.why, services.now_ms()
            )
            call.audit(connection, target=sha256, detail={"why": body.why, "host": body.host})
    except DeliveryError as fault:
        raise refusal(fault) from None
    services.nudge(TOPIC)


ROUTES = (
    Route("GET", "/api/v1/releases", Action.DELIVERY_READ, list_all,
          "Published agents, configurations, scripts and rules.", query=ReleasesQuery,
          result=v.ReleasesView),
    Route("GET", "/api/v1/quarantine", Action.DELIVERY_READ, list_quarantined,
          "Versions that are not offered again.", query=QuarantineQuery,
          result=v.QuarantinesView),
    Route("POST", "/api/v1/quarantine/{sha256}/lift", Action.QUARANTINE_LIFT, lift,
          "Let a version be offered again.", body=v.LiftBody, status=204),
)  # fmt: skip
