"""Seen: the first person who looked at an incident. Rows only."""

from __future__ import annotations

from sqlalchemy import Connection, select

from vezha.incidents.rows import read_cases, read_place, write_case
from vezha.ledger.tables import incident


def is_unseen(connection: Connection, id_: int) -> bool:
    """Whether nobody has looked at incident *id_*, which is there."""
    unseen = select(incident.c.id).where(incident.c.id == id_, incident.c.seen_ms.is_(None))
    return connection.execute(unseen).first() is not None


def see_in(connection: Connection, id_: int, actor: str, now_ms: int) -> None:
    """*actor* looks at it, in the caller's transaction; the timeline tells the first who did."""
    case = read_cases(connection, [id_]).get(id_)
    if case is None or case.seen_ms is not None:
        return
    case.see(actor, now_ms)
    case.tell(now_ms, "seen", actor)
    write_case(connection, case, read_place(connection), now_ms)
