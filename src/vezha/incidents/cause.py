"""Causes: changes beside incidents as people read them, and what they judge of them.

A judgement is never touched by the scores; it stands above them, and is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from vezha.incidents.blame import Reason, sentence
from vezha.incidents.errors import NoSuchIncident, OperatorError
from vezha.incidents.limits import BLAME_TOLD_SHARE
from vezha.ledger.tables import blame, change, incident, incident_event

CAUSED, NOT_CAUSED, UNJUDGED = "caused", "not", ""
JUDGEMENTS = (CAUSED, NOT_CAUSED, UNJUDGED)


@dataclass(frozen=True, slots=True)
class Cause:
    """A change beside an incident, as it is shown. Times in ms."""

    incident: int
    incident_title: str
    change: int
    change_title: str
    kind: str
    score: float
    reasons: tuple[Reason, ...]
    judged: str
    judged_by: str
    judged_ms: int | None
    began_ms: int | None

    def why(self, language: str) -> str:
        """The reasons in a sentence."""
        return sentence(self.reasons, language)


def causes_of(connection: Connection, incident_id: int) -> list[Cause]:
    """Changes that could explain an incident; what a person called its cause comes first.

    Raises NoSuchIncident.
    """
    _must_exist(connection, incident_id)
    return _causes(connection, blame.c.incident_id == incident_id)


def likely_cause(connection: Connection, incident_id: int) -> Cause | None:
    """What a person named, or else the change that explains more than half; None: neither."""
    return likely_causes(connection, (incident_id,)).get(incident_id)


def likely_causes(connection: Connection, incident_ids: Sequence[int]) -> dict[int, Cause]:
    """What `likely_cause` says of each of these incidents, where it says anything."""
    found: dict[int, Cause] = {}
    if incident_ids:
        for one in _causes(connection, blame.c.incident_id.in_(incident_ids)):
            if one.judged == CAUSED or (one.judged == UNJUDGED and one.score >= BLAME_TOLD_SHARE):
                found.setdefault(one.incident, one)
    return found


def blamed_for(connection: Connection, change_id: int) -> list[Cause]:
    """Incidents that a change could explain."""
    return _causes(connection, blame.c.change_id == change_id)


def _causes(connection: Connection, where: Any) -> list[Cause]:
    rows = connection.execute(
        select(blame, change.c.title.label("change_title"), change.c.kind, change.c.began_ms,
               incident.c.title.label("incident_title"))
        .join(change, change.c.id == blame.c.change_id)
        .join(incident, incident.c.id == blame.c.incident_id)
        .where(where)
    )  # fmt: skip
    found = [
        Cause(
            row.incident_id,
            row.incident_title,
            row.change_id,
            row.change_title,
            row.kind,
            row.score,
            tuple(Reason(r["code"], r["values"]) for r in row.reasons),
            row.judged,
            row.judged_by,
            row.judged_ms,
            row.began_ms,
        )
        for row in rows
    ]
    order = {CAUSED: 0, UNJUDGED: 1, NOT_CAUSED: 2}
    return sorted(found, key=lambda c: (order[c.judged], -c.score, -c.change, -c.incident))


def judge(
    connection: Connection,
    incident_id: int,
    change_id: int,
    judgement: str,
    actor: str,
    now_ms: int,
) -> None:
    """A person says whether the change caused the incident, or takes that back.

    Raises OperatorError.
    """
    if judgement not in JUDGEMENTS:
        raise OperatorError(f'a judgement is "{CAUSED}", "{NOT_CAUSED}" or empty')
    _must_exist(connection, incident_id)
    if connection.execute(select(change.c.id).where(change.c.id == change_id)).first() is None:
        raise OperatorError(f"there is no change {change_id}")
    values = {
        "judged": judgement,
        "judged_by": actor if judgement else "",
        "judged_ms": now_ms if judgement else None,
        "updated_ms": now_ms,
    }
    done = connection.execute(
        update(blame)
        .where(blame.c.incident_id == incident_id, blame.c.change_id == change_id)
        .values(**values)
    )
    if not done.rowcount:
        connection.execute(
            insert(blame).values(
                incident_id=incident_id, change_id=change_id, score=0.0, reasons=[], **values
            )
        )
    words = {CAUSED: "caused by", NOT_CAUSED: "not caused by", UNJUDGED: "open again: is it"}
    connection.execute(
        insert(incident_event).values(
            incident_id=incident_id,
            at_ms=now_ms,
            kind="judged",
            actor=actor,
            text=f"{words[judgement]} change {change_id}",
            data={"change": change_id, "judged": judgement},
        )
    )
    connection.execute(
        update(incident)
        .where(incident.c.id == incident_id)
        .values(revision=incident.c.revision + 1, updated_ms=now_ms)
    )


def _must_exist(connection: Connection, incident_id: int) -> None:
    there = connection.execute(select(incident.c.id).where(incident.c.id == incident_id)).first()
    if there is None:
        raise NoSuchIncident(f"there is no incident {incident_id}")


@dataclass(frozen=True, slots=True)
class Record:
    """How well blame did, by what people judged: of the first-ranked and of all."""

    judged: int
    caused: int
    first_judged: int
    first_caused: int


def record_of(connection: Connection) -> Record:
    """The counts over all that was ever judged."""
    rows = connection.execute(select(blame.c.incident_id, blame.c.score, blame.c.judged)).all()
    best: dict[int, float] = {}
    for row in rows:
        best[row.incident_id] = max(best.get(row.incident_id, 0.0), row.score)
    judged = [row for row in rows if row.judged]
    first = [row for row in judged if row.score > 0 and row.score == best[row.incident_id]]
    return Record(
        len(judged),
        sum(row.judged == CAUSED for row in judged),
        len(first),
        sum(row.judged == CAUSED for row in first),
    )


def caused_by_people(connection: Connection) -> dict[int, int | None]:
    """Changes that a person named as a cause, with when the last of their incidents was over
    (None while one is open): what the figures of delivery count as failed."""
    rows = connection.execute(
        select(blame.c.change_id, incident.c.resolved_ms)
        .join(incident, incident.c.id == blame.c.incident_id)
        .where(blame.c.judged == CAUSED)
    ).all()
    out: dict[int, int | None] = {}
    for row in rows:
        if row.change_id in out and (out[row.change_id] is None or row.resolved_ms is None):
            out[row.change_id] = None
        else:
            out[row.change_id] = (
                max(row.resolved_ms, out.get(row.change_id) or 0)
                if (row.resolved_ms is not None)
                else None
            )
    return out
