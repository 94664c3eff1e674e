"""Schedules, overrides, policies and teams as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from vezha.incidents.limits import NOTE_CHARS_MAX
from vezha.incidents.oncall.document import (
    Everything,
    read_policy,
    read_schedule,
    read_team,
    show_policy,
    show_schedule,
    show_team,
)
from vezha.incidents.oncall.errors import NothingThere, OnCallError
from vezha.incidents.oncall.limits import (
    OVERRIDE_MS_MAX,
    POLICIES_MAX,
    SCHEDULES_MAX,
    TEAMS_MAX,
)
from vezha.incidents.oncall.person import check_person
from vezha.incidents.oncall.policy import DEFAULT, Policy, TargetKind
from vezha.incidents.oncall.rota import Override, Schedule, shifts
from vezha.incidents.oncall.team import Team
from vezha.ledger.tables import (
    calendar_feed,
    escalation_policy,
    oncall_override,
    oncall_schedule,
    oncall_shift,
    team,
    user,
)


def read_schedules(connection: Connection) -> list[Schedule]:
    """All schedules, by name."""
    rows = connection.execute(select(oncall_schedule).order_by(oncall_schedule.c.name))
    return [read_schedule(row.document) for row in rows]


def get_schedule(connection: Connection, name: str) -> Schedule:
    """One schedule. Raises NothingThere."""
    return read_schedule(_document(connection, oncall_schedule, name, "schedule"))


def put_schedule(connection: Connection, schedule: Schedule, actor: str, now_ms: int) -> None:
    """Keep a schedule, new or changed. Raises OnCallError."""
    for i, layer in enumerate(schedule.layers):
        place = f"layers[{i}].people"
        _check_people(connection, layer.people, f"schedule {schedule.name}", place)
    _put(connection, oncall_schedule, schedule.name, show_schedule(schedule), actor, now_ms,
         SCHEDULES_MAX)  # fmt: skip
    seen = select(oncall_shift.c.schedule).where(oncall_shift.c.schedule == schedule.name)
    if connection.execute(seen).scalar() is None:
        # noted at once: who stands in a moment later takes over from somebody
        person = shifts(schedule, (), now_ms, now_ms + 1)[0].person
        connection.execute(
            insert(oncall_shift).values(schedule=schedule.name, person=person, since_ms=now_ms)
        )


def remove_schedule(connection: Connection, name: str) -> None:
    """Forget a schedule with its overrides and calendars. Raises OnCallError."""
    for policy in read_policies(connection):
        if any(
            (t.kind, t.name) == (TargetKind.SCHEDULE, name) for s in policy.steps for t in s.targets
        ):
            raise OnCallError(f"policy {policy.name} still names schedule {name}; change it first")
    _remove(connection, oncall_schedule, name, "schedule")
    for table in (oncall_override, oncall_shift, calendar_feed):
        connection.execute(delete(table).where(table.c.schedule == name))


def add_override(
    connection: Connection,
    schedule: str,
    person: str,
    starts_ms: int,
    ends_ms: int,
    author: str,
    comment: str,
    now_ms: int,
) -> Override:
    """*person* stands in for a while. Raises OnCallError."""
    get_schedule(connection, schedule)
    check_person(connection, person)
    if ends_ms <= starts_ms or ends_ms <= now_ms:
        raise OnCallError("an override must end after it starts, and in the future", "ends_at")
    if ends_ms - starts_ms > OVERRIDE_MS_MAX:
        raise OnCallError("an override lasts a year at most", "ends_at")
    if len(comment) > NOTE_CHARS_MAX:
        raise OnCallError(f"the comment is longer than {NOTE_CHARS_MAX} characters", "comment")
    made = connection.execute(
        insert(oncall_override).values(
            schedule=schedule, person=person, starts_ms=starts_ms, ends_ms=ends_ms, author=author,
            comment=comment, created_ms=now_ms,
        )
    ).inserted_primary_key  # fmt: skip
    assert made is not None
    return Override(int(made[0]), person, starts_ms, ends_ms, author, comment)


def end_override(connection: Connection, id_: int, actor: str, now_ms: int) -> str:
    """End an override now (one that is to come never begins); its schedule. Raises NothingThere."""
    row = connection.execute(
        select(oncall_override).where(
            oncall_override.c.id == id_, oncall_override.c.ends_ms > now_ms
        )
    ).one_or_none()
    if row is None:
        raise NothingThere(f"there is no override {id_} that still runs or is to come")
    connection.execute(
        update(oncall_override)
        .where(oncall_override.c.id == id_)
        .values(ends_ms=max(row.starts_ms, now_ms), ended_by=actor)
    )
    return str(row.schedule)


def read_overrides(
    connection: Connection, from_ms: int, schedule: str | None = None
) -> dict[str, list[Override]]:
    """Overrides that end after *from_ms*, by schedule."""
    query = select(oncall_override).where(oncall_override.c.ends_ms > from_ms)
    if schedule is not None:
        query = query.where(oncall_override.c.schedule == schedule)
    out: dict[str, list[Override]] = {}
    for row in connection.execute(query.order_by(oncall_override.c.id)):
        one = Override(row.id, row.person, row.starts_ms, row.ends_ms, row.author, row.comment)
        out.setdefault(row.schedule, []).append(one)
    return out


def read_policies(connection: Connection) -> list[Policy]:
    """All escalation policies, by name."""
    rows = connection.execute(select(escalation_policy).order_by(escalation_policy.c.name))
    return [read_policy(row.document) for row in rows]


def get_policy(connection: Connection, name: str) -> Policy:
    """One policy. Raises NothingThere."""
    return read_policy(_document(connection, escalation_policy, name, "policy"))


def put_policy(connection: Connection, policy: Policy, actor: str, now_ms: int) -> None:
    """Keep a policy, new or changed; receivers are looked up when it runs. Raises OnCallError."""
    where = f"policy {policy.name}"
    schedules = {s.name for s in read_schedules(connection)}
    teams = {t.name for t in read_teams(connection)}
    asked = [
        (f"steps[{i}].targets", t) for i, step in enumerate(policy.steps) for t in step.targets
    ]
    for place, target in asked:
        if target.kind is TargetKind.PERSON:
            _check_people(connection, [target.name], where, place)
        elif target.kind is TargetKind.SCHEDULE and target.name not in schedules:
            raise OnCallError(f'{where}: there is no schedule "{target.name}"', place)
        elif target.kind is TargetKind.TEAM and target.name not in teams:
            raise OnCallError(f'{where}: there is no team "{target.name}"', place)
    _put(connection, escalation_policy, policy.name, show_policy(policy), actor, now_ms,
         POLICIES_MAX)  # fmt: skip


def remove_policy(connection: Connection, name: str) -> None:
    """Forget a policy. Raises OnCallError."""
    for one in read_teams(connection):
        if one.policy == name:
            raise OnCallError(f"team {one.name} still has policy {name}; change it first")
    _remove(connection, escalation_policy, name, "policy")


def read_teams(connection: Connection) -> list[Team]:
    """All teams, by position and name."""
    teams = [read_team(row.document) for row in connection.execute(select(team))]
    return sorted(teams, key=lambda t: (t.position, t.name))


def get_team(connection: Connection, name: str) -> Team:
    """One team. Raises NothingThere."""
    return read_team(_document(connection, team, name, "team"))


def put_team(connection: Connection, one: Team, actor: str, now_ms: int) -> None:
    """Keep a team, new or changed. Raises OnCallError."""
    _check_people(connection, one.members, f"team {one.name}", "members")
    if one.policy and one.policy not in {p.name for p in read_policies(connection)}:
        raise OnCallError(f'team {one.name}: there is no policy "{one.policy}"', "policy")
    _put(connection, team, one.name, show_team(one), actor, now_ms, TEAMS_MAX)


def remove_team(connection: Connection, name: str) -> None:
    """Forget a team; incidents keep its name. Raises OnCallError."""
    for policy in read_policies(connection):
        if any(
            (t.kind, t.name) == (TargetKind.TEAM, name) for s in policy.steps for t in s.targets
        ):
            raise OnCallError(f"policy {policy.name} still names team {name}; change it first")
    _remove(connection, team, name, "team")


def policy_of(
    team_name: str, teams: Mapping[str, Team], policies: Mapping[str, Policy]
) -> Policy | None:
    """By which policy a team's incidents escalate; None: by none."""
    own = teams.get(team_name)
    return policies.get(own.policy if own is not None and own.policy else DEFAULT)


