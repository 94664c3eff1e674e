"""Hosts as the ledger knows them: labels, facts, when seen; removing one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, delete, select

from vezha.access import limits
from vezha.access.audit import append_audit
from vezha.access.errors import AccessError, UnknownError
from vezha.access.subject import Subject
from vezha.ledger import AnyRow, Ledger
from vezha.ledger.tables import agent, host

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED = ("instance", "job", "__name__")


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """*labels* without empty values. Raises `AccessError` naming the wrong one."""
    kept = {}
    for name, value in labels.items():
        if not _LABEL.fullmatch(name) or name in _RESERVED or name.startswith("__"):
            raise AccessError(
                f"{name!r} cannot be a host's label: letters, digits and _ are, and the names "
                "instance and job are taken.",
                "labels",
            )
        if len(name) > limits.LABEL_CHARS_MAX or len(value) > limits.LABEL_CHARS_MAX:
            raise AccessError(
                f"The label {name[:32]!r} is longer than {limits.LABEL_CHARS_MAX} characters.",
                "labels",
            )
        if not value.isprintable():
            raise AccessError(f"The label {name} has characters that cannot be shown.", "labels")
        if value:
            kept[name] = value
    if len(kept) > limits.HOST_LABELS_MAX:
        raise AccessError(f"A host has at most {limits.HOST_LABELS_MAX} labels.", "labels")
    return kept


def list_hosts(ledger: Ledger) -> list[AnyRow]:
    """All hosts by name."""
    with ledger.read() as connection:
        return list(connection.execute(select(host).order_by(host.c.name)))


def find_host(ledger: Ledger, name: str) -> AnyRow | None:
    """One host."""
    with ledger.read() as connection:
        return connection.execute(select(host).where(host.c.name == name)).first()


def label_host(
    ledger: Ledger, actor: Subject, name: str, labels: Mapping[str, str], now_ms: int
) -> dict[str, str]:
    """Set labels over a host's; an empty value removes one. All labels afterwards.

    Raises `UnknownError`, `AccessError`.
    """
    with ledger.begin() as connection:
        row = connection.execute(select(host).where(host.c.name == name)).first()
        if row is None:
            raise UnknownError(f"There is no host {name!r}.")
        kept = check_labels({**row.labels, **labels})
        connection.execute(host.update().where(host.c.id == row.id).values(labels=kept))
        append_audit(
            connection,
            subject=actor,
            action="host.change",
            now_ms=now_ms,
            target=name,
            detail={"labels": dict(labels)},
        )
        return kept


def remove_host(ledger: Ledger, actor: Subject, name: str, now_ms: int) -> None:
    """Forget a host and its agents, which are refused from now on. Samples stay in the store.

    Raises `UnknownError`.
    """
    with ledger.begin() as connection:
        row = connection.execute(select(host.c.id).where(host.c.name == name)).first()
        if row is None:
            raise UnknownError(f"There is no host {name!r}.")
        connection.execute(delete(agent).where(agent.c.host_id == row.id))
        connection.execute(delete(host).where(host.c.id == row.id))
        append_audit(connection, subject=actor, action="host.remove", now_ms=now_ms, target=name)


def note_seen(ledger: Ledger, seen_ms: Mapping[str, int]) -> None:
    """Write when hosts were last heard of: one transaction for many hosts (name → ms)."""
    if not seen_ms:
        return
    rows = [{"seen_name": name, "seen": ms} for name, ms in seen_ms.items()]
    last = (
        host.update()
        .where(
            host.c.name == bindparam("seen_name"),
            host.c.last_seen_ms.is_(None) | (host.c.last_seen_ms < bindparam("seen")),
        )
        .values(last_seen_ms=bindparam("seen"))
    )
    first = (
        host.update()
        .where(host.c.name == bindparam("seen_name"), host.c.first_seen_ms.is_(None))
        .values(first_seen_ms=bindparam("seen"))
    )
    with ledger.begin() as connection:
        connection.execute(last, rows)
        connection.execute(first, rows)


def note_facts_of(ledger: Ledger, facts: Mapping[str, Mapping[str, Any]], now_ms: int) -> None:
    """Keep what agents say of their hosts (name → facts), which were therefore seen now: one
    transaction for many, since ten thousand that come back at once would be as many syncs. Facts
    over the limit are left out."""
    rows = [
        {"facts_name": name, "told": dict(told)}
        for name, told in facts.items()
        if len(json.dumps(dict(told), default=str)) <= limits.FACTS_BYTES_MAX
    ]
    if not rows:
        return
    wanted = host.update().where(host.c.name == bindparam("facts_name"))
    first = wanted.where(host.c.first_seen_ms.is_(None))
    with ledger.begin() as connection:
        connection.execute(wanted.values(facts=bindparam("told")), rows)
        names = [{"facts_name": row["facts_name"]} for row in rows]
        connection.execute(first.values(first_seen_ms=now_ms, last_seen_ms=now_ms), names)


def note_facts(ledger: Ledger, name: str, facts: Mapping[str, Any], now_ms: int) -> None:
    """Keep what an agent says of its host, which was therefore seen now.

    Raises `AccessError` for facts over the limit; a host that was removed meanwhile is nothing.
    """
    if len(json.dumps(dict(facts), default=str)) > limits.FACTS_BYTES_MAX:
        raise AccessError("The host's facts are too long.", "facts")
    with ledger.begin() as connection:
        connection.execute(host.update().where(host.c.name == name).values(facts=dict(facts)))
        connection.execute(
            host.update()
            .where(host.c.name == name, host.c.first_seen_ms.is_(None))
            .values(first_seen_ms=now_ms, last_seen_ms=now_ms)
        )
