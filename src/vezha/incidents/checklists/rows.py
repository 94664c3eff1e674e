"""Runs as rows: beginning one, reading it back from its events, adding to it, listing.

An act is a read, a pure decision and one conditional UPDATE of the run's revision in the same
transaction as the new events: who comes second finds the revision moved on and decides anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, insert, select, update

from vezha.incidents.case import Entry
from vezha.incidents.checklists.document import Checklist
from vezha.incidents.checklists.parse import parse_checklist
from vezha.incidents.checklists.run import Asked, Run, RunEvent, RunState, decide, fold
from vezha.incidents.errors import (
    AnsweredMeanwhile,
    ChecklistError,
    NoSuchChecklist,
    OperatorError,
)
from vezha.incidents.limits import CHECKLIST_RUNS_LISTED_MAX, CHECKLIST_TRIES_MAX
from vezha.incidents.rows import read_case, read_place, write_case
from vezha.ledger import Ledger
from vezha.ledger.tables import checklist_event, checklist_run, checklist_version

VARIABLE_CHARS_MAX = 512


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as a row of a list. Times in ms. `title_uk` is that of the text that it began with."""

    id: int
    checklist: str
    version: str
    title: str
    incident_id: int | None
    change_id: int | None
    state: str
    revision: int
    variables: dict[str, str]
    steps: int
    steps_open: int
    started_ms: int
    started_by: str
    updated_ms: int
    finished_ms: int | None
    title_uk: str = ""


@dataclass(slots=True)
class ReadRun:
    """A run in full."""

    view: RunView
    run: Run
    events: list[RunEvent]


_COLUMNS = [checklist_run.c[name] for name in RunView.__dataclass_fields__ if name != "title_uk"]
_VERSIONS_KEPT = 256
"""Texts whose Ukrainian title is remembered."""


def begin_run(
    connection: Connection,
    checklist: Checklist,
    actor: str,
    now_ms: int,
    *,
    incident: int | None = None,
    change: int | None = None,
    variables: Mapping[str, str] | None = None,
) -> int:
    """Begin a run; its number. Raises OperatorError (of the incident that it is to belong to)."""
    given = dict(variables or {})
    for name, value in given.items():
        if len(value) > VARIABLE_CHARS_MAX:
            raise OperatorError(f"{name} is longer than {VARIABLE_CHARS_MAX} characters")
    _keep_version(connection, checklist, now_ms)
    row = {
        "checklist": checklist.name,
        "version": checklist.hash,
        "title": checklist.title,
        "incident_id": incident,
        "change_id": change,
        "state": RunState.RUNNING.value,
        "revision": 1,
        "variables": given,
        "steps": len(checklist.steps),
        "steps_open": sum(not s.optional for s in checklist.steps),
        "started_ms": now_ms,
        "started_by": actor,
        "updated_ms": now_ms,
        "finished_ms": None,
    }
    made = connection.execute(insert(checklist_run).values(row)).inserted_primary_key
    assert made is not None
    id_ = int(made[0])
    first = RunEvent(1, now_ms, "started", actor)
    connection.execute(insert(checklist_event), [_event_row(id_, first)])
    _tell_incident(connection, incident, id_, checklist.title, "started", actor, now_ms)
    return id_


def act_on_run(ledger: Ledger, id_: int, asked: Asked) -> list[RunEvent]:
    """Do *asked* in a transaction of its own; the events it made. Raises OperatorError."""
    for _ in range(CHECKLIST_TRIES_MAX):
        with ledger.begin() as connection:
            made = act_in(connection, id_, asked)
            if made is not None:
                return made
    raise AnsweredMeanwhile("too many people write at once; try again")


def act_in(connection: Connection, id_: int, asked: Asked) -> list[RunEvent] | None:
    """Do *asked* within the caller's transaction; None where another came between.

    Raises OperatorError.
    """
    read = read_run(connection, id_)
    seen = read.run.revision
    made = decide(read.run, asked)
    run = read.run
    done = connection.execute(
        update(checklist_run)
        .where(checklist_run.c.id == id_, checklist_run.c.revision == seen)
        .values(
            revision=run.revision,
            state=run.state.value,
            steps_open=len(run.open_steps),
            updated_ms=asked.at_ms,
            finished_ms=run.finished_ms,
        )
    )
    if not done.rowcount:
        return None
    connection.execute(insert(checklist_event), [_event_row(id_, e) for e in made])
    for event in made:
        if event.kind in ("done", "abandoned", "stopped"):
            incident, title = read.view.incident_id, read.view.title
            _tell_incident(
                connection, incident, id_, title, event.kind, asked.actor, asked.at_ms, event.text
            )
    return made


