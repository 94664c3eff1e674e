"""`/api/v1/oncall/policies`: escalation policies, and how far an incident's escalation is."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, select

from vezha.access import Action
from vezha.api.duty_rows import change, given, read
from vezha.api.route import Call, Route, path_id, seconds
from vezha.incidents.oncall import rows
from vezha.incidents.oncall.document import (
    read_policy,
    show_policy,
)
from vezha.incidents.oncall.errors import NothingThere
from vezha.ledger.tables import escalation


class StepBody(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to wake (person:, schedule:, team:, receiver:NAME), and how long to wait then."""

    targets: list[str]
    wait_s: int = 300


class PolicyBody(msgspec.Struct, forbid_unknown_fields=True):
    """An escalation policy. `ack_timeout_s` 0: an acknowledgement holds for ever."""

    steps: list[StepBody]
    repeat: int = 0
    ack_timeout_s: int = 0
    severity: str = "warning"
    name: str = ""


class PoliciesView(msgspec.Struct):
    """All policies, by name."""

    policies: list[PolicyBody]


class EscalationView(msgspec.Struct):
    """How far an incident's escalation is. `phase`: paging, held, asleep, quiet, exhausted, ended."""

    policy: str
    phase: str
    step: int
    round: int
    due_at: float | None
    asked_at: float | None


def policies(call: Call) -> dict[str, Any]:
    """All escalation policies."""
    return {"policies": read(call, lambda c: [show_policy(p) for p in rows.read_policies(c)])}


def policy(call: Call) -> dict[str, Any]:
    """One policy."""
    result: dict[str, Any] = read(
        call, lambda c: show_policy(rows.get_policy(c, call.path["name"]))
    )
    return result


def put_policy(call: Call) -> dict[str, Any]:
    """Make or change a policy."""
    name = call.path["name"]

    def do(connection: Connection) -> None:
        wanted = read_policy(given(call, name), name)
        rows.put_policy(connection, wanted, call.subject.name, call.services.now_ms())

    change(call, do, name, {"steps": len(call.body.steps)})
    return policy(call)


def remove_policy(call: Call) -> None:
    """Forget a policy."""
    name = call.path["name"]
    change(call, lambda c: rows.remove_policy(c, name), name, {"removed": True})


def escalation_of(call: Call) -> EscalationView:
    """How far an incident's escalation is."""
    id_ = path_id(call)

    def look(connection: Connection) -> EscalationView:
        row = connection.execute(
            select(escalation).where(escalation.c.incident_id == id_)
        ).one_or_none()
        if row is None:
            raise NothingThere(f"incident {id_} is not escalated")
        return EscalationView(
            row.policy, row.phase, row.step + 1, row.round + 1, seconds(row.due_ms),
            seconds(row.asked_ms),
        )  # fmt: skip

    result: EscalationView = read(call, look)
    return result


_POLICY = "/api/v1/oncall/policies/{name}"
ROUTES = (
    Route("GET", "/api/v1/oncall/policies", Action.ONCALL_READ, policies,
          "All escalation policies.", result=PoliciesView),
    Route("GET", _POLICY, Action.ONCALL_READ, policy,
          "One escalation policy.", result=PolicyBody),
    Route("PUT", _POLICY, Action.ONCALL_CHANGE, put_policy,
          "Make or change an escalation policy.", body=PolicyBody, result=PolicyBody),
    Route("DELETE", _POLICY, Action.ONCALL_CHANGE, remove_policy,
          "Forget an escalation policy.", status=204),
    Route("GET", "/api/v1/incidents/{id}/escalation", Action.INCIDENT_READ, escalation_of,
          "How far an incident's escalation is.", result=EscalationView),
)  # fmt: skip
