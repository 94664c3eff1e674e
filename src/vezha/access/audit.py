"""The audit: who did what, when. Rows form a hash chain, so that a change shows.

A row's hash is SHA-256 over the previous row's hash and this row's fields as canonical JSON
(sorted keys, no spaces, UTF-8). The first row follows 64 zeros. Row numbers have no gaps.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select, text

from vezha.access.limits import AUDIT_DETAIL_CHARS_MAX
from vezha.access.subject import Subject
from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables import audit

GENESIS = "0" * 64
DONE = "done"
REFUSED = "refused"
FAILED = "failed"

_HASHED = (
    "id",
    "at_ms",
    "actor",
    "actor_kind",
    "action",
    "target",
    "outcome",
    "address",
    "detail",
)


def append_audit(
    connection: Connection,
    *,
    subject: Subject,
    action: str,
    now_ms: int,
    target: str = "",
    outcome: str = DONE,
    detail: dict[str, Any] | None = None,
) -> None:
    """Add a row in the caller's write transaction. *detail* must hold no secret."""
    if connection.dialect.name == "postgresql":
        # One writer at a time, or two rows would follow the same one.
        connection.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))
    last = connection.execute(
        select(audit.c.id, audit.c.hash).order_by(audit.c.id.desc()).limit(1)
    ).first()
    row = {
        "id": 1 if last is None else last.id + 1,
        "at_ms": now_ms,
        "actor": (subject.seen_by or subject.name)[:NAME_CHARS_MAX],
        "actor_kind": subject.kind.value,
        "action": action,
        "target": target[:NAME_CHARS_MAX],
        "outcome": outcome,
        "address": subject.address[:64],
        "detail": _detail_text(detail),
    }
    previous = GENESIS if last is None else last.hash
    connection.execute(
        audit.insert().values(**row, previous_hash=previous, hash=chain_hash(previous, row))
    )


def chain_hash(previous: str, row: dict[str, Any]) -> str:
    """The hash of *row* after the row whose hash is *previous* (both 64 hex digits)."""
    fields = {name: row[name] for name in _HASHED}
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(previous.encode() + canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """What a verification found: rows read, and the first row that does not fit (or None)."""

    rows: int
    broken_at: int | None
    sentence: str


def verify_audit(connection: Connection) -> AuditCheck:
    """Recompute the whole chain."""
    previous, expected = GENESIS, 1
    for row in connection.execute(select(audit).order_by(audit.c.id)).mappings():
        if row["id"] != expected:
            return AuditCheck(expected - 1, expected, f"row {expected} is missing")
        if row["previous_hash"] != previous or row["hash"] != chain_hash(previous, dict(row)):
            return AuditCheck(expected - 1, expected, f"row {expected} was changed")
        previous, expected = row["hash"], expected + 1
    return AuditCheck(expected - 1, None, f"{expected - 1} rows, the chain is whole")


def list_audit(connection: Connection, limit: int, before_id: int = 0) -> list[RowMapping]:
    """The newest rows first; *before_id* continues a list below that row."""
    wanted = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before_id:
        wanted = wanted.where(audit.c.id < before_id)
    return list(connection.execute(wanted).mappings())


def count_audit(connection: Connection) -> int:
    """How many rows there are."""
    return connection.execute(select(func.count()).select_from(audit)).scalar_one()


def _detail_text(detail: dict[str, Any] | None) -> str:
    if not detail:
        return "{}"
    written = json.dumps(detail, sort_keys=True, ensure_ascii=False, default=str)
    if len(written) <= AUDIT_DETAIL_CHARS_MAX:
        return written
    return json.dumps({"cut": written[: AUDIT_DETAIL_CHARS_MAX // 2]}, ensure_ascii=False)
