"""`/api/v1/teams`: whose alerts, by which policy, who is in them."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection

from vezha.access import Action
from vezha.api.duty_rows import change, given, read
from vezha.api.route import Call, Route
from vezha.incidents.oncall import rows
from vezha.incidents.oncall.document import (
    read_team,
    show_team,
)


class TeamBody(msgspec.Struct, forbid_unknown_fields=True):
    """A team: whose alerts (`match`), by which policy, who is in it; the first by position counts."""

    match: list[str] = []
    policy: str = ""
    members: list[str] = []
    title: str = ""
    position: int = 100
    name: str = ""


class TeamsView(msgspec.Struct):
    """All teams, in the order in which they are asked."""

    teams: list[TeamBody]


def teams(call: Call) -> dict[str, Any]:
    """All teams."""
    return {"teams": read(call, lambda c: [show_team(t) for t in rows.read_teams(c)])}


def put_team(call: Call) -> dict[str, Any]:
    """Make or change a team."""
    name = call.path["name"]

    def do(connection: Connection) -> dict[str, Any]:
        wanted = read_team(given(call, name), name)
        rows.put_team(connection, wanted, call.subject.name, call.services.now_ms())
        return show_team(wanted)

    result: dict[str, Any] = change(call, do, name, {"policy": call.body.policy})
    return result


def remove_team(call: Call) -> None:
    """Forget a team."""
    name = call.path["name"]
    change(call, lambda c: rows.remove_team(c, name), name, {"removed": True})


ROUTES = (
    Route("GET", "/api/v1/teams", Action.ONCALL_READ, teams, "All teams.", result=TeamsView),
    Route("PUT", "/api/v1/teams/{name}", Action.TEAM_CHANGE, put_team,
          "Make or change a team.", body=TeamBody, result=TeamBody),
    Route("DELETE", "/api/v1/teams/{name}", Action.TEAM_CHANGE, remove_team,
          "Forget a team.", status=204),
)  # fmt: skip
