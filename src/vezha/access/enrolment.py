"""Enrolment: one-time invitations by which a host's agent gets its identity."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from vezha.access import limits
from vezha.access.audit import REFUSED, append_audit
from vezha.access.errors import EnrolmentError, LimitError, UnknownError
from vezha.access.host import check_labels
from vezha.access.secret import (
    AGENT_PREFIX,
    ENROLMENT_PREFIX,
    SECRET_CHARS,
    hash_secret,
    make_secret,
)
from vezha.access.subject import Subject, SubjectKind
from vezha.ledger import AnyRow, Ledger
from vezha.ledger.tables import agent, enrolment, host
from vezha.world import Chance

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.:-]{0,251}[A-Za-z0-9_])?")


@dataclass(frozen=True, slots=True)
class Invitation:
    """A new invitation: the token is shown this once."""

    id: int
    token: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An agent's new identity; the secret is told this once."""

    agent_id: str
    secret: str
    host_name: str
    labels: dict[str, str]


def create_enrolment(
    ledger: Ledger,
    actor: Subject,
    now_ms: int,
    *,
    labels: Mapping[str, str] | None = None,
    lifetime_s: float = limits.ENROLMENT_LIFETIME_S,
    chance: Chance | None = None,
) -> Invitation:
    """Invite one agent; its host gets *labels*. Raises `AccessError`, `LimitError`."""
    wanted = check_labels(labels or {})
    if not 0 < lifetime_s <= limits.ENROLMENT_LIFETIME_S_MAX:
        raise LimitError(
            "An invitation lives for more than zero seconds, at most 30 days.", "lifetime_s"
        )
    token = make_secret(ENROLMENT_PREFIX, chance or Chance())
    expires_ms = now_ms + int(lifetime_s * 1000)
    with ledger.begin() as connection:
        if _count_open(connection, now_ms) >= limits.ENROLMENTS_OPEN_MAX:
            raise LimitError(f"{limits.ENROLMENTS_OPEN_MAX} invitations are open; withdraw some.")
        made = connection.execute(
            enrolment.insert().values(
                token_hash=hash_secret(token),
                labels=wanted,
                created_by=actor.name,
                created_ms=now_ms,
                expires_ms=expires_ms,
            )
        )
        assert made.inserted_primary_key is not None
        number = int(made.inserted_primary_key[0])
        append_audit(
            connection,
            subject=actor,
            action="enrolment.create",
            now_ms=now_ms,
            target=str(number),
            detail={"labels": wanted, "expires_ms": expires_ms},
        )
    return Invitation(number, token, expires_ms)


def list_enrolments(ledger: Ledger, now_ms: int) -> list[AnyRow]:
    """Invitations that are still open, the newest first, without their hashes."""
    columns = [c for c in enrolment.c if c.name != "token_hash"]
    wanted = select(*columns).where(*_open(now_ms)).order_by(enrolment.c.id.desc())
    with ledger.read() as connection:
        return list(connection.execute(wanted))


def revoke_enrolment(ledger: Ledger, actor: Subject, number: int, now_ms: int) -> None:
    """Withdraw an open invitation. Raises `UnknownError`."""
    with ledger.begin() as connection:
        changed = connection.execute(
            enrolment.update()
            .where(enrolment.c.id == number, *_open(now_ms))
            .values(revoked_ms=now_ms)
        )
        if not changed.rowcount:
            raise UnknownError(f"There is no open invitation {number}.")
        append_audit(
            connection, subject=actor, action="enrolment.revoke", now_ms=now_ms, target=str(number)
        )


def enrol_agent(
    ledger: Ledger,
    token: str,
    host_name: str,
    facts: Mapping[str, Any],
    now_ms: int,
    *,
    address: str = "",
    chance: Chance | None = None,
) -> Enrolled:
    """Use up the invitation *token* and give the agent on *host_name* an identity.

    A host that is known already and is the same machine (equal `machine_id` among the facts,
    or one of them has none) gets a new agent, and its old ones are revoked. Raises
    `EnrolmentError` with a sentence for the person at the host's terminal.
    """
    chance = chance or Chance()
    try:
        with ledger.begin() as connection:
            return _enrol(connection, token, host_name, dict(facts), now_ms, address, chance)
    except EnrolmentError as e:
        with ledger.begin() as connection:
            append_audit(
                connection,
                subject=Subject(SubjectKind.NOBODY, "", address=address),
                action="agent.enrol",
                now_ms=now_ms,
                target=host_name,
                outcome=REFUSED,
                detail={"why": str(e)},
            )
        raise


