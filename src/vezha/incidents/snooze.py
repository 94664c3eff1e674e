"""Snooze: an incident is put off until a time, and then asks again. Rows only."""

from __future__ import annotations

from sqlalchemy import Connection, select

from vezha.incidents.case import SYSTEM, Case
from vezha.incidents.errors import OperatorError
from vezha.incidents.limits import (
    NOTE_CHARS_MAX,
    SNOOZE_MS_LEAST,
    SNOOZE_MS_MAX,
    SNOOZED_WOKEN_MAX,
)
from vezha.incidents.rows import read_case, read_cases, read_place, write_case
from vezha.incidents.state import Act, State
from vezha.ledger.tables import incident

_DUE = incident.c.state == State.SNOOZED.value


def snooze_in(
    connection: Connection, id_: int, for_ms: int, actor: str, text: str, now_ms: int
) -> Case:
    """Put incident *id_* off within the caller's transaction. Raises OperatorError."""
    if not SNOOZE_MS_LEAST <= for_ms <= SNOOZE_MS_MAX:
        raise OperatorError("an incident can be put off for 1 minute to 7 days")
    if len(text) > NOTE_CHARS_MAX:
        raise OperatorError(f"the text is longer than {NOTE_CHARS_MAX} characters")
    case = read_case(connection, id_)
    case.snooze(now_ms + for_ms, actor, text, now_ms)
    write_case(connection, case, read_place(connection), now_ms)
    return case


def is_due(connection: Connection, now_ms: int) -> bool:
    """Whether an incident's snooze is over."""
    due = select(incident.c.id).where(_DUE, incident.c.snoozed_until_ms <= now_ms).limit(1)
    return connection.execute(due).first() is not None


def wake_due(connection: Connection, now_ms: int) -> int:
    """Open incidents whose snooze is over; how many."""
    due = select(incident.c.id).where(_DUE, incident.c.snoozed_until_ms <= now_ms)
    ids = connection.execute(due.order_by(incident.c.id).limit(SNOOZED_WOKEN_MAX)).scalars().all()
    place = read_place(connection)
    woken = 0
    for case in read_cases(connection, ids).values():
        # another process may have woken it between the two statements
        if case.state is State.SNOOZED and (case.snoozed_until_ms or 0) <= now_ms:
            case.act(Act.WAKE, SYSTEM, "", now_ms)
            woken += write_case(connection, case, place, now_ms)
    return woken