def read_everything_of(connection: Connection) -> Everything:
    """All that is set up."""
    return Everything(
        tuple(read_schedules(connection)),
        tuple(read_policies(connection)),
        tuple(read_teams(connection)),
    )


def put_everything(
    connection: Connection, wanted: Everything, actor: str, now_ms: int, *, prune: bool
) -> list[str]:
    """Make it as a file says; with *prune* what the file lacks is removed. What was changed.

    Raises OnCallError.
    """
    before = read_everything_of(connection)
    changed = []
    bare = {
        t.name: Team(t.name, t.matchers, "", t.members, t.title, t.position) for t in wanted.teams
    }
    known = {t.name for t in before.teams}
    # teams and policies name each other: teams that are new come first without their policy
    for one in bare.values():
        if one.name not in known:
            put_team(connection, one, actor, now_ms)
    for schedule in wanted.schedules:
        if schedule not in before.schedules:
            put_schedule(connection, schedule, actor, now_ms)
            changed.append(f"schedule {schedule.name}")
    for policy in wanted.policies:
        if policy not in before.policies:
            put_policy(connection, policy, actor, now_ms)
            changed.append(f"policy {policy.name}")
    for one in wanted.teams:
        if one not in before.teams:
            put_team(connection, one, actor, now_ms)
            changed.append(f"team {one.name}")
    if prune:
        changed += _prune(connection, before, wanted)
    return changed


