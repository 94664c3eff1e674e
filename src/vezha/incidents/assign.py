"""Giving an incident to a team. Rows only."""

from __future__ import annotations

from sqlalchemy import Connection

from vezha.incidents.case import Case
from vezha.incidents.errors import OperatorError, WrongState
from vezha.incidents.rows import read_case, read_place, write_case
from vezha.ledger.limits import NAME_CHARS_MAX


def assign_in(connection: Connection, id_: int, team: str, actor: str, now_ms: int) -> Case:
    """Incident *id_* belongs to *team* from now on, in the caller's transaction.

    Raises OperatorError.
    """
    team = team.strip()
    if len(team) > NAME_CHARS_MAX:
        raise OperatorError(f"the name of a team has at most {NAME_CHARS_MAX} characters")
    case = read_case(connection, id_)
    if case.team == team:
        raise WrongState(f"incident {id_} belongs to {team or 'nobody'} already")
    case.see(actor, now_ms)
    case.tell(now_ms, "assigned", actor, team or "nobody", was=case.team)
    case.team = team
    write_case(connection, case, read_place(connection), now_ms)
    return case
