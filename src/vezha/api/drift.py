"""`/api/v1/drift`: hosts that do not run what was delivered to them, and the way to mend it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from vezha.access import Action
from vezha.api.change_views import Sentence, refusal
from vezha.api.changes import signals_of
from vezha.api.route import Call, Route
from vezha.delivery import limits
from vezha.delivery import mend as mending
from vezha.delivery.change import TOPIC
from vezha.delivery.drift import accept_edited, drift_view
from vezha.delivery.errors import DeliveryError


class DriftQuery(msgspec.Struct):
    """Whose: what one change delivered (0: any), one host, hosts that a selector fits."""

    change: int = 0
    host: str = ""
    selector: str = ""


class DriftView(msgspec.Struct):
    """A host that runs something else than was delivered to it. `keys` are those of its
    configuration that were changed there; `can_be_mended` says that delivering it again helps."""

    host: str
    kind: str
    code: str
    sentence: str
    delivered: str
    target: str
    sha256: str
    runs: str
    runs_sha256: str
    change_id: int | None
    keys: list[str]
    can_be_mended: bool


class DriftsView(msgspec.Struct):
    """Drift, by kind and host."""

    drift: list[DriftView]


class MendBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whose drift is mended, and why; a dry run only says what would be started."""

    change: int = 0
    host: str = ""
    selector: Annotated[str, msgspec.Meta(max_length=limits.SELECTOR_CHARS_MAX)] = ""
    why: Sentence = ""
    dry_run: bool = False


class MendedView(msgspec.Struct):
    """One artifact: the plan, and the change and rollout that were made (null for a dry run)."""

    target: str
    hosts: list[str]
    lacks: list[str]
    change_id: int | None
    rollout_id: int | None
    document: dict[str, Any]
    text: str


class MendingView(msgspec.Struct):
    """What came of it: changes, hosts told again to go back, drift to be mended elsewhere."""

    mended: list[MendedView]
    left: list[DriftView]
    told_again: list[DriftView]
    started: bool


class AcceptBody(msgspec.Struct, forbid_unknown_fields=True):
    """Why what a host's own file says is meant."""

    host: str
    why: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.SENTENCE_CHARS_MAX)]


def list_all(call: Call) -> dict[str, Any]:
    """Who drifts."""
    query: DriftQuery = call.query
    which = mending.Which(query.change, query.host, query.selector)
    try:
        with call.services.ledger.read() as connection:
            return {"drift": [drift_view(d) for d in mending.chosen(connection, which)]}
    except DeliveryError as fault:
        raise refusal(fault) from None


def mend(call: Call) -> dict[str, Any]:
    """Give hosts again what was delivered to them."""
    services, body = call.services, call.body
    which = mending.Which(body.change, body.host, body.selector)
    now_ms = services.now_ms()
    up = signals_of(call).up(now_ms)
    who = call.subject.name
    try:
        if body.dry_run:
            with services.ledger.read() as connection:
                made = mending.mend(connection, which, up, who, body.why, now_ms, dry_run=True)
            call.audited = True  # nothing was changed
        else:
            with services.ledger.begin() as connection:
                made = mending.mend(connection, which, up, who, body.why, now_ms, dry_run=False)
                for one in made.mended:
                    detail = {"drift": one.target, "rollout": one.rollout_id}
                    call.audit(connection, target=str(one.change_id), detail=detail)
                if made.told_again:
                    hosts = ", ".join(d.host for d in made.told_again[: limits.HOSTS_NAMED_MAX])
                    call.audit(
                        connection, target=hosts, detail={"told_again": len(made.told_again)}
                    )
            services.nudge(TOPIC)
    except DeliveryError as fault:
        raise refusal(fault) from None
    return {**made.as_json(), "started": not body.dry_run}


def accept(call: Call) -> dict[str, Any]:
    """Take a host's own settings for meant."""
    services, body = call.services, call.body
    try:
        with services.ledger.begin() as connection:
            found = accept_edited(
                connection, body.host, call.subject.name, body.why, services.now_ms()
            )
            detail = {"why": body.why, "keys": ", ".join(found.keys)}
            call.audit(connection, target=body.host, detail=detail)
    except DeliveryError as fault:
        raise refusal(fault) from None
    services.nudge(TOPIC)
    return drift_view(found)


ROUTES = (
    Route("GET", "/api/v1/drift", Action.DELIVERY_READ, list_all,
          "Hosts that do not run what was delivered to them.", query=DriftQuery,
          result=DriftsView),
    Route("POST", "/api/v1/drift/mend", Action.DELIVERY_START, mend,
          "Give drifted hosts again what was delivered to them, as a change like any other.",
          body=MendBody, result=MendingView),
    Route("POST", "/api/v1/drift/accept", Action.DRIFT_ACCEPT, accept,
          "Take what a host's own settings say now for meant.", body=AcceptBody,
          result=DriftView),
)  # fmt: skip
