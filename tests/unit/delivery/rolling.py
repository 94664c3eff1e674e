"""What tests of rollouts share: a field with a change that is under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from vezha.delivery.desk import Draft, draft_change, plan_change, start_change
from vezha.ledger import AnyRow
from vezha.ledger.tables import (
    attempt,
    attempt_event,
    change,
    directive,
    rollout,
    running,
    verdict,
)
from vezha.testing.fleet.field import Field

WAVES = ({"name": "canary", "count": 1, "bake_s": 10}, {"name": "all", "bake_s": 10})
GATES = ({"kind": "proof"},)


def start(
    field: Field,
    target: str,
    *,
    kind: str = "agent",
    waves: Sequence[dict[str, Any]] = WAVES,
    gates: Sequence[dict[str, Any]] = GATES,
    selector: str = "",
    policy: dict[str, Any] | None = None,
    params: dict[str, Any] | None = None,
) -> int:
    """A change of *target*, planned and started; the rollout's number. Rules are not rehearsed."""
    policy = policy or {"max_in_flight": 5, "max_unavailable": 0.5}
    if kind == "rules":
        policy = {**policy, "rehearse_s": 0}
    draft = Draft(
        kind, target, why="it is better", owner="ann", checklist="roll-out", selector=selector,
        gates=gates, waves=waves, policy=policy,
        params=params or {},
    )  # fmt: skip
    with field.ledger.begin() as connection:
        id_ = draft_change(connection, draft, "ann", field.now_ms)
        plan_change(connection, id_, field.signals.up(0), "ann", field.now_ms)
        return start_change(connection, id_, "ann", field.now_ms)


def rollout_of(field: Field, id_: int) -> AnyRow:
    with field.ledger.read() as connection:
        return connection.execute(select(rollout).where(rollout.c.id == id_)).one()


def state_of(field: Field, id_: int) -> str:
    return str(rollout_of(field, id_).state)


def change_of(field: Field, rollout_id: int) -> AnyRow:
    with field.ledger.read() as connection:
        return connection.execute(
            select(change).where(change.c.id == rollout_of(field, rollout_id).change_id)
        ).one()


def attempts(field: Field, id_: int) -> dict[str, AnyRow]:
    with field.ledger.read() as connection:
        rows = connection.execute(select(attempt).where(attempt.c.rollout_id == id_))
        return {row.host: row for row in rows}


def history(field: Field, id_: int, host_id: int) -> list[str]:
    with field.ledger.read() as connection:
        rows = connection.execute(
            select(attempt_event.c.to_state)
            .where(attempt_event.c.rollout_id == id_, attempt_event.c.host_id == host_id)
            .order_by(attempt_event.c.id)
        )
        return list(rows.scalars())


def verdicts(field: Field, id_: int) -> list[AnyRow]:
    with field.ledger.read() as connection:
        return list(
            connection.execute(
                select(verdict).where(verdict.c.rollout_id == id_).order_by(verdict.c.id)
            )
        )


def directives(field: Field) -> dict[int, AnyRow]:
    with field.ledger.read() as connection:
        return {row.host_id: row for row in connection.execute(select(directive))}


def report_running(field: Field) -> None:
    """Every agent tells what it runs, as real ones do after a switch."""
    with field.ledger.begin() as connection:
        for agent in field.agents.values():
            connection.execute(
                running.update()
                .where(running.c.host_id == agent.host_id)
                .values(release_sha256=agent.running, received_ms=field.now_ms)
            )
