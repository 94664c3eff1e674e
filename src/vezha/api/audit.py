"""`/api/v1/audit`: who did what, when."""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec

from vezha.access import Action
from vezha.access.audit import list_audit, verify_audit
from vezha.api import limits
from vezha.api.route import Call, Route, seconds


class AuditQuery(msgspec.Struct):
    """How many rows, and below which id (to page on)."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=limits.LIST_ITEMS_MAX)] = limits.LIST_ITEMS_DEFAULT
    before: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0


class AuditRowView(msgspec.Struct):
    """One row."""

    id: int
    at: float | None
    actor: str
    actor_kind: str
    action: str
    target: str
    outcome: str
    address: str
    detail: Any


class AuditView(msgspec.Struct):
    """Rows, the newest first."""

    audit: list[AuditRowView]


class AuditCheckView(msgspec.Struct):
    """Whether the chain is whole; `broken_at` is the first row that does not fit."""

    rows: int
    whole: bool
    broken_at: int | None
    message: str


def list_rows(call: Call) -> AuditView:
    """The newest rows first."""
    query: AuditQuery = call.query
    with call.services.ledger.read() as connection:
        rows = list_audit(connection, query.limit, query.before)
    return AuditView(
        [
            AuditRowView(
                r["id"],
                seconds(r["at_ms"]),
                r["actor"],
                r["actor_kind"],
                r["action"],
                r["target"],
                r["outcome"],
                r["address"],
                json.loads(r["detail"]),
            )
            for r in rows
        ]
    )


def verify(call: Call) -> AuditCheckView:
    """Recompute the whole chain."""
    with call.services.ledger.read() as connection:
        check = verify_audit(connection)
    return AuditCheckView(check.rows, check.broken_at is None, check.broken_at, check.sentence)


ROUTES = (
    Route("GET", "/api/v1/audit", Action.AUDIT_READ, list_rows, "Who did what, newest first.",
          query=AuditQuery, result=AuditView),
    Route("GET", "/api/v1/audit/verify", Action.AUDIT_READ, verify,
          "Whether the audit's hash chain is whole.", result=AuditCheckView),
)  # fmt: skip
