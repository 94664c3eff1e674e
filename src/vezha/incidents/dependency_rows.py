"""Dependencies as rows: kept by people, or learned and accepted by them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, insert, or_, select, update

from vezha.incidents.dependency import Dependency, check_circle, make_dependency
from vezha.incidents.errors import DependencyError
from vezha.incidents.limits import DEPENDENCIES_MAX, NOTE_CHARS_MAX, RECHECK_MS
from vezha.incidents.rows import member_of
from vezha.incidents.state import OVER
from vezha.incidents.words import Member
from vezha.ledger.tables import dependency, incident, incident_alert

ACTIVE, REMOVED, DISMISSED = "active", "removed", "dismissed"


@dataclass(frozen=True, slots=True)
class DependencyRow:
    """A dependency as kept. `evidence`: what it was learned from, or null. Times in ms."""

    id: int
    child: str
    parents: list[str]
    why: str
    source: str
    state: str
    evidence: dict[str, Any] | None
    author: str
    created_ms: int
    updated_ms: int


_COLUMNS = [dependency.c[name] for name in DependencyRow.__dataclass_fields__]


def list_rows(connection: Connection, state: str = ACTIVE) -> list[DependencyRow]:
    """Rows in that state, the oldest first."""
    rows = connection.execute(
        select(*_COLUMNS).where(dependency.c.state == state).order_by(dependency.c.id)
    )
    return [DependencyRow(**row._mapping) for row in rows]


def read_dependencies(connection: Connection) -> list[Dependency]:
    """Those in force."""
    return [
        make_dependency(r.child, r.parents, r.why, r.source, r.id) for r in list_rows(connection)
    ]


def read_stamp(connection: Connection) -> tuple[Any, ...]:
    """What changes whenever a row does."""
    what = select(func.count(), func.max(dependency.c.updated_ms), func.max(dependency.c.id))
    return tuple(connection.execute(what).one())


def add_dependency(
    connection: Connection,
    child: str,
    parents: Sequence[str],
    why: str,
    author: str,
    now_ms: int,
    *,
    source: str = "person",
    evidence: dict[str, Any] | None = None,
    known: Sequence[Dependency] = (),
) -> DependencyRow:
    """Keep a dependency; *known* are those of the file. Raises DependencyError."""
    made = make_dependency(child, parents, why, source)
    if len(why) > NOTE_CHARS_MAX:
        raise DependencyError(f"the reason is longer than {NOTE_CHARS_MAX} characters")
    others = [*known, *read_dependencies(connection)]
    if len(others) >= DEPENDENCIES_MAX:
        raise DependencyError(f"there are {DEPENDENCIES_MAX} dependencies; use labels or matchers")
    if any(o.child == made.child and set(o.parents) == set(made.parents) for o in others):
        raise DependencyError(f"{made.child} depends on that already")
    check_circle(made, others)
    texts = [str(p) for p in made.parents]
    return _put(connection, str(made.child), texts, why, author, now_ms, ACTIVE, source, evidence)


def dismiss(
    connection: Connection,
    child: str,
    parent: str,
    author: str,
    now_ms: int,
    evidence: dict[str, Any] | None = None,
) -> DependencyRow:
    """Never suggest that again. Raises DependencyError."""
    made = make_dependency(child, [parent])
    return _put(
        connection, str(made.child), [str(made.parents[0])], "", author, now_ms, DISMISSED,
        "learned", evidence,
    )  # fmt: skip


def remove_dependency(connection: Connection, id_: int, now_ms: int) -> bool:
    """Take one out of force; False where there is none."""
    done = connection.execute(
        update(dependency)
        .where(dependency.c.id == id_, dependency.c.state == ACTIVE)
        .values(state=REMOVED, updated_ms=now_ms)
    )
    return bool(done.rowcount)


def _put(
    connection: Connection,
    child: str,
    parents: list[str],
    why: str,
    author: str,
    now_ms: int,
    state: str,
    source: str,
    evidence: dict[str, Any] | None,
) -> DependencyRow:
    row = {
        "child": child,
        "parents": parents,
        "why": why,
        "source": source,
        "state": state,
        "evidence": evidence,
        "author": author,
        "created_ms": now_ms,
        "updated_ms": now_ms,
    }
    made = connection.execute(insert(dependency).values(row)).inserted_primary_key
    assert made is not None
    return DependencyRow(id=int(made[0]), **row)  # type: ignore[arg-type]


def read_failing(connection: Connection, now_ms: int, *, every: bool) -> list[Member]:
    """Alerts of incidents that may explain others: open, or over for less than RECHECK_MS.

    With *every* also those that explain nothing by themselves, for inhibitions.
    """
    found = connection.execute(_failing(select(incident_alert), now_ms, every=every))
    return list({row.fingerprint: member_of(row) for row in found}.values())


def read_failing_marks(connection: Connection, now_ms: int, *, every: bool) -> list[str]:
    """The fingerprints of `read_failing`, cheaply: what is judged changes with them."""
    wanted = select(incident_alert.c.fingerprint)
    return list(connection.execute(_failing(wanted, now_ms, every=every)).scalars())


def _failing(wanted: Select[Any], now_ms: int, *, every: bool) -> Select[Any]:
    lately = now_ms - RECHECK_MS
    wanted = wanted.join(incident, incident.c.id == incident_alert.c.incident_id).where(
        or_(incident.c.state.not_in(OVER), incident.c.updated_ms >= lately),
        or_(incident_alert.c.state != "resolved", incident_alert.c.changed_ms >= lately),
    )
    return wanted if every else wanted.where(incident_alert.c.explains != "")
