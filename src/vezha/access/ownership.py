"""What is a team's own, and what its operators may do with it. Pure.

A thing is a team's by its name: named as the team, or begun with the team's name and one of `-._`
(`web`, `web-primary`, `web-rules.yml`); of several teams the longest name counts. Where the table has
an `own_role`, that role is enough for who is a member of the team; where it has an `others_role`, whoever is
no member needs that one for the team's things. Everything else of that kind, also what is nobody's, is as
the table says. Who is in a team says an admin.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from vezha.access.action import ACTIONS, Action
from vezha.access.decision import Decision, Reason, decide
from vezha.access.subject import Role, Subject, SubjectKind

SEPARATORS = "-._"


def owner_of(name: str, teams: Iterable[str]) -> str:
    """The team whose own a thing of that *name* is; empty: nobody's."""
    fits = [
        team
        for team in teams
        if team and (name == team or (name.startswith(team) and name[len(team)] in SEPARATORS))
    ]
    return max(fits, key=len, default="")


def asks_whose(decision: Decision, subject: Subject, action: Action) -> bool:
    """Whether a refusal might be none for a thing of the own team, or a yes none for another's: then
    `decide_owned` is asked."""
    rule = ACTIONS[action]
    own_role, others_role = rule.own_role, rule.others_role
    if decision.allowed and others_role is not None and subject.role is not None:
        return subject.role.rank < others_role.rank
    return (
        decision.reason is Reason.ROLE_TOO_LOW
        and own_role is not None
        and subject.role is not None
        and subject.role.rank >= own_role.rank
    )


def decide_for_team(
    subject: Subject, action: Action, team: str, teams: Mapping[str, Collection[str]]
) -> Decision:
    """Whether *subject* may do *action* to what is *team*'s (empty: nobody's): its members and admins."""
    decision = decide(subject, action)
    if not decision.allowed or not team or subject.role is Role.ADMIN:
        return decision
    if subject.kind is SubjectKind.USER and subject.name in teams.get(team, ()):
        return decision
    about = ACTIONS[action].about
    return Decision(
        False,
        Reason.NOT_YOUR_TEAMS,
        f"To {about} of the team {team}, one must be admin, or a member of that team.",
    )


def decide_owned(
    subject: Subject, action: Action, name: str, teams: Mapping[str, Collection[str]]
) -> Decision:
    """Whether *subject* may do *action* to the thing of that *name*; *teams* are members by team."""
    decision = decide(subject, action)
    if not asks_whose(decision, subject, action):
        return decision
    rule = ACTIONS[action]
    assert rule.role is not None
    owner = owner_of(name, teams)
    if decision.allowed and not owner:
        return decision
    if owner and subject.kind is SubjectKind.USER and subject.name in teams[owner]:
        return Decision(True, Reason.ALLOWED, "")
    own = sorted(team for team, members in teams.items() if subject.name in members)
    whose = f"{name} is the team {owner}'s" if owner else f"{name} is no team's own"
    if subject.kind is SubjectKind.USER:
        where = f"{subject.name} is in {', '.join(own)}" if own else f"{subject.name} is in no team"
        hint = f", and may change what is named {own[0]}-…" if own else ""
    else:
        where, hint = f"{subject.name} is a token, which is in no team", ""
    return Decision(
        False,
        Reason.NOT_YOUR_TEAMS,
        f"To {rule.about}, one must be {(rule.others_role or rule.role).value}, or a member of the team whose own it is: "
        f"{whose}; {where}{hint}.",
    )
