"""What a team's own may be done to by whom, where the path has no name that says whose it is."""

from __future__ import annotations

from sqlalchemy import Connection

from vezha.access.ownership import decide_for_team
from vezha.api.errors import InvalidError, RefusedError
from vezha.api.route import Call
from vezha.incidents.oncall.rows import read_teams


def check_own_team(call: Call, connection: Connection, team: str, *, must_exist: bool) -> None:
    """Raises RefusedError where *team* (empty: nobody's) is not the caller's, and InvalidError where it
    *must_exist* and does not."""
    teams = {one.name: one.members for one in read_teams(connection)}
    if must_exist and team and team not in teams:
        raise InvalidError(f"There is no team {team[:64]}.", "team")
    decision = decide_for_team(call.subject, call.route.action, team, teams)
    if not decision.allowed:
        raise RefusedError(decision)
