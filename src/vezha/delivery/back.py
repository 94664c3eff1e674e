"""The way back: hosts are told to run again what they ran before. Acts within a transaction."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, or_, select

from vezha.delivery.plan import Version
from vezha.delivery.rows import next_generation, pieces, write_directives
from vezha.ledger import AnyRow
from vezha.ledger.tables import change, directive, rollout


def before_of(row: AnyRow) -> Version:
    """What the host of an attempt ran before; without a target: what it had by itself."""
    length = row.from_length if row.from_target else 0
    return Version(row.from_version, row.from_target, row.from_sha256, length)


def owned(
    connection: Connection, rollout_id: int, kind: str, run: str, hosts: Sequence[int]
) -> set[int]:
    """Those of *hosts* that are still meant to run what the rollout brought, or are its own to take
    back; others are a newer one's. A newer one that went back leaves its hosts to this one again."""
    out: set[int] = set()
    brought = (
        select(change.c.sha256)
        .join(rollout, rollout.c.change_id == change.c.id)
        .where(rollout.c.id == rollout_id)
        .scalar_subquery()
    )
    for part in pieces(hosts):
        out.update(
            connection.execute(
                select(directive.c.host_id).where(
                    directive.c.kind == kind,
                    directive.c.run == run,
                    or_(directive.c.rollout_id == rollout_id, directive.c.sha256 == brought),
                    directive.c.host_id.in_(part),
                )
            ).scalars()
        )
    return out


def give_back(
    connection: Connection,
    rollout_id: int,
    kind: str,
    run: str,
    rows: Sequence[AnyRow],
    now_ms: int,
) -> int:
    """Desire of each attempt's host what it ran before, under a new generation, which is returned.

    Hosts that a newer rollout has are left to it.
    """
    ours = owned(connection, rollout_id, kind, run, [row.host_id for row in rows])
    generation = next_generation(connection, now_ms)
    # it ran there already, so a quarantine of another day does not keep it away
    backward = [
        (row.host_id, generation, before_of(row), {"forced": True})
        for row in rows
        if row.host_id in ours
    ]
    write_directives(connection, kind, run, backward, rollout_id, now_ms)
    return generation
