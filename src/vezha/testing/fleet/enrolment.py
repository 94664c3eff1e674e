"""Identities for a simulated fleet: by the ledger in one go, or through a running server's door.

The bulk way is for a state folder of our own (benchmarks, the demo): the same rows and the same
secrets as real enrolment makes, in one transaction, with one audit row for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vezha.access.audit import append_audit
from vezha.access.secret import AGENT_PREFIX, hash_secret, make_secret
from vezha.access.user import SYSTEM
from vezha.ledger import Ledger
from vezha.ledger.tables import agent, host
from vezha.testing.fleet.inventory import Machine
from vezha.testing.fleet.sockets import Credential
from vezha.world import Chance


def enrol_fleet(
    ledger: Ledger, machines: Sequence[Machine], now_ms: int, chance: Chance | None = None
) -> list[Credential]:
    """Make a host and an agent for each machine; names must be new to the ledger."""
    chance = chance or Chance()
    made = []
    with ledger.begin() as connection:
        connection.execute(
            host.insert(),
            [
                {"name": m.name, "labels": m.labels, "facts": m.facts, "created_ms": now_ms}
                for m in machines
            ],
        )
        numbers = dict(
            connection.execute(host.select().with_only_columns(host.c.name, host.c.id))
            .tuples()
            .all()
        )
        rows = []
        for machine in machines:
            own = Credential(chance.token(16).hex(), make_secret(AGENT_PREFIX, chance))
            made.append(own)
            rows.append(
                {
                    "id": own.agent_id,
                    "host_id": numbers[machine.name],
                    "secret_hash": hash_secret(own.secret),
                    "created_ms": now_ms,
                }
            )
        connection.execute(agent.insert(), rows)
        append_audit(
            connection,
            subject=SYSTEM,
            action="agent.enrol",
            now_ms=now_ms,
            target="simulated fleet",
            detail={"hosts": len(machines)},
        )
    return made


def forget_fleet(ledger: Ledger, names: Iterable[str]) -> None:
    """Delete these hosts with their agents."""
    with ledger.begin() as connection:
        connection.execute(host.delete().where(host.c.name.in_(list(names))))