def read_run(connection: Connection, id_: int) -> ReadRun:
    """A run from its events. Raises NoSuchChecklist."""
    row = connection.execute(select(*_COLUMNS).where(checklist_run.c.id == id_)).one_or_none()
    if row is None:
        raise NoSuchChecklist(f"there is no run {id_} of a checklist")
    view = RunView(**row._mapping)
    text = connection.execute(
        select(checklist_version.c.text).where(checklist_version.c.hash == view.version)
    ).scalar_one()
    events = read_events(connection, [id_])[id_]
    return ReadRun(view, fold(parse_checklist(text, view.checklist), events), events)


def read_events(connection: Connection, ids: Sequence[int]) -> dict[int, list[RunEvent]]:
    """The events of runs, in order."""
    out: dict[int, list[RunEvent]] = {id_: [] for id_ in ids}
    for at in range(0, len(ids), 500):
        rows = connection.execute(
            select(checklist_event)
            .where(checklist_event.c.run_id.in_(ids[at : at + 500]))
            .order_by(checklist_event.c.run_id, checklist_event.c.number)
        )
        for r in rows:
            event = RunEvent(r.number, r.at_ms, r.kind, r.actor, r.step, r.value, r.text)
            out[r.run_id].append(event)
    return out


def list_runs(
    connection: Connection,
    *,
    incident: int | None = None,
    change: int | None = None,
    checklist: str = "",
    only_open: bool = False,
    limit: int = 100,
) -> list[RunView]:
    """Runs, the newest first."""
    query = select(*_COLUMNS)
    if incident is not None:
        query = query.where(checklist_run.c.incident_id == incident)
    if change is not None:
        query = query.where(checklist_run.c.change_id == change)
    if checklist:
        query = query.where(checklist_run.c.checklist == checklist)
    if only_open:
        query = query.where(checklist_run.c.state.in_(("running", "stopped")))
    limit = max(1, min(limit, CHECKLIST_RUNS_LISTED_MAX))
    rows = connection.execute(query.order_by(checklist_run.c.id.desc()).limit(limit))
    views = [RunView(**row._mapping) for row in rows]
    text = checklist_version.c.text
    written = {
        row.hash: _title_uk(row.name, row.text)
        for row in connection.execute(
            select(checklist_version.c.hash, checklist_version.c.name, text).where(
                checklist_version.c.hash.in_({view.version for view in views})
            )
        )
    }
    return [replace(view, title_uk=written.get(view.version, "")) for view in views]


@lru_cache(_VERSIONS_KEPT)
def _title_uk(name: str, text: str) -> str:
    try:
        return parse_checklist(text, name).title_uk
    except ChecklistError:  # of a version that could be read once: the list is shown even so
        return ""


def _keep_version(connection: Connection, checklist: Checklist, now_ms: int) -> None:
    """Keep the text for as long as there are runs of it, whatever becomes of the file."""
    known = connection.execute(
        select(checklist_version.c.hash).where(checklist_version.c.hash == checklist.hash)
    ).one_or_none()
    if known is None:
        connection.execute(
            insert(checklist_version).values(
                hash=checklist.hash, name=checklist.name, text=checklist.text, first_ms=now_ms
            )
        )


def _event_row(id_: int, event: RunEvent) -> dict[str, Any]:
    return {
        "run_id": id_,
        "number": event.number,
        "at_ms": event.at_ms,
        "kind": event.kind,
        "actor": event.actor,
        "step": event.step,
        "value": event.value,
        "text": event.text,
    }


def _tell_incident(
    connection: Connection,
    incident: int | None,
    run: int,
    title: str,
    what: str,
    actor: str,
    now_ms: int,
    why: str = "",
) -> None:
    """One line in the incident's timeline: a checklist was begun, stopped or ended."""
    if incident is None:
        return
    case = read_case(connection, incident)
    text = f"{title}: {what}" + (f" ({why})" if why else "")
    case.entries.append(Entry(now_ms, "checklist", actor, text, {"run": run}))
    write_case(connection, case, read_place(connection), now_ms)