def _prune(connection: Connection, before: Everything, wanted: Everything) -> list[str]:
    gone = []
    names = {t.name for t in wanted.teams}
    old_teams = [t for t in before.teams if t.name not in names]
    names = {p.name for p in wanted.policies}
    old_policies = [p for p in before.policies if p.name not in names]
    names = {s.name for s in wanted.schedules}
    old_schedules = [s for s in before.schedules if s.name not in names]
    # a policy may name a team and a team a policy: the rows go first, what names them is checked
    for policy in old_policies:
        connection.execute(delete(escalation_policy).where(escalation_policy.c.name == policy.name))
        gone.append(f"policy {policy.name} removed")
    for one in old_teams:
        remove_team(connection, one.name)
        gone.append(f"team {one.name} removed")
    for one in read_teams(connection):
        if one.policy in {p.name for p in old_policies}:
            raise OnCallError(f"team {one.name} still has policy {one.policy}; change it first")
    for schedule in old_schedules:
        remove_schedule(connection, schedule.name)
        gone.append(f"schedule {schedule.name} removed")
    return gone


def _document(connection: Connection, table: Table, name: str, kind: str) -> dict[str, Any]:
    found = connection.execute(select(table.c.document).where(table.c.name == name)).scalar()
    if found is None:
        raise NothingThere(f'there is no {kind} "{name[:100]}"')
    return dict(found)


def _put(
    connection: Connection,
    table: Table,
    name: str,
    document: dict[str, Any],
    actor: str,
    now_ms: int,
    most: int,
) -> None:
    values = {"document": document, "changed_ms": now_ms, "changed_by": actor}
    done = connection.execute(update(table).where(table.c.name == name).values(values))
    if done.rowcount:
        return
    if len(connection.execute(select(table.c.name)).all()) >= most:
        raise OnCallError(f"there are {most} already; remove one first")
    connection.execute(insert(table).values(name=name, **values))


def _remove(connection: Connection, table: Table, name: str, kind: str) -> None:
    if not connection.execute(delete(table).where(table.c.name == name)).rowcount:
        raise NothingThere(f'there is no {kind} "{name[:100]}"')


def _check_people(connection: Connection, people: Any, where: str, place: str) -> None:
    known = set(
        connection.execute(select(user.c.name).where(user.c.name.in_(list(people)))).scalars()
    )
    missing = [name for name in people if name not in known]
    if missing:
        raise OnCallError(f'{where}: there is no person "{missing[0]}"', place)
