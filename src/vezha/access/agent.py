"""Agents' identities: authenticating one, revoking one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, select

from vezha.access.audit import append_audit
from vezha.access.errors import UnknownError
from vezha.access.secret import secret_fits
from vezha.access.subject import Subject
from vezha.ledger import Ledger
from vezha.ledger.tables import agent, host


@dataclass(frozen=True, slots=True)
class AgentIdentity:
    """An authenticated agent and its host."""

    agent_id: str
    host_id: int
    host_name: str
    labels: dict[str, str]


_BY_ID = (
    select(agent.c.secret_hash, agent.c.host_id, host.c.name, host.c.labels)
    .join_from(agent, host)
    .where(agent.c.id == bindparam("agent_id"), agent.c.revoked_ms.is_(None))
)
_NO_HASH = "0" * 64


def authenticate_agent(ledger: Ledger, agent_id: str, secret: str) -> AgentIdentity | None:
    """The agent that has this id and secret, or None where it is unknown, wrong or revoked."""
    with ledger.read() as connection:
        row = connection.execute(_BY_ID, {"agent_id": agent_id[:64]}).first()
    # Compared in any case, so that the time does not tell whether the id exists.
    fits = secret_fits(secret, _NO_HASH if row is None else row.secret_hash)
    if row is None or not fits:
        return None
    return AgentIdentity(agent_id, row.host_id, row.name, dict(row.labels))


def revoke_agent(ledger: Ledger, actor: Subject, agent_id: str, now_ms: int) -> str:
    """Refuse this agent from now on; the name of its host. Raises `UnknownError`."""
    with ledger.begin() as connection:
        changed = connection.execute(
            agent.update()
            .where(agent.c.id == agent_id, agent.c.revoked_ms.is_(None))
            .values(revoked_ms=now_ms)
        )
        if not changed.rowcount:
            raise UnknownError(f"There is no agent {agent_id[:64]!r} that could be revoked.")
        name = connection.execute(
            select(host.c.name).join_from(agent, host).where(agent.c.id == agent_id)
        ).scalar_one()
        append_audit(
            connection,
            subject=actor,
            action="agent.revoke",
            now_ms=now_ms,
            target=name,
            detail={"agent": agent_id},
        )
        return str(name)
