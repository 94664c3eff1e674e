"""Checklists: the versions that were run, the runs, and what happened in them.

`checklist_event` is the truth and only ever added to; `checklist_run` repeats of it what lists ask
for. A run may belong to an incident, to a change, or to nothing.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Integer, String, Table, Text

from vezha.ledger.limits import NAME_CHARS_MAX
from vezha.ledger.tables.base import metadata

checklist_version = Table(
    "checklist_version",
    metadata,
    # of the text: the same words are the same version, on every server
    Column("hash", String(16), primary_key=True),
    Column("name", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
)

checklist_run = Table(
    "checklist_run",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("checklist", String(64), nullable=False, index=True),
    Column("version", String(16), ForeignKey("checklist_version.hash"), nullable=False),
    Column("title", String(400), nullable=False),
    Column("incident_id", Integer, index=True),
    Column("change_id", Integer, index=True),
    Column("state", String(16), nullable=False, index=True),
    # counts events; a write names the one it has seen
    Column("revision", Integer, nullable=False),
    Column("variables", JSON, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("steps_open", Integer, nullable=False),
    Column("started_ms", BigInteger, nullable=False, index=True),
    Column("started_by", String(NAME_CHARS_MAX), nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("finished_ms", BigInteger),
    sqlite_autoincrement=True,
)

checklist_event = Table(
    "checklist_event",
    metadata,
    Column(
        "run_id",
        Integer,
        ForeignKey("checklist_run.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("actor", String(NAME_CHARS_MAX), nullable=False),
    # 0: of the whole run
    Column("step", Integer, nullable=False),
    Column("value", JSON),
    Column("text", Text, nullable=False),
)
