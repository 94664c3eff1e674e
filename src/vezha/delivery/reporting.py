"""Reports of changes made elsewhere become rows. One transaction each; the caller owns it.

The same change told again (source and key) moves its one row on and never back: what has ended
stays ended, except that a deploy which was told as done may be told as failed or rolled back
later. A report of a rollback of the service's newest change marks that one, too.
"""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, insert, select, update

from vezha.delivery.external import DONE, FAILED, ROLLED_BACK, RUNNING, Report
from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables import change, change_event

EXTERNAL, REPORTED, ENDED = "external", "reported", "done"
_OUTCOME = {RUNNING: "", DONE: "success", FAILED: "failure", ROLLED_BACK: "reverted"}
_TITLE_CHARS_MAX = 400


def take_report(connection: Connection, report: Report, now_ms: int) -> int:
    """Write what *report* says; the id of its change."""
    source, key = _name(report.source), _name(report.key)
    known = connection.execute(
        select(change).where(change.c.source == source, change.c.external_key == key)
    ).one_or_none()
    if known is None:
        return _first(connection, report, source, key, now_ms)
    _again(connection, known, report, now_ms)
    return int(known.id)


def _first(connection: Connection, report: Report, source: str, key: str, now_ms: int) -> int:
    mends = _mended(connection, report) if report.outcome == ROLLED_BACK else None
    made = connection.execute(
        insert(change).values(
            kind=EXTERNAL,
            state=REPORTED if report.outcome == RUNNING else ENDED,
            title=report.title[:_TITLE_CHARS_MAX],
            target=report.version,
            sha256="",
            why=report.why,
            owner=_name(report.author),
            checklist="",
            risk="medium",
            selector="",
            gates=[],
            waves=[],
            policy={},
            params={},
            reason="",
            mends=mends,
            source=source,
            external_key=key,
            links=list(report.links),
            labels=dict(report.labels),
            hosts=list(report.hosts),
            # a way back that names what it mends is itself a delivery that succeeded
            outcome=_OUTCOME[report.outcome] if mends is None else "success",
            ready_ms=report.committed_ms,
            began_ms=report.began_ms,
            ended_ms=report.ended_ms,
            created_ms=now_ms,
            created_by=_name(report.author) or source,
            updated_ms=now_ms,
            revision=1,
        )
    )
    made_key = made.inserted_primary_key
    assert made_key is not None
    id_ = int(made_key[0])
    _event(connection, id_, report, now_ms)
    if mends is not None:
        connection.execute(
            update(change)
            .where(change.c.id == mends, change.c.outcome == "success")
            .values(outcome="reverted", updated_ms=now_ms, revision=change.c.revision + 1)
        )
    return id_


def _again(connection: Connection, known: Any, report: Report, now_ms: int) -> None:
    outcome = _OUTCOME[report.outcome]
    if known.outcome in ("failure", "reverted") or outcome in ("", known.outcome):
        return  # nothing new: a late "running", or the same word once more
    connection.execute(
        update(change)
        .where(change.c.id == known.id)
        .values(
            state=ENDED,
            outcome=outcome,
            ended_ms=report.ended_ms,
            hosts=list(dict.fromkeys([*known.hosts, *report.hosts])),
            labels={**known.labels, **report.labels},
            links=list(dict.fromkeys([*known.links, *report.links])),
            ready_ms=known.ready_ms if report.committed_ms is None else report.committed_ms,
            updated_ms=now_ms,
            revision=change.c.revision + 1,
        )
    )
    _event(connection, known.id, report, now_ms)


def _mended(connection: Connection, report: Report) -> int | None:
    """The newest external change of the same service and place that stands."""
    rows = connection.execute(
        select(change.c.id, change.c.labels)
        .where(change.c.kind == EXTERNAL, change.c.outcome == "success")
        .order_by(change.c.id.desc())
        .limit(100)
    )
    wanted = {n: report.labels.get(n) for n in ("service", "environment")}
    if not wanted["service"]:
        return None
    return next((r.id for r in rows if all(r.labels.get(n) == v for n, v in wanted.items())), None)


def _event(connection: Connection, id_: int, report: Report, now_ms: int) -> None:
    connection.execute(
        insert(change_event).values(
            change_id=id_,
            at_ms=now_ms,
            kind="reported",
            actor=_name(report.author) or report.source[:NAME_CHARS_MAX],
            text=report.outcome.replace("_", " "),
            data={"source": report.source, "version": report.version},
        )
    )


def _name(text: str) -> str:
    """A text that fits a name's column; a longer one keeps its beginning and a hash of the rest."""
    if len(text) <= NAME_CHARS_MAX:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{text[: NAME_CHARS_MAX - 17]}~{digest}"
