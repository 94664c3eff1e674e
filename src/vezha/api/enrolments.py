"""`/api/v1/enrolments`: inviting agents, with the command to copy."""

from __future__ import annotations

import shlex
from typing import Annotated

import msgspec

from vezha.access import Action
from vezha.access.enrolment import create_enrolment, list_enrolments, revoke_enrolment
from vezha.access.limits import ENROLMENT_LIFETIME_S, ENROLMENT_LIFETIME_S_MAX
from vezha.api.route import Call, Route, path_id, seconds
from vezha.api.services import AgentDoor

_FILE = "vezha-agent.pyz"


class EnrolmentBody(msgspec.Struct, forbid_unknown_fields=True):
    """Labels that the host will get, and how long the invitation stays open."""

    labels: dict[str, str] = {}
    lifetime_s: Annotated[float, msgspec.Meta(gt=0, le=ENROLMENT_LIFETIME_S_MAX)] = (
        ENROLMENT_LIFETIME_S
    )


class InvitationView(msgspec.Struct):
    """A new invitation: the token, and the command with it, are shown this once."""

    id: int
    token: str
    command: str
    expires_at: float | None


class EnrolmentView(msgspec.Struct):
    """An open invitation."""

    id: int
    labels: dict[str, str]
    created_by: str
    created_at: float | None
    expires_at: float | None


class EnrolmentsView(msgspec.Struct):
    """Open invitations, the newest first."""

    enrolments: list[EnrolmentView]


def command_of(door: AgentDoor, token: str) -> str:
    """What to run on the host that joins: fetch the agent, check it, install it.

    The certificate is not known to that host yet, so the fetch trusts nobody; the file's hash,
    which stands in the command itself, says whether it is the right one.
    """
    words = ["install", "--server", door.address, "--token", token]
    if door.fingerprint:
        words += ["--fingerprint", door.fingerprint]
    agent_hash = door.agent_hash()
    if not agent_hash:
        return shlex.join(["vezha", "agent", *words])
    return (
        f"curl -fsSk https://{door.address}/{_FILE} -o {_FILE}"
        f" && echo '{agent_hash}  {_FILE}' | sha256sum -c --quiet"
        f" && python3 {_FILE} {shlex.join(words)}"
    )


def create(call: Call) -> InvitationView:
    """Invite an agent."""
    given: EnrolmentBody = call.body
    made = create_enrolment(
        call.services.ledger,
        call.subject,
        call.services.now_ms(),
        labels=given.labels,
        lifetime_s=given.lifetime_s,
        chance=call.services.world.chance,
    )
    call.audited = True
    command = command_of(call.services.door, made.token)
    return InvitationView(made.id, made.token, command, seconds(made.expires_ms))


def list_open(call: Call) -> EnrolmentsView:
    """Open invitations."""
    rows = list_enrolments(call.services.ledger, call.services.now_ms())
    return EnrolmentsView(
        [
            EnrolmentView(
                r.id, r.labels, r.created_by, seconds(r.created_ms), seconds(r.expires_ms)
            )
            for r in rows
        ]
    )


def revoke(call: Call) -> None:
    """Withdraw an invitation."""
    revoke_enrolment(call.services.ledger, call.subject, path_id(call), call.services.now_ms())
    call.audited = True


ROUTES = (
    Route("POST", "/api/v1/enrolments", Action.ENROLMENT_CREATE, create,
          "Invite an agent: a one-time token and the command to run on the host.",
          body=EnrolmentBody, result=InvitationView, status=201),
    Route("GET", "/api/v1/enrolments", Action.ENROLMENT_READ, list_open,
          "Invitations that are still open.", result=EnrolmentsView),
    Route("DELETE", "/api/v1/enrolments/{id}", Action.ENROLMENT_REVOKE, revoke,
          "Withdraw an invitation.", status=204),
)  # fmt: skip