def _enrol(
    connection: Connection,
    token: str,
    host_name: str,
    facts: dict[str, Any],
    now_ms: int,
    address: str,
    chance: Chance,
) -> Enrolled:
    if not _HOST_NAME.fullmatch(host_name):
        raise EnrolmentError("The host's name is not one: letters, digits and . _ : - are.", "name")
    if len(json.dumps(facts, default=str)) > limits.FACTS_BYTES_MAX:
        raise EnrolmentError("The host's facts are too long.", "facts")
    invitation = _claim(connection, token, host_name, now_ms)
    known = connection.execute(select(host).where(host.c.name == host_name)).first()
    if known is None:
        count = connection.execute(select(func.count()).select_from(host)).scalar_one()
        if count >= limits.HOSTS_MAX:
            raise EnrolmentError(f"This server has {limits.HOSTS_MAX} hosts, its limit.")
        made = connection.execute(
            host.insert().values(
                name=host_name, labels=invitation.labels, facts=facts, created_ms=now_ms
            )
        )
        assert made.inserted_primary_key is not None
        host_id, labels = int(made.inserted_primary_key[0]), dict(invitation.labels)
    else:
        host_id, labels = known.id, {**known.labels, **invitation.labels}
        _check_same_machine(known.facts, facts, host_name)
        connection.execute(
            host.update().where(host.c.id == host_id).values(labels=labels, facts=facts)
        )
        connection.execute(
            agent.update()
            .where(agent.c.host_id == host_id, agent.c.revoked_ms.is_(None))
            .values(revoked_ms=now_ms)
        )
    agent_id = chance.token(16).hex()
    secret = make_secret(AGENT_PREFIX, chance)
    connection.execute(
        agent.insert().values(
            id=agent_id, host_id=host_id, secret_hash=hash_secret(secret), created_ms=now_ms
        )
    )
    append_audit(
        connection,
        subject=Subject(SubjectKind.SYSTEM, invitation.created_by, address=address),
        action="agent.enrol",
        now_ms=now_ms,
        target=host_name,
        detail={"agent": agent_id, "invitation": invitation.id, "known": known is not None},
    )
    return Enrolled(agent_id, secret, host_name, labels)


def _claim(connection: Connection, token: str, host_name: str, now_ms: int) -> AnyRow:
    """Mark the invitation used; only one claim of it can change a row."""
    if not token.startswith(ENROLMENT_PREFIX) or len(token) != SECRET_CHARS:
        raise EnrolmentError("This is no enrolment token; copy the whole command again.", "token")
    token_hash = hash_secret(token)
    claimed = connection.execute(
        enrolment.update()
        .where(enrolment.c.token_hash == token_hash, *_open(now_ms))
        .values(used_ms=now_ms, used_by=host_name)
    )
    row = connection.execute(select(enrolment).where(enrolment.c.token_hash == token_hash)).first()
    if row is not None and claimed.rowcount == 1:
        return row
    if row is None:
        why = "is unknown to this server"
    elif row.revoked_ms is not None:
        why = "was withdrawn"
    elif row.used_ms is not None:
        why = f"was used already, by {row.used_by}"
    else:
        why = "has expired"
    raise EnrolmentError(f"The enrolment token {why}; ask for a new one.", "token")


def _check_same_machine(known: Mapping[str, Any], now: Mapping[str, Any], name: str) -> None:
    before, after = known.get("machine_id"), now.get("machine_id")
    if before and after and before != after:
        raise EnrolmentError(
            f"Another machine is enrolled as {name}: enrol this one under another name "
            "(--name), or remove that host first.",
            "name",
        )


def _open(now_ms: int) -> tuple[Any, ...]:
    return (
        enrolment.c.used_ms.is_(None),
        enrolment.c.revoked_ms.is_(None),
        enrolment.c.expires_ms > now_ms,
    )


def _count_open(connection: Connection, now_ms: int) -> int:
    wanted = select(func.count()).select_from(enrolment).where(*_open(now_ms))
    return connection.execute(wanted).scalar_one()
